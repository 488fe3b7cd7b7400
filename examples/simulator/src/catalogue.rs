//! What the shop sells.

use tidemill::Millis;
use tidemill::time::days;

use crate::random::{Draw, Random};
use crate::settings::Settings;

/// The items, by number and by category.
#[derive(Clone, Debug)]
pub(crate) struct Catalogue {
    /// By number less 1.
    items: Vec<Item>,
    /// By number less 1: a category's items, the most popular first, each with the sum of the weights up to it.
    categories: Vec<Vec<(u64, f64)>>,
}

/// An item, as it will be.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub category: u64,
    /// Its place among the popular ones of its category, 0 for the first.
    pub rank: usize,
    pub launched: Millis,
    /// The price at its launch.
    pub cents: i64,
    pub complements: Vec<u64>,
}

/// How fast popularity falls with the rank in the category (Zipf's law).
const ZIPF: f64 = 1.05;

/// Of all items, those that are sold from the first day on.
const FROM_THE_START: f64 = 0.8;

impl Catalogue {
    /// Expects settings with at least one item and no more categories than items.
    pub fn new(settings: &Settings) -> Self {
        let Settings { items: count, categories: kinds, days: span, seed, start, .. } = *settings;
        let mut members: Vec<Vec<u64>> = vec![Vec::new(); kinds as usize];
        (1..=count).for_each(|item| members[((item - 1) % kinds) as usize].push(item));
        let mut items =
            vec![Item { category: 0, rank: 0, launched: start, cents: 0, complements: Vec::new() }; count as usize];
        for (category, members) in (1..).zip(&mut members) {
            Random::of(seed, Draw::Ranks, category).shuffle(members);
            for (rank, number) in members.iter().enumerate() {
                let mut random = Random::of(seed, Draw::Item, *number);
                let item = &mut items[(number - 1) as usize];
                (item.category, item.rank) = (category, rank);
                // The best is always sold, so that there is something to look at.
                if rank > 0 && !random.chance(FROM_THE_START) {
                    item.launched += (days(i64::from(span)) as f64 * random.share()) as Millis;
                }
                // From 3.00 to 150.00, more cheap ones than dear ones.
                item.cents = (300.0 * 50f64.powf(random.share() * random.share())) as i64;
            }
        }
        for number in 1..=count {
            let item = &mut items[(number - 1) as usize];
            // Categories go together by two, and popular items with popular ones.
            let other = (item.category - 1) ^ 1;
            let among = members.get(other as usize).unwrap_or(&members[(item.category - 1) as usize]);
            let near =
                (item.rank..item.rank + 4).map(|place| among[place % among.len()]).filter(|near| *near != number);
            let skipped = Random::of(seed, Draw::Complements, number).below(2) as usize;
            item.complements = near.skip(skipped).take(2).collect();
            item.complements.dedup();
        }
        let categories = members.into_iter().map(weighed).collect();
        Catalogue { items, categories }
    }

    /// An item by its number, if there is one.
    pub fn item(&self, number: u64) -> Option<&Item> {
        self.items.get(usize::try_from(number.checked_sub(1)?).ok()?)
    }

    /// All items with their numbers.
    pub fn items(&self) -> impl Iterator<Item = (u64, &Item)> {
        (1..).zip(&self.items)
    }

    /// Whether an item has been launched.
    pub fn is_sold(&self, number: u64, time: Millis) -> bool {
        self.item(number).is_some_and(|item| item.launched <= time)
    }

    /// Items of a category, the most popular first, with the sums of their weights.
    pub fn members(&self, category: u64) -> &[(u64, f64)] {
        let place = category.checked_sub(1).and_then(|place| self.categories.get(place as usize));
        place.map_or(&[], Vec::as_slice)
    }

    /// An item of a category, drawn by popularity; `None` if the category is empty.
    pub fn popular(&self, category: u64, random: &mut Random) -> Option<u64> {
        let members = self.members(category);
        let (_, all) = members.last()?;
        let at = random.share() * all;
        members.get(members.partition_point(|(_, sum)| *sum <= at)).map(|(item, _)| *item)
    }
}

fn weighed(members: Vec<u64>) -> Vec<(u64, f64)> {
    let mut sum = 0.0;
    let weigh = |(rank, item): (u32, u64)| {
        sum += f64::from(rank).powf(-ZIPF);
        (item, sum)
    };
    (1u32..).zip(members).map(weigh).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_has_a_category_and_goes_with_others() {
        for (items, categories) in [(500, 10), (501, 9), (7, 7), (5, 2)] {
            let settings = Settings { items, categories, ..Settings::default() };
            let catalogue = Catalogue::new(&settings);
            assert_eq!((1..=categories).map(|category| catalogue.members(category).len() as u64).sum::<u64>(), items);
            for (number, item) in catalogue.items() {
                assert_eq!(catalogue.members(item.category)[item.rank].0, number);
                assert!((300..=15_000).contains(&item.cents));
                assert!(item.complements.iter().all(|with| *with != number && catalogue.item(*with).is_some()));
                assert!(items < 100 || item.complements.len() == 2);
            }
        }
    }

    #[test]
    fn popularity_falls_as_zipf_says() {
        let catalogue = Catalogue::new(&Settings { items: 100, categories: 1, ..Settings::default() });
        let mut random = Random::of(1, Draw::Visits, 0);
        let mut counts = [0.0; 100];
        for _ in 0..200_000 {
            let item = catalogue.popular(1, &mut random).unwrap();
            counts[catalogue.item(item).unwrap().rank] += 1.0;
        }
        for rank in [1, 3, 9] {
            let expected = (rank as f64 + 1.0).powf(ZIPF);
            assert!((counts[0] / counts[rank] / expected - 1.0).abs() < 0.1, "{rank}: {}", counts[0] / counts[rank]);
        }
        assert_eq!(catalogue.popular(2, &mut random), None);
    }
}
