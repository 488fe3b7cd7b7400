//! What happens at the auction house: people join, open auctions and make bids.

use serde::{Deserialize, Serialize};
use tidemill::{Millis, Stream};

/// Somebody who has joined.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Person {
    /// Counts up from 1000.
    pub id: u64,
    /// First and last name.
    pub name: String,
    /// An address for letters.
    pub email: String,
    /// Four groups of four digits.
    pub credit_card: String,
    /// Where they live.
    pub city: String,
    /// The state's two letters.
    pub state: String,
    /// When they joined, in milliseconds since 1970 UTC.
    pub time: Millis,
    /// Padding, so that a person takes 200 bytes on average.
    pub extra: String,
}

/// Something that is for sale.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Auction {
    /// Counts up from 1000.
    pub id: u64,
    /// What is for sale.
    pub item_name: String,
    /// More words about it.
    pub description: String,
    /// The first price, in cents.
    pub initial_bid: u64,
    /// The least price at which it is sold, in cents. No query looks at it.
    pub reserve: u64,
    /// When it was opened, in milliseconds since 1970 UTC.
    pub time: Millis,
    /// The last millisecond at which bids count.
    pub expires: Millis,
    /// The person who sells.
    pub seller: u64,
    /// 10 to 14.
    pub category: u64,
    /// Padding, so that an auction takes 500 bytes on average.
    pub extra: String,
}

/// What somebody would pay.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Bid {
    /// For what.
    pub auction: u64,
    /// Who.
    pub bidder: u64,
    /// How much, in cents.
    pub price: u64,
    /// Where they came from.
    pub channel: String,
    /// By which page.
    pub url: String,
    /// When, in milliseconds since 1970 UTC.
    pub time: Millis,
    /// Padding, so that a bid takes 100 bytes on average, channel and page not counted.
    pub extra: String,
}

/// One of the three.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Event {
    /// Somebody joined.
    Person(Person),
    /// An auction was opened.
    Auction(Auction),
    /// A bid was made.
    Bid(Bid),
}

impl Event {
    /// When it happened, in milliseconds since 1970 UTC.
    pub fn time(&self) -> Millis {
        match self {
            Event::Person(person) => person.time,
            Event::Auction(auction) => auction.time,
            Event::Bid(bid) => bid.time,
        }
    }

    /// The auction it is about: the one that was opened, or that a bid is for.
    pub fn auction_id(&self) -> Option<u64> {
        match self {
            Event::Person(_) => None,
            Event::Auction(auction) => Some(auction.id),
            Event::Bid(bid) => Some(bid.auction),
        }
    }

    /// The person who joined, if that is what happened.
    pub fn person(&self) -> Option<&Person> {
        if let Event::Person(person) = self { Some(person) } else { None }
    }

    /// The auction that was opened, if that is what happened.
    pub fn auction(&self) -> Option<&Auction> {
        if let Event::Auction(auction) = self { Some(auction) } else { None }
    }

    /// The bid that was made, if that is what happened.
    pub fn bid(&self) -> Option<&Bid> {
        if let Event::Bid(bid) = self { Some(bid) } else { None }
    }
}

/// The three kinds of a stream of events, each as a stream of its own.
pub trait Kinds<'s> {
    /// The people who join.
    fn people(self) -> Stream<'s, Person>;
    /// The auctions that are opened.
    fn auctions(self) -> Stream<'s, Auction>;
    /// The bids that are made.
    fn bids(self) -> Stream<'s, Bid>;
}

impl<'s> Kinds<'s> for Stream<'s, Event> {
    fn people(self) -> Stream<'s, Person> {
        self.filter_map(|event| if let Event::Person(person) = event { Some(person) } else { None })
    }

    fn auctions(self) -> Stream<'s, Auction> {
        self.filter_map(|event| if let Event::Auction(auction) = event { Some(auction) } else { None })
    }

    fn bids(self) -> Stream<'s, Bid> {
        self.filter_map(|event| if let Event::Bid(bid) = event { Some(bid) } else { None })
    }
}
