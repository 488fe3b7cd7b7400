//! q21, channel id: every bid that came by a channel with a number, with that number.

use crate::event::{Bid, Event, Kinds};
use serde::{Deserialize, Serialize};
use tidemill::{Result, Stream};

/// A bid and its channel's number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BidByChannel {
    /// For what.
    pub auction: u64,
    /// Who.
    pub bidder: u64,
    /// How much, in cents.
    pub price: u64,
    /// The channel.
    pub channel: String,
    /// Its number.
    pub channel_id: String,
}

/// Four channels have numbers that everybody knows; that of the others is part of the page's address, or they have
/// none.
pub fn query(events: Stream<'_, Event>) -> Result<Stream<'_, BidByChannel>> {
    Ok(events.bids().flat_map(|Bid { auction, bidder, price, channel, url, .. }| {
        let channel_id = match channel.to_lowercase().as_str() {
            "apple" => "0",
            "google" => "1",
            "facebook" => "2",
            "baidu" => "3",
            _ => parameter(&url, "channel_id")?,
        };
        let channel_id = channel_id.to_owned();
        Some(BidByChannel { auction, bidder, price, channel, channel_id })
    }))
}

/// The value of a parameter of an address, parameters being what lies between ampersands.
fn parameter<'u>(url: &'u str, name: &str) -> Option<&'u str> {
    url.split('&').find_map(|parameter| parameter.strip_prefix(name)?.strip_prefix('='))
}

/// The same by plain loops.
pub fn brute_force(events: &[Event]) -> Vec<BidByChannel> {
    let known = [("Apple", "0"), ("Google", "1"), ("Facebook", "2"), ("Baidu", "3")];
    let mut rows = vec![];
    for bid in events.iter().filter_map(Event::bid) {
        let known = known.iter().find(|(channel, _)| *channel == bid.channel).map(|(_, id)| *id);
        let in_url = bid.url.find("&channel_id=").map(|at| &bid.url[at + "&channel_id=".len()..]);
        if let Some(id) = known.or(in_url) {
            let (auction, bidder, price, channel_id) = (bid.auction, bid.bidder, bid.price, id.to_owned());
            rows.push(BidByChannel { auction, bidder, price, channel: bid.channel.clone(), channel_id });
        }
    }
    rows
}
