//! q18, last bid: each person's last bid for each auction.

use crate::event::{Bid, Event, Kinds};
use std::collections::BTreeMap;
use tidemill::{Collection, Millis, Result, Stream};
use tidemill_rank::Ranks;

/// One row per bidder and auction, which later bids take the place of. Of several bids in the same millisecond it is
/// the one whose fields come last, so the higher one; the reference leaves that open.
pub fn query(events: Stream<'_, Event>) -> Result<Collection<'_, Bid>> {
    events.bids().key_by(|bid| (bid.bidder, bid.auction)).latest("last bids")
}

/// The same by plain loops.
pub fn brute_force(events: &[Event]) -> Vec<Bid> {
    let mut last: BTreeMap<(u64, u64), (Millis, Bid)> = BTreeMap::new();
    for bid in events.iter().filter_map(Event::bid) {
        let new = (bid.time, bid.clone());
        let kept = last.entry((bid.bidder, bid.auction)).or_insert(new.clone());
        if new > *kept {
            *kept = new;
        }
    }
    last.into_values().map(|(_, bid)| bid).collect()
}
