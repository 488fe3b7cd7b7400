//! q20, expand bid: every bid for an auction of category 10, with the auction.

use crate::event::{Auction, Bid, Event};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tidemill::{Context, Order, Process, Reject, Result, Stream};

/// A bid and what it is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ExpandedBid {
    /// The bid.
    pub bid: Bid,
    /// The auction.
    pub auction: Auction,
}

/// Every bid meets its auction, however far apart in time they are and whichever comes first.
///
/// SQL's join keeps all bids and all auctions for ever. An auction is opened once, so a bid that has met it is not kept
/// here.
pub fn query(events: Stream<'_, Event>) -> Result<Stream<'_, ExpandedBid>> {
    let about_auctions = events.filter(|event| event.person().is_none());
    about_auctions.key_by(Event::auction_id).process("expanded bids", Expand)
}

/// Gives each bid its auction.
struct Expand;

/// An auction, or the bids that wait for it.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Known {
    auction: Option<Auction>,
    waiting: Vec<Bid>,
}

impl Process for Expand {
    type Key = Option<u64>;
    type In = Event;
    type Out = ExpandedBid;
    type State = Known;

    /// The rows are the same in whatever order events come, so none has to wait for its time.
    const ORDER: Order = Order::Arrival;
    const UNDO: bool = false;

    fn process(
        &self,
        _: &Self::Key,
        event: Event,
        known: &mut Known,
        ctx: &mut Context<'_, ExpandedBid>,
    ) -> Result<(), Reject> {
        match event {
            Event::Person(_) => (),
            Event::Auction(auction) => known.auction = Some(auction),
            Event::Bid(bid) => known.waiting.push(bid),
        }
        if let Some(auction) = &known.auction {
            let wanted = known.waiting.drain(..).filter(|_| auction.category == 10);
            wanted.for_each(|bid| ctx.emit(ExpandedBid { bid, auction: auction.clone() }));
        }
        Ok(())
    }
}

/// The same by plain loops.
pub fn brute_force(events: &[Event]) -> Vec<ExpandedBid> {
    let auctions: BTreeMap<u64, &Auction> = events.iter().filter_map(Event::auction).map(|a| (a.id, a)).collect();
    let mut rows = vec![];
    for bid in events.iter().filter_map(Event::bid) {
        if let Some(auction) = auctions.get(&bid.auction)
            && auction.category == 10
        {
            rows.push(ExpandedBid { bid: bid.clone(), auction: (*auction).clone() });
        }
    }
    rows
}
