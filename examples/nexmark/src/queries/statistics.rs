//! What q15, q16 and q17 have in common: figures of all bids, and of those of three ranks by price.

use crate::event::Bid;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use tidemill_window::{Aggregate, Count, Distinct, Only};

/// A figure of all bids, and of those of less than 100.00, of those from there to less than 10,000.00, and of the rest.
pub type ByRank = (u64, u64, u64, u64);

/// Figures of some bids.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Statistics {
    /// How many they are.
    pub bids: ByRank,
    /// How many different people made them.
    pub bidders: ByRank,
    /// How many different auctions they are for.
    pub auctions: ByRank,
}

impl From<(ByRank, ByRank, ByRank)> for Statistics {
    fn from((bids, bidders, auctions): (ByRank, ByRank, ByRank)) -> Self {
        Statistics { bids, bidders, auctions }
    }
}

/// The aggregate of these figures.
pub fn statistics() -> impl Aggregate<In = Bid, Out = (ByRank, ByRank, ByRank)> {
    let bidders = || Distinct::of(|bid: &Bid| bid.bidder);
    let auctions = || Distinct::of(|bid: &Bid| bid.auction);
    (by_rank(Count::new), by_rank(bidders), by_rank(auctions))
}

/// What an aggregate makes of all bids and of those of each rank.
pub fn by_rank<A: Aggregate<In = Bid, Out = u64>>(figure: impl Fn() -> A) -> impl Aggregate<In = Bid, Out = ByRank> {
    let of_rank = |rank| Only::of(move |bid: &Bid| rank_of(bid.price) == rank, figure());
    (figure(), of_rank(1), of_rank(2), of_rank(3))
}

fn rank_of(price: u64) -> u8 {
    match price {
        ..10_000 => 1,
        10_000..1_000_000 => 2,
        _ => 3,
    }
}

/// The same by plain loops.
pub fn brute_force(bids: &[&Bid]) -> Statistics {
    let different = |ids: Vec<u64>| ids.into_iter().collect::<BTreeSet<u64>>().len() as u64;
    Statistics {
        bids: by_rank_by_brute_force(bids, |bids| bids.len() as u64),
        bidders: by_rank_by_brute_force(bids, |bids| different(bids.iter().map(|bid| bid.bidder).collect())),
        auctions: by_rank_by_brute_force(bids, |bids| different(bids.iter().map(|bid| bid.auction).collect())),
    }
}

/// A figure by rank, by plain loops.
pub fn by_rank_by_brute_force(bids: &[&Bid], figure: impl Fn(&[&Bid]) -> u64) -> ByRank {
    let (mut low, mut middle, mut high) = (vec![], vec![], vec![]);
    for bid in bids {
        if bid.price < 10_000 {
            low.push(*bid);
        } else if bid.price < 1_000_000 {
            middle.push(*bid);
        } else {
            high.push(*bid);
        }
    }
    (figure(bids), figure(&low), figure(&middle), figure(&high))
}
