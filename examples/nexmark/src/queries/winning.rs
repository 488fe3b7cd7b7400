//! What q4, q6 and q9 have in common: the bid that wins an auction.
//!
//! It is the highest of those made from the auction's opening to its expiry, both included; of equal ones the earliest,
//! and of those again the one whose fields come first.
//!
//! SQL has no notion of an auction's end: it shows the highest bid so far as if it had won, and corrects itself. Here a
//! bid has won when its auction is over, which is when the watermark has passed the expiry, and that is said once. Once
//! the input has ended, both say the same. And where SQL has to keep all auctions and all bids, what is kept here is
//! the auctions that are open, each with its highest bid.

use crate::event::{Auction, Bid, Event};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use tidemill::{Context, Process, Reject, Result, Stream};

/// An auction, and the bid that won it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Won {
    /// The auction.
    pub auction: Auction,
    /// The bid.
    pub bid: Bid,
}

/// The winning bid of each auction that had any, at the first millisecond at which the auction is over.
pub fn winning_bids(events: Stream<'_, Event>) -> Result<Stream<'_, Won>> {
    let about_auctions = events.filter(|event| event.person().is_none());
    about_auctions.key_by(Event::auction_id).process("winning bids", Winning)
}

/// Waits for the end of each auction, with its highest bid.
struct Winning;

/// An auction, once it is there, and its highest bid.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Open {
    auction: Option<Auction>,
    highest: Option<Bid>,
}

impl Process for Winning {
    type Key = Option<u64>;
    type In = Event;
    type Out = Won;
    type State = Open;

    const UNDO: bool = false;

    fn process(&self, _: &Self::Key, event: Event, open: &mut Open, ctx: &mut Context<'_, Won>) -> Result<(), Reject> {
        // Before its opening and after its end a bid is kept for its own millisecond only: the auction may be opened in
        // it.
        let at_once = ctx.time() + 1;
        match event {
            Event::Person(_) => (),
            Event::Auction(auction) => {
                ctx.cancel_timer(at_once);
                ctx.set_timer(auction.expires + 1);
                open.auction = Some(auction);
            }
            Event::Bid(bid) => {
                if open.auction.is_none() {
                    ctx.set_timer(at_once);
                }
                if open.highest.as_ref().is_none_or(|highest| beats(&bid, highest)) {
                    open.highest = Some(bid);
                }
            }
        }
        Ok(())
    }

    fn on_timer(&self, _: &Self::Key, open: &mut Open, ctx: &mut Context<'_, Won>) -> Result<(), Reject> {
        if let Open { auction: Some(auction), highest: Some(bid) } = std::mem::take(open) {
            ctx.emit(Won { auction, bid });
        }
        ctx.forget();
        Ok(())
    }
}

fn beats(bid: &Bid, highest: &Bid) -> bool {
    (bid.price, Reverse(bid.time), Reverse(bid)) > (highest.price, Reverse(highest.time), Reverse(highest))
}

/// The same by plain loops.
pub fn brute_force(events: &[Event]) -> Vec<Won> {
    let mut bids: BTreeMap<u64, Vec<&Bid>> = BTreeMap::new();
    for bid in events.iter().filter_map(Event::bid) {
        bids.entry(bid.auction).or_default().push(bid);
    }
    // The best comes first: the dearest, then the earliest, then the first by all fields.
    for bids in bids.values_mut() {
        bids.sort();
        bids.sort_by_key(|bid| bid.time);
        bids.sort_by_key(|bid| Reverse(bid.price));
    }
    let mut rows = vec![];
    for auction in events.iter().filter_map(Event::auction) {
        let bids = bids.get(&auction.id).into_iter().flatten();
        let mut in_time = bids.filter(|bid| auction.time <= bid.time && bid.time <= auction.expires);
        if let Some(bid) = in_time.next() {
            rows.push(Won { auction: auction.clone(), bid: (*bid).clone() });
        }
    }
    rows
}
