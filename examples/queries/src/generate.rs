//! The input: events of 100,000 users and 50,000 items over a month, in the same bytes everywhere.
//!
//! Event `i` depends on `i` alone, so a shorter file is the beginning of a longer one. Three of
//! four events are in order, the others up to 60 s late; items are chosen by Zipf's law.

use crate::checksum::{GOLD, mix};
use crate::event::{Event, EventType};
use std::io::{self, Write};

const SEED: u64 = 42;
const USERS: u64 = 100_000;
const ITEMS: u64 = 50_000;
const CATEGORIES: u64 = 200;
/// The exponent of Zipf's law.
const SKEW: f64 = 1.05;
/// The first event's time: 2024-01-01.
const START: i64 = 1_704_067_200_000;

/// Makes events by their number.
#[derive(Clone, Debug)]
pub struct Generator {
    /// The weight of all items up to and including each, by popularity.
    weights: Vec<f64>,
}

impl Default for Generator {
    fn default() -> Self {
        let mut sum = 0.0;
        let weight = |rank: u64| {
            sum += 1.0 / (rank as f64).powf(SKEW);
            sum
        };
        Generator { weights: (1..=ITEMS).map(weight).collect() }
    }
}

impl Generator {
    /// The event of this number.
    pub fn event(&self, event_id: u64) -> Event {
        let item = self.item(random(event_id, 1));
        let (event_type, most) = match random(event_id, 2) % 10 {
            0..7 => (EventType::View, 1),
            7..9 => (EventType::Cart, 3),
            _ => (EventType::Purchase, 3),
        };
        let quantity = 1 + random(event_id, 3) % most;
        let price = 199 + mix(item) % 29_800;
        let late = if random(event_id, 4).is_multiple_of(4) { random(event_id, 5) % 60_000 } else { 0 };
        Event {
            event_id,
            ts: START + (event_id * 2592 / 10) as i64 - late as i64,
            user_id: (random(event_id, 0) % USERS) as u32,
            item_id: item as u32,
            category_id: (item % CATEGORIES) as u32,
            event_type,
            amount: (price * quantity) as i64,
        }
    }

    /// Chooses an item; the popular ones are spread over the numbers.
    fn item(&self, random: u64) -> u64 {
        let total = self.weights[self.weights.len() - 1];
        let at = (random >> 11) as f64 / (1u64 << 53) as f64 * total;
        let rank = self.weights.partition_point(|weight| *weight <= at) as u64;
        (rank.min(ITEMS - 1) * 7919 + 13) % ITEMS
    }

    /// Writes the first `rows` events as CSV without a header.
    pub fn write(&self, rows: u64, out: &mut impl Write) -> io::Result<()> {
        let mut digits = itoa::Buffer::new();
        for event in (0..rows).map(|event_id| self.event(event_id)) {
            let Event { event_id, ts, user_id, item_id, category_id, event_type, amount } = event;
            for number in [event_id as i64, ts, user_id.into(), item_id.into(), category_id.into()] {
                out.write_all(digits.format(number).as_bytes())?;
                out.write_all(b",")?;
            }
            out.write_all(event_type.name().as_bytes())?;
            out.write_all(b",")?;
            out.write_all(digits.format(amount).as_bytes())?;
            out.write_all(b"\n")?;
        }
        out.flush()
    }
}

/// The `index`th random number of an event.
fn random(event_id: u64, index: u64) -> u64 {
    let counter = event_id.wrapping_mul(16).wrapping_add(index);
    mix(mix(SEED.wrapping_mul(GOLD) ^ counter).wrapping_add(GOLD))
}
