//! q12, processing-time windows: how many bids did each user make in every 10 seconds by the clock?

use crate::event::{Event, Kinds};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tidemill::time::seconds;
use tidemill::{Millis, Result, Stream};
use tidemill_window::{Count, IntoWindows, Windows};

/// A user's bids of 10 seconds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BidsByTheClock {
    /// The user.
    pub bidder: u64,
    /// How many bids.
    pub bids: u64,
    /// When the 10 seconds began, in milliseconds since 1970 UTC.
    pub start: Millis,
    /// When they had ended.
    pub end: Millis,
}

/// The time of a bid is when the engine takes it in, so this answer is another one in every run: it depends on how fast
/// the engine is, unless the job's clock stands still.
pub fn query(events: Stream<'_, Event>) -> Result<Stream<'_, BidsByTheClock>> {
    let bidders = events.bids().map(|bid| bid.bidder).in_processing_time().key_by(|bidder| *bidder);
    let (windows, _late) = bidders.window(Windows::tumbling(seconds(10)), Count::new()).finals("bids by the clock")?;
    Ok(windows.map(|w| BidsByTheClock { bidder: w.key, bids: w.value, start: w.start, end: w.end }))
}

/// The same by plain loops, under a clock that stands at 0. Where it moves is for `tests/processing_time.rs`.
pub fn brute_force(events: &[Event]) -> Vec<BidsByTheClock> {
    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    for bid in events.iter().filter_map(Event::bid) {
        *counts.entry(bid.bidder).or_default() += 1;
    }
    counts.into_iter().map(|(bidder, bids)| BidsByTheClock { bidder, bids, start: 0, end: 10_000 }).collect()
}
