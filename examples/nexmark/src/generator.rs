//! The benchmark's generator: an auction house that never closes.
//!
//! It follows the model of the reference generators (Apache Beam's, and `nexmark-flink`'s after it): of 50 events one
//! is a person, 3 are auctions and 46 are bids. Some auctions, sellers and bidders are hot, the others are among the
//! most recent ones, and now and then a few ahead of them, so that something may happen to an auction, or by a person,
//! just before it is there. Prices are spread evenly over powers of ten.
//!
//! An event depends on the seed and on its number alone, so any part of the input can be made by itself.

mod random;

pub use random::Random;

use crate::event::{Auction, Bid, Event, Person};
use std::num::NonZeroU64;
use tidemill::Millis;

/// Events come in rounds of so many: a person, then auctions, then bids.
const ROUND: u64 = 50;
/// Auctions in a round.
const AUCTIONS: u64 = 3;

/// The number of the first person, and of the first auction.
const FIRST_ID: u64 = 1000;
/// The number of the first category.
const FIRST_CATEGORY: u64 = 10;
/// How many categories there are.
const CATEGORIES: u64 = 5;

/// Of so many auctions in a row the first is hot, until the next so many begin; and of so many people the first is the
/// hot seller, the second the hot bidder.
const HOT_EVERY: u64 = 100;
/// One bid in so many is for another auction than the hot one.
const OTHER_AUCTION: u64 = 2;
/// One bid in so many is by somebody else than the hot bidder.
const OTHER_BIDDER: u64 = 4;
/// One auction in so many is by somebody else than the hot seller.
const OTHER_SELLER: u64 = 4;

/// Somebody else is one of so many people who joined last, or of those ahead.
const ACTIVE_PEOPLE: u64 = 1000;
/// Another auction is one of so many that were opened last, or of those ahead.
const OPEN_AUCTIONS: u64 = 100;
/// How many people, or auctions, still to come may be chosen.
const AHEAD: u64 = 10;

const FIRST_NAMES: &[&str] =
    &["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"];
