//! q22, folders: every bid with the first three folders of its page's address.

use crate::event::{Bid, Event, Kinds};
use serde::{Deserialize, Serialize};
use tidemill::{Result, Stream};

/// A bid and the folders of its page.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BidByFolder {
    /// For what.
    pub auction: u64,
    /// Who.
    pub bidder: u64,
    /// How much, in cents.
    pub price: u64,
    /// The channel.
    pub channel: String,
    /// The folders, from the host on; those that are not there are empty.
    pub folders: [String; 3],
}

/// The address is split at its slashes, of which there are two before the host and one after it.
pub fn query(events: Stream<'_, Event>) -> Result<Stream<'_, BidByFolder>> {
    Ok(events.bids().map(|Bid { auction, bidder, price, channel, url, .. }| {
        let mut parts = url.split('/').skip(3);
        let folders = [(); 3].map(|()| parts.next().unwrap_or_default().to_owned());
        BidByFolder { auction, bidder, price, channel, folders }
    }))
}

/// The same by plain loops.
pub fn brute_force(events: &[Event]) -> Vec<BidByFolder> {
    let mut rows = vec![];
    for bid in events.iter().filter_map(Event::bid) {
        let (auction, bidder, price, channel) = (bid.auction, bid.bidder, bid.price, bid.channel.clone());
        let mut folders = [String::new(), String::new(), String::new()];
        let mut slashes = 0;
        for letter in bid.url.chars() {
            match (letter, slashes) {
                ('/', _) => slashes += 1,
                (_, 3..=5) => folders[slashes - 3].push(letter),
                _ => (),
            }
        }
        rows.push(BidByFolder { auction, bidder, price, channel, folders });
    }
    rows
}
