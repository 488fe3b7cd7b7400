//! q7, highest bid: the highest bids of every 10 seconds.

use crate::event::{Bid, Event, Kinds};
use std::collections::BTreeMap;
use tidemill::time::seconds;
use tidemill::{Millis, Result, Stream};
use tidemill_window::{IntoWindows, Leaders, Windows};

/// All bids that no other of their 10 seconds is higher than.
///
/// The reference's SQL also gives a bid of the very millisecond in which the 10 seconds are over, if it is as high: its
/// join takes both ends of the time in. Here the end belongs to the next window.
pub fn query(events: Stream<'_, Event>) -> Result<Stream<'_, Bid>> {
    let highest = Leaders::of(|bid: &Bid| bid.price);
    let (windows, _late) = events.bids().window(Windows::tumbling(seconds(10)), highest).finals("highest bids")?;
    Ok(windows.flat_map(|window| window.value))
}

/// The same by plain loops.
pub fn brute_force(events: &[Event]) -> Vec<Bid> {
    let mut windows: BTreeMap<Millis, Vec<&Bid>> = BTreeMap::new();
    for bid in events.iter().filter_map(Event::bid) {
        windows.entry(bid.time / 10_000).or_default().push(bid);
    }
    let mut rows = vec![];
    for bids in windows.values() {
        let highest = bids.iter().map(|bid| bid.price).max();
        rows.extend(bids.iter().filter(|bid| Some(bid.price) == highest).map(|bid| (*bid).clone()));
    }
    rows
}