const LAST_NAMES: &[&str] = &["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];
const CITIES: &[&str] =
    &["Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle", "Kent", "Cheyenne"];
const STATES: &[&str] = &["AZ", "CA", "ID", "OR", "WA", "WY"];
/// Half of all bids come by one of these channels.
const HOT_CHANNELS: &[&str] = &["Google", "Facebook", "Baidu", "Apple"];
/// The others come by one of so many.
const CHANNELS: u64 = 10_000;

/// Sets the channels' pages apart from the events.
const PAGES: u64 = 1 << 63;

/// Makes events by their number.
#[derive(Clone, Copy, Debug)]
pub struct Generator {
    /// Another seed makes other events.
    pub seed: u64,
    /// The time of the first event, in milliseconds since 1970 UTC.
    pub start: Millis,
    /// Events a second of event time.
    pub rate: NonZeroU64,
}

impl Default for Generator {
    /// 10,000 events a second from 15 July 2015 on, as the reference generators have it.
    fn default() -> Self {
        Generator { seed: 42, start: 1_436_918_400_000, rate: NonZeroU64::new(10_000).unwrap_or(NonZeroU64::MIN) }
    }
}

impl Generator {
    /// When the event of this number happens.
    pub fn time(&self, number: u64) -> Millis {
        self.start + (u128::from(number) * 1_000 / u128::from(self.rate.get())) as Millis
    }

    /// The event of this number.
    pub fn event(&self, number: u64) -> Event {
        let random = &mut Random::of(self.seed, number);
        let time = self.time(number);
        match number % ROUND {
            0 => Event::Person(person(number, time, random)),
            1..=AUCTIONS => Event::Auction(self.auction(number, time, random)),
            _ => Event::Bid(self.bid(number, time, random)),
        }
    }

    fn auction(&self, number: u64, time: Millis, random: &mut Random) -> Auction {
        let seller = match random.all_but_one_in(OTHER_SELLER) {
            true => hot(last_person(number)),
            false => somebody(number, random),
        };
        let category = FIRST_CATEGORY + random.below(CATEGORIES);
        let initial_bid = random.price();
        // On average, an auction is open until as many others have been opened as are open at a time.
        let average = self.time(number + OPEN_AUCTIONS * ROUND / AUCTIONS) - time;
        let expires = time + 1 + random.below((2 * average).max(1) as u64) as Millis;
        let item_name = random.words(20);
        let description = random.words(100);
        let reserve = initial_bid + random.price();
        let extra = random.padding(7 * 8 + item_name.len() + description.len(), 500);
        let id = FIRST_ID + last_auction(number);
        Auction {
            id,
            item_name,
            description,
            initial_bid,
            reserve,
            time,
            expires,
            seller: FIRST_ID + seller,
            category,
            extra,
        }
    }

    fn bid(&self, number: u64, time: Millis, random: &mut Random) -> Bid {
        let auction = match random.all_but_one_in(OTHER_AUCTION) {
            true => hot(last_auction(number)),
            false => {
                let last = last_auction(number);
                let first = last.saturating_sub(OPEN_AUCTIONS);
                first + random.below(last - first + 1 + AHEAD)
            }
        };
        // Not the first, so that hot bidders are not hot sellers too.
        let bidder = match random.all_but_one_in(OTHER_BIDDER) {
            true => hot(last_person(number)) + 1,
            false => somebody(number, random),
        };
        let price = random.price();
        let (channel, url) = self.channel(random);
        let extra = random.padding(4 * 8, 100);
        Bid { auction: FIRST_ID + auction, bidder: FIRST_ID + bidder, price, channel, url, time, extra }
    }

    /// A channel and its page, which is always the same. Hot channels are known by name, most others by a number that
    /// is part of the address.
    fn channel(&self, random: &mut Random) -> (String, String) {
        let hot = random.all_but_one_in(2);
        let number = random.below(if hot { HOT_CHANNELS.len() as u64 } else { CHANNELS });
        let mut of_page = Random::of(self.seed, PAGES | u64::from(hot) << 32 | number);
        let mut url = String::with_capacity(96);
        url.push_str("https://www.nexmark.com/");
        for _ in 0..3 {
            of_page.add_words(&mut url, 5, '_');
            url.push('/');
        }
        url.push_str("item.htm?query=1");
        if let Some(name) = HOT_CHANNELS.get(number as usize).filter(|_| hot) {
            return ((*name).to_owned(), url);
        }
        if of_page.all_but_one_in(10) {
            url.push_str("&channel_id=");
            url.push_str(&(number as u32).reverse_bits().to_string());
        }
        (format!("channel-{number}"), url)
    }
}

fn person(number: u64, time: Millis, random: &mut Random) -> Person {
    let name = format!("{} {}", random.one_of(FIRST_NAMES), random.one_of(LAST_NAMES));
    let mut email = String::new();
    random.add_words(&mut email, 7, '_');
    email.push('@');
    random.add_words(&mut email, 5, '_');
    email.push_str(".com");
    let mut digits = || random.below(10_000);
    let credit_card = format!("{:04} {:04} {:04} {:04}", digits(), digits(), digits(), digits());
    let city = random.one_of(CITIES).to_owned();
    let state = random.one_of(STATES).to_owned();
    let size = 2 * 8 + name.len() + email.len() + credit_card.len() + city.len() + state.len();
    let extra = random.padding(size, 200);
    Person { id: FIRST_ID + last_person(number), name, email, credit_card, city, state, time, extra }
}

/// The last person who joined up to the event of this number, counted from 0.
fn last_person(number: u64) -> u64 {
    number / ROUND
}

/// The last auction that was opened up to the event of this number, counted from 0.
fn last_auction(number: u64) -> u64 {
    let opened = number / ROUND * AUCTIONS + (number % ROUND).min(AUCTIONS);
    opened.saturating_sub(1)
}

/// The first of the hundred that `last` belongs to.
fn hot(last: u64) -> u64 {
    last / HOT_EVERY * HOT_EVERY
}

/// One of the people who joined last, or who join soon.
fn somebody(number: u64, random: &mut Random) -> u64 {
    let joined = last_person(number) + 1;
    let active = joined.min(ACTIVE_PEOPLE);
    joined - active + random.below(active + AHEAD)
}
