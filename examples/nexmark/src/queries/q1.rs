//! q1, currency conversion: every bid with its price in euros.

use crate::event::{Bid, Event, Kinds};
use serde::{Deserialize, Serialize};
use tidemill::{Millis, Result, Stream};

/// Thousandths of a euro that a dollar is worth.
pub const RATE: u64 = 908;

/// A bid in euros.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BidInEuros {
    /// For what.
    pub auction: u64,
    /// Who.
    pub bidder: u64,
    /// How much, in thousandths of a cent: exact, as a decimal number would be.
    pub price: u64,
    /// When, in milliseconds since 1970 UTC.
    pub time: Millis,
    /// The bid's padding.
    pub extra: String,
}

/// Each bid, converted.
pub fn query(events: Stream<'_, Event>) -> Result<Stream<'_, BidInEuros>> {
    Ok(events.bids().map(|Bid { auction, bidder, price, time, extra, .. }| {
        let price = price * RATE;
        BidInEuros { auction, bidder, price, time, extra }
    }))
}

/// The same by plain loops.
pub fn brute_force(events: &[Event]) -> Vec<BidInEuros> {
    let mut rows = vec![];
    for bid in events.iter().filter_map(Event::bid) {
        let (price, extra) = (bid.price * 908, bid.extra.clone());
        rows.push(BidInEuros { auction: bid.auction, bidder: bid.bidder, price, time: bid.time, extra });
    }
    rows
}
