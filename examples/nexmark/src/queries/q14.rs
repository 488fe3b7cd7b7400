//! q14, calculation: bids of a certain price, with the time of day and a count of letters.

use crate::event::{Bid, Event, Kinds};
use crate::queries::q1::RATE;
use serde::{Deserialize, Serialize};
use tidemill::time::hours;
use tidemill::{Millis, Result, Stream};

/// A time of day, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TimeOfDay {
    /// From 8:00 up to 19:00.
    Day,
    /// From 20:00 up to 7:00.
    Night,
    /// The hours between them.
    Other,
}

/// A bid, calculated with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Calculated {
    /// For what.
    pub auction: u64,
    /// Who.
    pub bidder: u64,
    /// How much, in thousandths of a euro cent.
    pub price: u64,
    /// The time of day.
    pub time_of_day: TimeOfDay,
    /// When, in milliseconds since 1970 UTC.
    pub time: Millis,
    /// The bid's padding.
    pub extra: String,
    /// How many letters c are in it.
    pub c_letters: usize,
}

/// Bids of more than 10,000 and less than 500,000 euros.
pub fn query(events: Stream<'_, Event>) -> Result<Stream<'_, Calculated>> {
    let converted = events.bids().map(|bid| Bid { price: bid.price * RATE, ..bid });
    let found = converted.filter(|bid| bid.price > 1_000_000_000 && bid.price < 50_000_000_000);
    Ok(found.map(|bid| {
        let Bid { auction, bidder, price, time, extra, .. } = bid;
        let c_letters = count(&extra, b'c');
        Calculated { auction, bidder, price, time_of_day: time_of_day(time), time, extra, c_letters }
    }))
}

fn time_of_day(time: Millis) -> TimeOfDay {
    match time.div_euclid(hours(1)).rem_euclid(24) {
        8..=18 => TimeOfDay::Day,
        ..=6 | 20.. => TimeOfDay::Night,
        _ => TimeOfDay::Other,
    }
}

fn count(text: &str, letter: u8) -> usize {
    text.bytes().filter(|byte| *byte == letter).count()
}

/// The same by plain loops.
pub fn brute_force(events: &[Event]) -> Vec<Calculated> {
    let mut rows = vec![];
    for bid in events.iter().filter_map(Event::bid) {
        let (auction, bidder, price, time, extra) = (bid.auction, bid.bidder, bid.price, bid.time, bid.extra.clone());
        let euros = price as f64 * 0.908;
        if euros <= 1_000_000.0 || euros >= 50_000_000.0 {
            continue;
        }
        let minute = time / 60_000 % 1440;
        let time_of_day = if (480..1140).contains(&minute) {
            TimeOfDay::Day
        } else if (420..480).contains(&minute) || (1140..1200).contains(&minute) {
            TimeOfDay::Other
        } else {
            TimeOfDay::Night
        };
        let c_letters = extra.split('c').count() - 1;
        rows.push(Calculated { auction, bidder, price: price * 908, time_of_day, time, extra, c_letters });
    }
    rows
}
