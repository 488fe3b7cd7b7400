//! What happens in the benchmarks.

use serde::{Deserialize, Serialize};
use tidemill::Millis;
use tidemill::time::{days, seconds};

/// Somebody does something with an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Event {
    /// When, in milliseconds since 1970 UTC.
    pub time: Millis,
    /// Who: the key.
    pub user: u32,
    /// With what, 1,000 of them.
    pub item: u32,
    /// For how much.
    pub cents: i64,
}

/// How many events a benchmark has.
pub const EVENTS: u64 = 200_000;
/// How many users they are of.
pub const USERS: u64 = 10_000;
/// How far they are out of order.
pub const DISORDER: Millis = seconds(60);
/// When the first event comes at the earliest: at the beginning of a day, for windows are aligned to it.
pub const START: Millis = days(20_000);

impl Event {
    /// The `n`th event: everything but time and user follows from `n`.
    pub fn new(n: u64, time: Millis, user: u32) -> Self {
        Event { time, user, item: (random(n, 1) % 1_000) as u32, cents: (random(n, 2) % 10_000) as i64 }
    }
}

/// [`EVENTS`] of [`USERS`], evenly over `span` ms and out of order by less than [`DISORDER`].
pub fn events(span: Millis) -> Vec<Event> {
    let event = |n| {
        let time = START + DISORDER + n as i64 * span / EVENTS as i64 - random(n, 3) as i64 % DISORDER;
        Event::new(n, time, (random(n, 4) % USERS) as u32)
    };
    (0..EVENTS).map(event).collect()
}

/// The `index`th random number of an event, of 32 bits: the finaliser of splitmix64.
fn random(n: u64, index: u64) -> u64 {
    let mut z = n.wrapping_mul(8).wrapping_add(index).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z >> 32
}
