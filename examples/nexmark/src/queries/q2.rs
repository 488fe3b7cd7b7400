//! q2, selection: the prices bid for every 123rd auction.

use crate::event::{Event, Kinds};
use serde::{Deserialize, Serialize};
use tidemill::{Result, Stream};

/// A price.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Price {
    /// For what.
    pub auction: u64,
    /// How much, in cents.
    pub price: u64,
}

/// The bids for auctions whose number 123 divides.
pub fn query(events: Stream<'_, Event>) -> Result<Stream<'_, Price>> {
    let selected = events.bids().filter(|bid| bid.auction.is_multiple_of(123));
    Ok(selected.map(|bid| Price { auction: bid.auction, price: bid.price }))
}

/// The same by plain loops.
pub fn brute_force(events: &[Event]) -> Vec<Price> {
    let mut rows = vec![];
    for bid in events.iter().filter_map(Event::bid) {
        if bid.auction % 123 == 0 {
            rows.push(Price { auction: bid.auction, price: bid.price });
        }
    }
    rows
}
