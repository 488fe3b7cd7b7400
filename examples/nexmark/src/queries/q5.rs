//! q5, hot items: which auctions had the most bids in the last 10 seconds? Asked every 2 seconds.

use crate::event::{Event, Kinds};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tidemill::time::seconds;
use tidemill::{Millis, Result, Stream};
use tidemill_window::{Count, IntoWindows, Leaders, Window, Windows};

/// An auction that no other had more bids than.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HotItem {
    /// When the 10 seconds have ended, in milliseconds since 1970 UTC.
    pub end: Millis,
    /// The auction.
    pub auction: u64,
    /// How many bids it had.
    pub bids: u64,
}

/// Bids are counted by auction in windows of 10 seconds; then those of the same end, of which there is one every 2
/// seconds, are compared.
pub fn query(events: Stream<'_, Event>) -> Result<Stream<'_, HotItem>> {
    let auctions = events.bids().map(|bid| bid.auction).key_by(|auction| *auction);
    let (counts, _late) =
        auctions.window(Windows::hopping(seconds(10), seconds(2)), Count::new()).finals("bids by auction")?;
    let most = Leaders::of(|count: &Window<u64, u64>| count.value);
    let (hot, _late) =
        counts.key_by(|count| count.end).window(Windows::tumbling(seconds(2)), most).finals("hot items")?;
    let hot = hot.flat_map(|window| window.value);
    Ok(hot.map(|Window { key, end, value, .. }| HotItem { end, auction: key, bids: value }))
}

/// The same by plain loops.
pub fn brute_force(events: &[Event]) -> Vec<HotItem> {
    let mut windows: BTreeMap<Millis, BTreeMap<u64, u64>> = BTreeMap::new();
    for bid in events.iter().filter_map(Event::bid) {
        // A window that ends at the bid's own time does not hold it, the next five do.
        let next_end = bid.time - bid.time % 2_000 + 2_000;
        for end in [0, 2_000, 4_000, 6_000, 8_000].map(|later| next_end + later) {
            *windows.entry(end).or_default().entry(bid.auction).or_default() += 1;
        }
    }
    let mut rows = vec![];
    for (end, counts) in windows {
        let most = counts.values().max().copied();
        for (auction, bids) in counts {
            if Some(bids) == most {
                rows.push(HotItem { end, auction, bids });
            }
        }
    }
    rows
}
