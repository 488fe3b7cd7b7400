//! What the operators' tests share.

use crate::{Deduplicate, RateLimit, Sessioned, Sessionise};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fmt::Debug;
use tidemill::harness::Harness;
use tidemill::time::BEGINNING;
use tidemill::{Millis, Process};

/// Time, key, number.
pub type Event = (Millis, u8, u32);

/// Epochs of events on both sides of the watermark, many at once or none, some twice; each with the watermark at its end.
pub fn events() -> impl Strategy<Value = Vec<(Vec<Event>, Millis)>> {
    let event = (-60i64..150, 0u8..4, 1usize..3);
    prop::collection::vec((prop::collection::vec(event, 0..20), 0i64..120), 1..9).prop_map(|epochs| {
        let (mut watermark, mut number) = (-100, 0);
        let close = |(events, step): (Vec<_>, Millis)| {
            let mut closed = vec![];
            for (offset, key, times) in events {
                number += 1;
                closed.extend(vec![(watermark + offset, key, number); times]);
            }
            watermark += step;
            (closed, watermark)
        };
        epochs.into_iter().map(close).collect()
    })
}

/// Runs a process over the epochs, on so many workers, with a restore onto `after` of them behind epoch `cut`, and compares
/// what it gives with what `oracle` says of each key's events that are in time, in order of time. In the end nothing may
/// be left of any key.
pub fn check<P, X>(
    epochs: &[(Vec<Event>, Millis)],
    (workers, cut, after): (usize, usize, usize),
    show: impl Fn(P::Out) -> X,
    oracle: impl Fn(u8, &[(Millis, u32)]) -> Vec<X>,
    make: impl Fn() -> P + 'static,
) -> Result<(), TestCaseError>
where
    P: Process<Key = u8, In = Event>,
    X: Ord + Debug,
{
    let mut harness = Harness::process(workers, |event: &Event| event.1, make);
    let (mut out, mut keys, mut before) = (vec![], BTreeMap::<u8, Vec<(Millis, u32)>>::new(), BEGINNING);
    for (number, (events, watermark)) in epochs.iter().enumerate() {
        for event in events {
            harness.push(event.0, *event);
            if event.0 >= before {
                keys.entry(event.1).or_default().push((event.0, event.2));
            }
        }
        harness.watermark(*watermark);
        for record in harness.emitted() {
            prop_assert!(record.time >= before, "late for whoever comes next");
            out.push(show(record.value));
        }
        if number == cut {
            prop_assert!(harness.restore(after).unwrap().is_empty());
        }
        before = *watermark;
    }
    harness.watermark(before + 1_000_000);
    out.extend(harness.out().into_iter().map(show));
    let mut expected = vec![];
    for (key, mut times) in keys {
        times.sort_by_key(|(time, _)| *time);
        expected.extend(oracle(key, &times));
    }
    out.sort();
    expected.sort();
    prop_assert_eq!(out, expected);
    prop_assert!(harness.is_empty(), "nothing is left of idle keys");
    Ok(())
}

/// What a process makes of two events of one key, 5 ms apart and the later one at the last millisecond there is.
fn at_the_end<P: Process<Key = u8, In = Event>>(make: impl Fn() -> P + 'static) -> Vec<P::Out> {
    let mut harness = Harness::process(1, |event: &Event| event.1, make);
    for (time, number) in [(Millis::MAX - 5, 1), (Millis::MAX, 2)] {
        harness.push(time, (time, 0, number));
    }
    harness.watermark(Millis::MAX);
    harness.out()
}

#[test]
fn no_time_is_up_at_the_end_of_time() {
    let (early, late) = ((Millis::MAX - 5, 0, 1), (Millis::MAX, 0, 2));
    assert_eq!(at_the_end(|| Deduplicate::new(1_000)), [early]);
    assert_eq!(at_the_end(|| RateLimit::new(1, 1_000)), [(true, early), (false, late)]);
    let (key, session) = (0, early.0);
    let expected = [(0, early), (1, late)].map(|(number, event)| Sessioned::Event { key, session, number, event });
    assert_eq!(at_the_end(|| Sessionise::new(1_000)), expected);
}
