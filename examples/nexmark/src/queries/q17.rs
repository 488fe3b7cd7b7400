//! q17, auction statistics: each auction's bids of each day, by rank of price, and their prices.

use crate::event::{Bid, Event, Kinds};
use crate::queries::statistics::{ByRank, by_rank, by_rank_by_brute_force};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tidemill::time::days;
use tidemill::{Collection, Millis, Result, Stream};
use tidemill_window::{Count, IntoWindows, Max, Min, Sum, Windows};

/// The figures of an auction's day.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AuctionDay {
    /// The auction.
    pub auction: u64,
    /// When the day began (UTC), in milliseconds since 1970.
    pub day: Millis,
    /// How many bids.
    pub bids: ByRank,
    /// The lowest price, in cents.
    pub lowest: u64,
    /// The highest price, in cents.
    pub highest: u64,
    /// The average price, in whole cents, rounded down.
    pub average: u64,
    /// The sum of all prices, in cents.
    pub sum: u64,
}

/// One row per auction and day, which every bid corrects.
pub fn query(events: Stream<'_, Event>) -> Result<Collection<'_, AuctionDay>> {
    let price = |bid: &Bid| bid.price;
    let figures = (by_rank(Count::new), Min::of(price), Max::of(price), Sum::of(|bid: &Bid| bid.price as i64));
    let auctions = events.bids().key_by(|bid| bid.auction);
    let auctions = auctions.window(Windows::tumbling(days(1)), figures).early_every_events(1);
    let (days, _late) = auctions.rows("auctions by day", Millis::MAX)?;
    Ok(days.map(|day| {
        let (bids, lowest, highest, sum) = day.value;
        let (sum, average) = (sum as u64, sum as u64 / bids.0);
        AuctionDay { auction: day.key, day: day.start, bids, lowest, highest, average, sum }
    }))
}

/// The same by plain loops.
pub fn brute_force(events: &[Event]) -> Vec<AuctionDay> {
    let mut auctions: BTreeMap<(u64, Millis), Vec<&Bid>> = BTreeMap::new();
    for bid in events.iter().filter_map(Event::bid) {
        auctions.entry((bid.auction, bid.time - bid.time % 86_400_000)).or_default().push(bid);
    }
    let mut rows = vec![];
    for ((auction, day), offers) in auctions {
        let mut prices: Vec<u64> = offers.iter().map(|bid| bid.price).collect();
        prices.sort();
        let (lowest, highest, sum) = (prices[0], prices[prices.len() - 1], prices.iter().sum());
        let (bids, average) = (by_rank_by_brute_force(&offers, |bids| bids.len() as u64), sum / prices.len() as u64);
        rows.push(AuctionDay { auction, day, bids, lowest, highest, average, sum });
    }
    rows
}
