//! What is true of the shop.

use rustc_hash::FxHashMap;
use std::ops::Range;
use tidemill::Millis;

use crate::calendar;
use crate::catalogue::{Catalogue, Item};
use crate::fraud::{self, Scenario};
use crate::random::Random;
use crate::settings::Settings;
use crate::shopper;

/// What is true of the shop, whatever its lines say. All but which orders are frauds is known before anything happens.
#[derive(Clone, Debug)]
pub struct Truth {
    settings: Settings,
    catalogue: Catalogue,
    resellable: Vec<u64>,
    frauds: FxHashMap<u64, Scenario>,
}

impl Truth {
    /// Of the shop of these settings.
    pub fn new(settings: Settings) -> Self {
        let items = settings.items.max(1);
        let categories = settings.categories.clamp(1, items);
        let settings = Settings { users: settings.users.max(1), items, categories, ..settings };
        let catalogue = Catalogue::new(&settings);
        let resellable = fraud::resellable(&settings, &catalogue);
        Truth { settings, catalogue, resellable, frauds: FxHashMap::default() }
    }

    /// Which shop it is, with at least one user, item and category, and no more categories than items.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// An item's category; 0 if there is no such item.
    pub fn category(&self, item: u64) -> u64 {
        self.catalogue.item(item).map_or(0, |item| item.category)
    }

    /// From when on an item is sold, in ms since 1970 UTC.
    pub fn launched(&self, item: u64) -> Option<Millis> {
        self.catalogue.item(item).map(|item| item.launched)
    }

    /// An item's price in cents when it is launched. Later prices are from 0.8 to 1.2 times it.
    pub fn cents(&self, item: u64) -> Option<i64> {
        self.catalogue.item(item).map(|item| item.cents)
    }

    /// How popular an item is: of those who want something of its category, the share that wants this. 0 if there is
    /// no such item.
    pub fn popularity(&self, item: u64) -> f64 {
        let Some(Item { category, rank, .. }) = self.catalogue.item(item) else { return 0.0 };
        let members = self.catalogue.members(*category);
        let sum = |place: Option<usize>| place.and_then(|place| members.get(place)).map_or(0.0, |(_, sum)| *sum);
        (sum(Some(*rank)) - sum(rank.checked_sub(1))) / sum(members.len().checked_sub(1))
    }

    /// What goes with an item: looked at after it, and bought together with it.
    pub fn complements(&self, item: u64) -> &[u64] {
        self.catalogue.item(item).map_or(&[], |item| &item.complements)
    }

    /// How much a category is asked for at a time, in ms since 1970 UTC, beside its average.
    pub fn season(&self, category: u64, time: Millis) -> f64 {
        calendar::season(category, self.settings.categories, time)
    }

    /// The categories that a user likes, the most first, each with its share of what the user looks for; what is
    /// missing to 1 is of any category. The same category can be there twice.
    pub fn taste(&self, user: u64) -> [(u64, f64); 3] {
        let mut shares = shopper::LIKED.into_iter();
        shopper::taste(&self.settings, user).map(|category| (category, shares.next().unwrap_or_default()))
    }

    /// While a user comes to the shop, in ms since 1970 UTC.
    pub fn presence(&self, user: u64) -> Range<Millis> {
        shopper::presence(&self.settings, user)
    }

    /// The items that are easily sold on, which thieves buy.
    pub fn resellable(&self) -> &[u64] {
        &self.resellable
    }

    /// The items that thieves buy at a time, in ms since 1970 UTC.
    pub fn under_attack(&self, time: Millis) -> impl Iterator<Item = u64> {
        let places = self.resellable.iter().enumerate();
        places.filter(move |(place, _)| fraud::is_attacked(&self.settings, *place, time)).map(|(_, item)| *item)
    }

    /// Whether a user's card is stolen at a time, in ms since 1970 UTC.
    pub fn is_stolen(&self, user: u64, time: Millis) -> bool {
        fraud::is_stolen(&self.settings, user, time)
    }

    /// Why an order's payment is a fraud, if it is one; known as far as the simulation has come.
    pub fn fraud(&self, order: u64) -> Option<Scenario> {
        self.frauds.get(&order).copied()
    }

    pub(crate) fn defraud(&mut self, order: u64, scenario: Scenario) {
        self.frauds.insert(order, scenario);
    }

    pub(crate) fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Whether an item is of a category that a user likes.
    pub(crate) fn likes(&self, user: u64, item: u64) -> bool {
        shopper::taste(&self.settings, user).contains(&self.category(item))
    }

    /// An item that a user looks for, by taste, season and popularity, and that is sold.
    pub(crate) fn wanted(&self, user: u64, time: Millis, random: &mut Random) -> u64 {
        let liked = shopper::taste(&self.settings, user);
        for _ in 0..8 {
            let mut at = random.share();
            let place = shopper::LIKED.iter().position(|share| {
                at -= share;
                at < 0.0
            });
            let category = place.map_or_else(|| random.below(self.settings.categories) + 1, |place| liked[place]);
            if let Some(item) = self.catalogue.popular(category, random)
                && self.catalogue.is_sold(item, time)
                && random.chance(self.season(category, time) / calendar::PEAK)
            {
                return item;
            }
        }
        // The best item of a category is always sold.
        self.catalogue.members(liked[0]).first().map_or(1, |(item, _)| *item)
    }
}
