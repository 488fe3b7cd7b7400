//! What is true of the shop.

use rustc_hash::FxHashMap;
use tidemill::Millis;
use tidemill::time::days;

use crate::random::Random;
use crate::settings::Settings;

/// How a payment comes to be a fraud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scenario {
    /// An amount that nobody else pays.
    Outsized,
    /// An item that is easily sold on, bought with many stolen cards within a few days.
    Resold,
    /// A shopper's stolen card, with amounts five times theirs, among their own purchases for two weeks.
    Stolen,
}

/// What is true of the shop, whatever its lines say.
#[derive(Clone, Debug)]
pub struct Truth {
    settings: Settings,
    /// Of each item, by its number less 1.
    items: Vec<Item>,
    /// Of each category, by its number less 1: its items, the most popular first, with the sums of their weights.
    categories: Vec<Vec<(u64, f64)>>,
    pub(crate) frauds: FxHashMap<u64, Scenario>,
}

#[derive(Clone, Debug)]
struct Item {
    category: u64,
    launched: Millis,
    cents: i64,
    complements: [u64; 2],
}

/// How fast popularity falls with the rank of an item in its category (Zipf).
const ZIPF: f64 = 1.05;

impl Truth {
    pub(crate) fn new(settings: Settings) -> Self {
        let Settings { items: count, categories: kinds, seed, start, days: span, .. } = settings;
        let kinds = kinds.max(1);
        let mut members = vec![Vec::new(); kinds as usize];
        let mut items = Vec::with_capacity(count as usize);
        for number in 1..=count {
            let mut random = Random::new([seed, 1, number]);
            let category = (number - 1) % kinds + 1;
            let launched = if random.chance(0.8) {
                start
            } else {
                start + (days(i64::from(span)) as f64 * random.share()) as Millis
            };
            // From 3 to 150, more cheap ones than dear ones.
            let cents = (300.0 * 50f64.powf(random.share() * random.share())) as i64;
            members[(category - 1) as usize].push(number);
            items.push(Item { category, launched, cents, complements: [0; 2] });
        }
        for number in 1..=count {
            let mut random = Random::new([seed, 2, number]);
            // Of the next category, near the item's own rank, so that popular items go with popular ones.
            let rank = (number - 1) / kinds;
            let complement = |random: &mut Random| {
                let among = &members[(number % kinds) as usize];
                let place = (rank + random.below(3)).min(among.len().saturating_sub(1) as u64);
                among.get(place as usize).copied().unwrap_or(number)
            };
            items[(number - 1) as usize].complements = [complement(&mut random), complement(&mut random)];
        }
        let weighed = |items: Vec<u64>| {
            let mut sum = 0.0;
            let weigh = |(rank, item): (u32, u64)| {
                sum += f64::from(rank).powf(-ZIPF);
                (item, sum)
            };
            (1u32..).zip(items).map(weigh).collect()
        };
        let categories = members.into_iter().map(weighed).collect();
        Truth { settings, items, categories, frauds: FxHashMap::default() }
    }

    fn item(&self, item: u64) -> Option<&Item> {
        self.items.get(usize::try_from(item.checked_sub(1)?).ok()?)
    }

    /// An item's category; 0 if there is no such item.
    pub fn category(&self, item: u64) -> u64 {
        self.item(item).map_or(0, |item| item.category)
    }

    /// From when on an item is sold, in ms since 1970 UTC.
    pub fn launched(&self, item: u64) -> Option<Millis> {
        self.item(item).map(|item| item.launched)
    }

    /// An item's first price in cents.
    pub fn cents(&self, item: u64) -> Option<i64> {
        self.item(item).map(|item| item.cents)
    }

    /// What is often bought with an item.
    pub fn complements(&self, item: u64) -> &[u64] {
        self.item(item).map_or(&[], |item| &item.complements)
    }

    /// The categories that a user likes, the most first; half of what they like is of the first.
    pub fn taste(&self, user: u64) -> [u64; 3] {
        let mut random = Random::new([self.settings.seed, 3, user]);
        [0; 3].map(|_| random.below(self.settings.categories.max(1)) + 1)
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Why an order's payment is a fraud, if it is one; known as far as the simulation has come.
    pub fn fraud(&self, order: u64) -> Option<Scenario> {
        self.frauds.get(&order).copied()
    }

    /// An item of a category, by popularity.
    pub(crate) fn popular(&self, category: u64, random: &mut Random) -> u64 {
        let items = &self.categories[((category - 1) % self.categories.len() as u64) as usize];
        let Some((_, all)) = items.last() else { return random.below(self.items.len() as u64) + 1 };
        let at = random.share() * all;
        items[items.partition_point(|(_, sum)| *sum <= at).min(items.len() - 1)].0
    }

    /// How much a category is asked for on a day, beside an average day: it rises and falls within four weeks.
    pub(crate) fn season(&self, category: u64, day: u32) -> f64 {
        let phase = category as f64 / self.categories.len() as f64 + f64::from(day) / 28.0;
        1.0 + 0.6 * (std::f64::consts::TAU * phase).sin()
    }
}
