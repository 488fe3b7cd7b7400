//! q13, bounded side input join: every bid with what a small table says of its auction.

use crate::event::{Bid, Event, Kinds};
use serde::{Deserialize, Serialize};
use tidemill::{Events, Millis, Result, Stream, Timing};
use tidemill_join::{Joins, Version};

/// How many rows the table has.
const SIDE: u64 = 10_000;

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Side {
    /// From 0 up.
    pub key: u64,
    /// The same as text.
    pub value: String,
}

/// A bid with the row of its auction's number modulo 10,000.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EnrichedBid {
    /// For what.
    pub auction: u64,
    /// Who.
    pub bidder: u64,
    /// How much, in cents.
    pub price: u64,
    /// When, in milliseconds since 1970 UTC.
    pub time: Millis,
    /// What the table says.
    pub value: String,
}

/// The table is a source of its own, known and valid from the beginning of time; so no bid is looked up before all of
/// it has been read.
pub fn query(events: Stream<'_, Event>) -> Result<Stream<'_, EnrichedBid>> {
    let row = |key: u64| Side { key, value: key.to_string() };
    let table = (0..SIDE).map(|key| Version { key, valid_from: 0, known_at: 0, row: Some(row(key)) }).collect();
    let known_at = Timing::by(|version: &Version<u64, Side>| version.known_at);
    let table = events.job().source("side input", Events::new(table), known_at)?;
    let bids = events.bids().key_by(|bid| bid.auction % SIDE);
    let enriched = |&Bid { auction, bidder, price, time, .. }: &Bid, row: Option<&Side>| {
        row.map(|row| EnrichedBid { auction, bidder, price, time, value: row.value.clone() })
    };
    let (joined, _late) = bids.join_as_of("enriched bids", table, |_, time| time, enriched)?;
    Ok(joined.flat_map(|bid| bid))
}

/// The same by plain loops.
pub fn brute_force(events: &[Event]) -> Vec<EnrichedBid> {
    let mut rows = vec![];
    for &Bid { auction, bidder, price, time, .. } in events.iter().filter_map(Event::bid) {
        rows.push(EnrichedBid { auction, bidder, price, time, value: format!("{}", auction % 10_000) });
    }
    rows
}
