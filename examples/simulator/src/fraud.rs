//! Which payments are made with stolen cards.

use tidemill::Millis;
use tidemill::time::days;

use crate::catalogue::Catalogue;
use crate::random::{Draw, Random};
use crate::settings::Settings;

/// How a payment comes to be a fraud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scenario {
    /// It is more than [`OUTSIZED`], which nobody else pays.
    Outsized,
    /// It is for an item that is easily sold on, and bought with many stolen cards for some days.
    Resold,
    /// A user's card is stolen, and for two weeks a third of its orders are the thief's, whose prices are five times
    /// as high.
    Stolen,
}

/// A line of an order that costs more than this, in cents, is always a fraud.
pub const OUTSIZED: i64 = 200_000;

/// Of all orders, those that are [`Scenario::Outsized`].
pub(crate) const OUTSIZED_ORDERS: f64 = 0.0025;

/// Of all lines of orders, those that are [`Scenario::Resold`].
pub(crate) const RESOLD: f64 = 0.005;

/// Of a user's orders while the card is stolen, those that are the thief's.
pub(crate) const THIEFS: f64 = 1.0 / 3.0;

/// By how much the thief's prices are higher.
pub(crate) const THIEFS_FACTOR: i64 = 5;

/// Of the users, those whose card is stolen on a day: at any time 1 % of cards are, so that 0.35 % of orders are the
/// thief's.
const STOLEN_A_DAY: f64 = 0.000_75;

/// For so many days.
const STOLEN: i64 = 14;

/// An item that is easily sold on is bought by thieves for four days of ten, again and again: chargebacks of the last
/// wave warn of the next.
const WAVE: i64 = 4;
const WAVES_EVERY: i64 = 10;

/// One of so many items is easily sold on.
const RESELLABLE: u64 = 500;

/// Cents from which on an item is worth a thief's while.
const WORTHWHILE: i64 = 1_500;

/// The items that are easily sold on.
pub(crate) fn resellable(settings: &Settings, catalogue: &Catalogue) -> Vec<u64> {
    let mut random = Random::of(settings.seed, Draw::Resellable, 0);
    // Not the most popular ones: their many honest buyers would hide the thieves.
    let good = catalogue.items().filter(|(_, item)| {
        item.cents >= WORTHWHILE
            && item.launched == settings.start
            && item.rank >= catalogue.members(item.category).len() / 4
    });
    let mut good: Vec<u64> = good.map(|(number, _)| number).collect();
    random.shuffle(&mut good);
    good.truncate((settings.items / RESELLABLE).max(1) as usize);
    good
}

/// Whether the item at this place among the resellable ones is under attack; waves of neighbours overlap by a day.
pub(crate) fn is_attacked(settings: &Settings, place: usize, time: Millis) -> bool {
    let day = (time - settings.start).div_euclid(days(1));
    (day - place as i64 * (WAVE - 1)).rem_euclid(WAVES_EVERY) < WAVE
}

/// Whether a user's card is stolen.
pub(crate) fn is_stolen(settings: &Settings, user: u64, time: Millis) -> bool {
    let mut random = Random::of(settings.seed, Draw::Card, user);
    // One that was stolen shortly before the first day is stolen yet.
    let span = i64::from(settings.days) + STOLEN;
    let from = settings.start + random.between(days(-STOLEN), days(span - STOLEN));
    random.chance(span as f64 * STOLEN_A_DAY) && (from..from + days(STOLEN)).contains(&time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thieves_always_find_an_item_and_leave_it_alone_for_most_of_the_time() {
        let settings = Settings::default();
        let catalogue = Catalogue::new(&settings);
        let items = resellable(&settings, &catalogue);
        assert_eq!(items.len(), 4);
        for day in 0..20 {
            let time = settings.start + days(day);
            let attacked = (0..items.len()).filter(|place| is_attacked(&settings, *place, time)).count();
            assert!((1..4).contains(&attacked), "{attacked}");
        }
    }

    #[test]
    fn one_card_of_a_hundred_is_stolen_at_any_time() {
        let settings = Settings::default();
        for day in [0, 20, 41] {
            let time = settings.start + days(day);
            let stolen = (1..=50_000).filter(|user| is_stolen(&settings, *user, time)).count();
            assert!((440..620).contains(&stolen), "{stolen}");
        }
    }
}
