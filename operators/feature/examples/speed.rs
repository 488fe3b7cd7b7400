//! What a history costs beside the loop one would write by hand: ten million events of a hundred thousand keys over
//! thirty days, count and sum over one and seven days, in one hash map on one thread.
//!
//! `cargo run --release -p tidemill-feature --example speed -- [EVENTS [ROUNDS]]` prints ns per event (the best of the
//! rounds, which take turns) and the ratio to the loop by hand. Machines differ; compare the ratios.

use std::collections::VecDeque;
use std::hint::black_box;
use std::mem::size_of;
use std::time::Instant;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use tidemill::{Closing, Emit, Kernel, Record, Seq};
use tidemill_feature::{Aggregate, AtOnce, DAY, Distinct, History, Max, Min, Role, Sliding, Span, Ties, Windows};

const KEYS: u64 = 100_000;
const LATE: u64 = 60_000;
const CLOSED: [Span; 2] = [Span::last(DAY + 1), Span::last(7 * DAY + 1)];
const WINDOWS: Windows<2> = Windows::new(CLOSED).ties(Ties::All);
const LENIENT: Windows<2> = WINDOWS.lateness(LATE);

/// By hand: `[ts-1d, ts]` and `[ts-7d, ts]`, as in the peers' reference.
#[derive(Default)]
struct ByHand {
    /// Seven days, of which the first `older` are more than one day old.
    facts: VecDeque<(i64, i64)>,
    older: usize,
    one: i64,
    seven: i64,
}

