//! q9, winning bids: each auction with the bid that won it.

use crate::event::Event;
use crate::queries::winning::{self, Won, winning_bids};
use tidemill::{Result, Stream};

/// The [winning bids](super::winning), each given once, when its auction is over.
pub fn query(events: Stream<'_, Event>) -> Result<Stream<'_, Won>> {
    winning_bids(events)
}

/// The same by plain loops.
pub fn brute_force(events: &[Event]) -> Vec<Won> {
    winning::brute_force(events)
}
