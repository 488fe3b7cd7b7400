//! q4, average price per category: for how much do auctions of each category go?

use crate::event::Event;
use crate::queries::winning::{self, Won, winning_bids};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tidemill::{Collection, Millis, Result, Stream};
use tidemill_window::{Count, IntoWindows, Sum, Windows};

/// What a category's auctions went for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CategoryPrice {
    /// The category.
    pub category: u64,
    /// The average price, in whole cents, rounded down.
    pub average: u64,
}

/// The average of all [winning bids](super::winning) so far: one row per category, corrected as auctions end.
pub fn query(events: Stream<'_, Event>) -> Result<Collection<'_, CategoryPrice>> {
    let prices = winning_bids(events)?.map(|Won { auction, bid }| (auction.category, bid.price));
    let total = (Sum::of(|price: &(u64, u64)| price.1 as i64), Count::new());
    let all_time = prices.key_by(|price| price.0).window(Windows::global(), total).early_every_events(1);
    let (totals, _late) = all_time.rows("price by category", Millis::MAX)?;
    Ok(totals.map(|all| CategoryPrice { category: all.key, average: all.value.0 as u64 / all.value.1 }))
}

/// The same by plain loops.
pub fn brute_force(events: &[Event]) -> Vec<CategoryPrice> {
    let mut prices: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for won in winning::brute_force(events) {
        prices.entry(won.auction.category).or_default().push(won.bid.price);
    }
    let average = |prices: Vec<u64>| prices.iter().sum::<u64>() / prices.len() as u64;
    prices.into_iter().map(|(category, prices)| CategoryPrice { category, average: average(prices) }).collect()
}