impl ByHand {
    #[inline]
    fn push(&mut self, time: i64, cents: i64) -> (u64, i64, u64, i64) {
        let day = DAY as i64;
        self.facts.push_back((time, cents));
        self.one += cents;
        self.seven += cents;
        while self.facts[0].0 < time - 7 * day {
            if let Some((_, cents)) = self.facts.pop_front() {
                self.seven -= cents;
                if self.older > 0 {
                    self.older -= 1;
                } else {
                    self.one -= cents;
                }
            }
        }
        while self.facts[self.older].0 < time - day {
            self.one -= self.facts[self.older].1;
            self.older += 1;
        }
        let all = self.facts.len();
        ((all - self.older) as u64, self.one, all as u64, self.seven)
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Event {
    id: u64,
    key: u32,
    time: i64,
    cents: i64,
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The events, each behind its place in the order by less than `late` ms.
fn events(events: u64, late: u64) -> impl Iterator<Item = Event> {
    (0..events).map(move |id| {
        let random = mix(id);
        let in_order = (u128::from(id) * u128::from(30 * DAY) / u128::from(events)) as i64;
        Event {
            id,
            key: (random % KEYS) as u32,
            time: in_order - (random % late) as i64,
            cents: ((random >> 40) % 10_000) as i64,
        }
    })
}

type Checksum = u64;
type Contender = (&'static str, fn(u64) -> Checksum);

fn checksum(numbers: (u64, i64, u64, i64)) -> Checksum {
    let (c1, s1, c7, s7) = numbers;
    mix(c1 ^ mix(s1 as u64 ^ mix(c7 ^ mix(s7 as u64))))
}

fn by_hand(n: u64) -> Checksum {
    let mut keys = FxHashMap::<u32, ByHand>::default();
    events(n, 1).fold(0u64, |sum, event| {
        let numbers = keys.entry(event.key).or_default().push(event.time, event.cents);
        sum.wrapping_add(checksum(numbers))
    })
}

fn history<T: Copy + Ord + Default, X: Aggregate<1>>(n: u64, windows: &Windows<2>, tie: fn(u64) -> T) -> Checksum {
    let mut keys = FxHashMap::<u32, History<1, 2, T, X>>::default();
    events(n, 1).fold(0u64, |sum, event| {
        let history = keys.entry(event.key).or_default();
        let at = (event.time, tie(event.id));
        let Ok([one, seven]) = history.push(windows, at, [event.cents]) else {
            return sum;
        };
        black_box((&one.also, &seven.also));
        let numbers = (one.count, one.sums[0], seven.count, seven.sums[0]);
        sum.wrapping_add(checksum(numbers))
    })
}

/// The operator without the engine around it: records in, records out, in epochs of 4096.
fn finals(n: u64) -> Checksum {
    let sliding = Sliding::new(WINDOWS, |event: &Event| Role::Both([event.cents]));
    let mut kernel = sliding.finals_kernel("finals", |event: &Event| event.key);
    let (mut sum, mut emit, mut before) = (0u64, Emit::default(), i64::MIN);
    let mut events = events(n, 1).map(|event| Record { time: event.time, seq: Seq::new(0, event.id), value: event });
    let mut records: Vec<_> = Vec::with_capacity(4096);
    for epoch in 1.. {
        records.extend(events.by_ref().take(4096));
        let Some(last) = records.last() else { break };
        let at = Closing { epoch, before, after: last.time };
        kernel.records(at, &mut records, &mut emit);
        kernel.settle(at, &mut emit);
        before = at.after;
        for Record { value: (_, [one, seven]), .. } in emit.out.drain(..) {
            sum = sum.wrapping_add(checksum((one.count, one.sums[0], seven.count, seven.sums[0])));
        }
    }
    sum
}

fn at_once(n: u64, late: u64) -> Checksum {
    let mut keys = FxHashMap::<u32, AtOnce<u64, 1, 2>>::default();
    let mut sum = 0u64;
    for event in events(n, late) {
        let history = keys.entry(event.key).or_default();
        let at = (event.time, event.id);
        let numbers = |[one, seven]: &tidemill_feature::Answer<1, 2>| {
            checksum((one.count, one.sums[0], seven.count, seven.sums[0]))
        };
        let inserted = history.insert(&LENIENT, at, [event.cents], |_, old, new| {
            sum = sum.wrapping_sub(numbers(old)).wrapping_add(numbers(new));
        });
        if let (Ok(()), Ok(answer)) = (inserted, history.ask(&LENIENT, at, event.id)) {
            sum = sum.wrapping_add(numbers(&answer));
        }
    }
    sum
}

const CONTENDERS: [Contender; 9] = [
    ("by hand", by_hand),
    ("History, no tie", |n| history::<_, ()>(n, &WINDOWS, |_| ())),
    ("History, no tie, windows known at run time", |n| history::<_, ()>(n, &black_box(WINDOWS), |_| ())),
    ("History, u64 tie", |n| history::<_, ()>(n, &WINDOWS, |id| id)),
    ("History, no tie, min and max", |n| history::<_, (Min<0>, Max<0>)>(n, &WINDOWS, |_| ())),
    ("History, no tie, distinct", |n| history::<_, Distinct<0>>(n, &WINDOWS, |_| ())),
    ("finals, the operator", finals),
    ("AtOnce, in order", |n| at_once(n, 1)),
    ("AtOnce, up to 60 s out of order", |n| at_once(n, LATE)),
];

fn main() {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse().ok());
    let n = args.next().flatten().unwrap_or(10_000_000);
    let rounds = args.next().flatten().unwrap_or(3).max(1) as usize;

    let mut seconds = [f64::INFINITY; CONTENDERS.len()];
    let mut checksums = [0; CONTENDERS.len()];
    for _ in 0..rounds {
        for (i, (_, contender)) in CONTENDERS.iter().enumerate() {
            let start = Instant::now();
            checksums[i] = contender(n);
            seconds[i] = seconds[i].min(start.elapsed().as_secs_f64());
        }
    }
    assert!(checksums[..8].iter().all(|sum| *sum == checksums[0]), "the same events in order give the same answers");
    let hand = seconds[0];
    for ((name, _), seconds) in CONTENDERS.iter().zip(seconds) {
        println!("{name:45} {:7.1} ns/event {:5.2}", seconds / n as f64 * 1e9, seconds / hand);
    }
    println!(
        "inline bytes per key: by hand {}, History<1, 2, ()> {}, History<1, 2> {}, AtOnce<u64, 1, 2> {}",
        size_of::<ByHand>(),
        size_of::<History<1, 2, ()>>(),
        size_of::<History<1, 2>>(),
        size_of::<AtOnce<u64, 1, 2>>(),
    );
}
