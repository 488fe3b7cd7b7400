//! q0, pass through: every bid, as it is. What the generator and the way through the graph cost.

use crate::event::{Bid, Event, Kinds};
use tidemill::{Result, Stream};

/// The bids.
pub fn query(events: Stream<'_, Event>) -> Result<Stream<'_, Bid>> {
    Ok(events.bids())
}

/// The same by plain loops.
pub fn brute_force(events: &[Event]) -> Vec<Bid> {
    events.iter().filter_map(Event::bid).cloned().collect()
}
