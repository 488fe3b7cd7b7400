//! q6, average selling price by seller: what did a seller's last ten auctions go for?

use crate::event::Event;
use crate::queries::winning::{self, Won, winning_bids};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tidemill::{Collection, Millis, Result, Stream};
use tidemill_rank::Ranks;

/// What a seller's last auctions went for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SellerPrice {
    /// The seller.
    pub seller: u64,
    /// The average price, in whole cents, rounded down.
    pub average: u64,
}

/// An auction that went for a price.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Sale {
    seller: u64,
    expires: Millis,
    auction: u64,
    price: u64,
}

/// One row per seller: the average [winning bid](super::winning) of those of their auctions that had any, the ten that
/// ended last (of those that end together, the higher numbers). It is corrected as auctions end.
///
/// Flink's SQL cannot do this, for its windows over rows do not take corrections. What it would say is a row per
/// auction, and of eleven auctions, for ten preceding rows and the current one are eleven.
pub fn query(events: Stream<'_, Event>) -> Result<Collection<'_, SellerPrice>> {
    let sales = winning_bids(events)?.map(|Won { auction, bid }| {
        let (seller, expires, auction) = (auction.seller, auction.expires, auction.id);
        Sale { seller, expires, auction, price: bid.price }
    });
    let last_ten = sales.key_by(|sale| sale.seller).top_k("last ten", 10, |sale| (sale.expires, sale.auction))?;
    // The price and the number one become the difference, so that counting adds up both.
    let totals = last_ten.then(|sales| sales.explode(|s| Some((s.key, (s.row.price as isize, 1isize)))).count());
    Ok(totals.map(|(seller, (sum, count))| SellerPrice { seller, average: (sum / count) as u64 }))
}

/// The same by plain loops.
pub fn brute_force(events: &[Event]) -> Vec<SellerPrice> {
    let mut sales: BTreeMap<u64, Vec<(Millis, u64, u64)>> = BTreeMap::new();
    for Won { auction, bid } in winning::brute_force(events) {
        sales.entry(auction.seller).or_default().push((auction.expires, auction.id, bid.price));
    }
    let mut rows = vec![];
    for (seller, mut sales) in sales {
        sales.sort();
        let last = &sales[sales.len().saturating_sub(10)..];
        let average = last.iter().map(|sale| sale.2).sum::<u64>() / last.len() as u64;
        rows.push(SellerPrice { seller, average });
    }
    rows
}
