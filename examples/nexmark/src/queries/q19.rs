//! q19, top ten: the ten highest bids of each auction.

use crate::event::{Bid, Event, Kinds};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use tidemill::{Collection, Result, Stream};
use tidemill_rank::{Ranked, Ranks};

/// Up to ten ranked rows per auction, corrected as higher bids come. Of equal prices the earlier bid is higher, and in
/// the same millisecond that of the lesser bidder; the reference leaves both open.
pub fn query(events: Stream<'_, Event>) -> Result<Collection<'_, Ranked<u64, Bid>>> {
    let bids = events.bids().key_by(|bid| bid.auction);
    bids.top_k("top ten", 10, |bid| (bid.price, Reverse(bid.time), Reverse(bid.bidder)))
}

/// The same by plain loops.
pub fn brute_force(events: &[Event]) -> Vec<Ranked<u64, Bid>> {
    let mut auctions: BTreeMap<u64, Vec<&Bid>> = BTreeMap::new();
    for bid in events.iter().filter_map(Event::bid) {
        auctions.entry(bid.auction).or_default().push(bid);
    }
    let mut rows = vec![];
    for (key, mut bids) in auctions {
        bids.sort_by_key(|bid| bid.bidder);
        bids.sort_by_key(|bid| bid.time);
        bids.sort_by_key(|bid| Reverse(bid.price));
        for (rank, bid) in (1..=10).zip(bids) {
            rows.push(Ranked { key, rank, row: bid.clone() });
        }
    }
    rows
}
