//! Every join against its definition, with a restore in the middle, and as a job on 1, 2 and 4 workers.

use crate::as_of::AsOfKernel;
use crate::interval::IntervalKernel;
use crate::lookup::LookupKernel;
use crate::pair::Outer;
use crate::window::WindowKernel;
use crate::{Joins, Pair, Side, Version};
use proptest::prelude::*;
use std::collections::BTreeMap;
use tidemill::harness::Harness;
use tidemill::time::{BEGINNING, END};
use tidemill::{Closing, Config, Emit, Events, Kernel, Maintain, Memory, Millis, Record, Seq, Timing, Update, execute};

/// Time, key, number.
type Event = (Millis, u8, u32);
type Either = Side<Event, Event>;
/// An epoch's events, and the watermark at its end.
type Closed<T> = (Vec<T>, Millis);
/// A match, or what has none, with its time.
type Match = (Millis, Option<Event>, Option<Event>);

fn key(side: &Either) -> u8 {
    event(side).1
}

fn event(side: &Either) -> Event {
    match side {
        Side::Left(event) | Side::Right(event) => *event,
    }
}

/// Epochs of events of both sides, on both sides of the watermark, many at once or none, some twice; then the end.
fn epochs() -> impl Strategy<Value = Vec<Closed<Either>>> {
    let event = (-150i64..150, 0u8..4, any::<bool>(), 1usize..3);
    prop::collection::vec((prop::collection::vec(event, 0..20), 0i64..120), 1..9).prop_map(|epochs| {
        let (mut watermark, mut number) = (-100, 0);
        let mut closed: Vec<Closed<Either>> = vec![];
        for (events, step) in epochs {
            let mut sides = vec![];
            for (offset, key, left, times) in events {
                number += 1;
                let event = (watermark + offset, key, number);
                sides.extend(vec![if left { Side::Left(event) } else { Side::Right(event) }; times]);
            }
            watermark += step;
            closed.push((sides, watermark));
        }
        closed.push((vec![], END));
        closed
    })
}

fn outer() -> impl Strategy<Value = Outer> {
    (any::<bool>(), any::<bool>()).prop_map(|(left, right)| Outer { left, right })
}

/// What a kernel gives of the epochs, sorted, and what was late. Nothing it gives is late for whoever comes next.
fn run<U, N>(
    epochs: &[Closed<(Millis, N::In)>],
    key: impl Fn(&N::In) -> u8 + 'static,
    (workers, cut, after): (usize, usize, usize),
    make: impl Fn() -> N + 'static,
) -> (Vec<(Millis, U)>, Vec<N::In>, bool)
where
    U: Clone + Ord + 'static,
    N: Kernel<Out = Record<U>>,
    N::In: Ord,
{
    let mut harness = Harness::kernel(workers, key, make);
    let (mut out, mut late, mut before) = (vec![], vec![], BEGINNING);
    for (number, (events, watermark)) in epochs.iter().enumerate() {
        events.iter().for_each(|(time, event)| harness.push(*time, event.clone()));
        harness.watermark(*watermark);
        for record in harness.emitted() {
            assert!(record.time >= before);
            out.push((record.time, record.value));
        }
        late.extend(harness.late());
        if number == cut {
            harness.restore(after).unwrap();
        }
        before = *watermark;
    }
    out.sort();
    late.sort();
    (out, late, harness.is_empty())
}

/// Each event with its time.
fn timed(epochs: &[Closed<Either>]) -> Vec<Closed<(Millis, Either)>> {
    let timed = |sides: &[Either]| sides.iter().map(|side| (event(side).0, side.clone())).collect();
    epochs.iter().map(|(sides, watermark)| (timed(sides), *watermark)).collect()
}

/// The events that are not late, by side, and those that are.
fn timely(epochs: &[Closed<Either>], late: impl Fn(Millis, Millis) -> bool) -> (Vec<Event>, Vec<Event>, Vec<Either>) {
    let (mut lefts, mut rights, mut lates, mut before) = (vec![], vec![], vec![], BEGINNING);
    for (events, watermark) in epochs {
        for side in events {
            match side {
                side if late(event(side).0, before) => lates.push(side.clone()),
                Side::Left(event) => lefts.push(*event),
                Side::Right(event) => rights.push(*event),
            }
        }
        before = *watermark;
    }
    lates.sort();
    (lefts, rights, lates)
}

/// All that matches, by trying every pair.
fn joined(
    (lefts, rights): (&[Event], &[Event]),
    outer: Outer,
    matches: impl Fn(&Event, &Event) -> Option<Millis>,
    alone: impl Fn(&Event, bool) -> Millis,
) -> Vec<(Millis, (Option<Event>, Option<Event>))> {
    let mut all: Vec<Match> = vec![];
    for l in lefts {
        all.extend(rights.iter().filter_map(|r| Some((matches(l, r)?, Some(*l), Some(*r)))));
        if outer.left && rights.iter().all(|r| matches(l, r).is_none()) {
            all.push((alone(l, true), Some(*l), None));
        }
    }
    for r in rights {
        if outer.right && lefts.iter().all(|l| matches(l, r).is_none()) {
            all.push((alone(r, false), None, Some(*r)));
        }
    }
    all.sort();
    all.into_iter().map(|(time, l, r)| (time, (l, r))).collect()
}

fn said(outer: Outer) -> impl Fn(Option<&Event>, Option<&Event>) -> Option<(Option<Event>, Option<Event>)> + Copy {
    move |l, r| {
        let wanted = l.is_some() && r.is_some() || r.is_none() && outer.left || l.is_none() && outer.right;
        wanted.then(|| (l.copied(), r.copied()))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn interval_joins_find_what_lies_so_far_apart(
        epochs in epochs(), from in -120i64..120, length in 0i64..120, outer in outer(),
        workers in 1usize..5, cut in 0usize..9, after in 1usize..5,
    ) {
        let to = from + length;
        let (lefts, rights, late) = timely(&epochs, |time, before| time < before);
        let matches = |l: &Event, r: &Event| (l.1 == r.1 && (l.0 + from..=l.0 + to).contains(&r.0)).then(|| l.0.max(r.0));
        let alone = |event: &Event, left: bool| event.0.max(if left { event.0 + to } else { event.0 - from });
        let expected = joined((&lefts, &rights), outer, matches, alone);
        let make = move || IntervalKernel::new(key, (from, to), outer, said(outer));
        let (out, given_late, empty) = run(&timed(&epochs), key, (workers, cut, after), make);
        prop_assert_eq!(out, expected);
        prop_assert_eq!(given_late, late);
        prop_assert!(empty, "nothing is kept beyond its last match");
    }

    #[test]
    fn window_joins_find_what_lies_in_the_same_window(
        epochs in epochs(), width in 1i64..150, offset in -300i64..300, outer in outer(), workers in 1usize..5, cut in 0usize..9, after in 1usize..5,
    ) {
        let end = move |time: Millis| ((time - offset).div_euclid(width) + 1) * width + offset;
        let (lefts, rights, late) = timely(&epochs, |time, before| end(time) <= before);
        let matches = |l: &Event, r: &Event| (l.1 == r.1 && end(l.0) == end(r.0)).then(|| end(l.0) - 1);
        let expected = joined((&lefts, &rights), outer, matches, |event, _| end(event.0) - 1);
        let make = move || WindowKernel::new(key, (width, offset), outer, said(outer));
        let (out, given_late, empty) = run(&timed(&epochs), key, (workers, cut, after), make);
        prop_assert_eq!(out, expected);
        prop_assert_eq!(given_late, late);
        prop_assert!(empty);
    }

    #[test]
    fn as_of_joins_take_the_version_valid_then_and_known_at_the_moment(
        epochs in epochs(), versions in prop::collection::vec((-60i64..60, -30i64..60, any::<bool>()), 60),
        delays in prop_oneof![Just(vec![0i64]), Just(vec![50]), prop::collection::vec(0i64..100, 7)],
        forget_after in prop_oneof![Just(None), (0i64..200).prop_map(Some)],
        workers in 1usize..5, cut in 0usize..9, after in 1usize..5,
    ) {
        // The right events are versions, or the end of one, valid from some time around the one at which they come; what
        // they say of when they became known is not always that time.
        type In = Side<Event, Version<u8, Event>>;
        let version = |right: &Event| {
            let (back, ahead, some) = versions[right.2 as usize % versions.len()];
            Version { key: right.1, valid_from: right.0 - back, known_at: right.0 + ahead.max(-10), row: some.then_some(*right) }
        };
        let wait = |event: &Event| delays[event.2 as usize % delays.len()];
        let versioned: Vec<Closed<(Millis, In)>> = epochs.iter().map(|(sides, watermark)| {
            let sides = sides.iter().map(|side| match side {
                Side::Left(event) => (event.0, Side::Left(*event)),
                Side::Right(event) => (event.0, Side::Right(version(event))),
            });
            (sides.collect(), *watermark)
        }).collect();

        let (lefts, rights, late) = timely(&epochs, |time, before| time < before);
        let mut expected: Vec<(Millis, (Event, Option<Event>))> = vec![];
        for l in &lefts {
            let moment = l.0 + wait(l);
            // By when it became known, then by place, which is the order that `rights` has.
            let mut known: Vec<(Millis, Version<u8, Event>)> =
                rights.iter().filter(|r| r.1 == l.1).map(|r| (version(r).known_at.max(r.0), version(r))).collect();
            known.retain(|(known_at, _)| *known_at <= moment);
            known.sort_by_key(|(known_at, _)| *known_at);
            if let Some(idle) = forget_after {
                // All that is of use to a key up to the moment, in order: what came before too long a pause is forgotten.
                let asked = lefts.iter().filter(|other| other.1 == l.1).map(|other| other.0 + wait(other));
                let mut uses: Vec<(Millis, Millis)> = asked.filter(|asked| *asked <= moment).map(|asked| (asked, asked)).collect();
                uses.extend(known.iter().map(|(known_at, version)| (*known_at, version.valid_from.max(*known_at))));
                uses.sort();
                let (mut last, mut since) = (BEGINNING, BEGINNING);
                for (at, until) in uses {
                    if at > last.saturating_add(idle) {
                        since = at;
                    }
                    last = last.max(until);
                }
                known.retain(|(known_at, _)| *known_at >= since);
            }
            known.retain(|(_, version)| version.valid_from <= l.0);
            // The last of those with the greatest `valid_from`.
            let found = known.into_iter().map(|(_, version)| version).max_by_key(|version| version.valid_from);
            expected.push((moment, (*l, found.and_then(|version| version.row))));
        }
        expected.sort();
        let mut expected_late: Vec<In> = late.iter().map(|side| match side {
            Side::Left(event) => Side::Left(*event),
            Side::Right(event) => Side::Right(version(event)),
        }).collect();
        expected_late.sort();

        let key = |side: &In| match side {
            Side::Left(event) => event.1,
            Side::Right(version) => version.key,
        };
        let delays = delays.clone();
        let make = move || {
            let delays = delays.clone();
            let moment = move |event: &Event, time| time + delays[event.2 as usize % delays.len()];
            AsOfKernel::new(key, moment, forget_after, |l: &Event, r: Option<&Event>| (*l, r.copied()))
        };
        let (out, given_late, empty) = run(&versioned, key, (workers, cut, after), make);
        prop_assert_eq!(out, expected);
        prop_assert_eq!(given_late, expected_late);
        if rights.is_empty() || forget_after.is_some() {
            prop_assert!(empty, "nothing is kept of keys without versions");
        }
    }

    #[test]
    fn lookups_take_the_row_of_the_epoch(epochs in epochs(), workers in 1usize..5, cut in 0usize..9, after in 1usize..5) {
        // A right event replaces its key's row.
        type In = Side<Event, Update<Event>>;
        let of = |side: &In| match side {
            Side::Left(event) => event.1,
            Side::Right(update) => update.row.1,
        };
        let make = move || LookupKernel::new(of, |l: &Event, r: Option<&Event>| Some((*l, r.copied())));
        let mut harness = Harness::kernel(workers, of, make);
        let mut rows: BTreeMap<u8, Event> = BTreeMap::new();
        for (number, (sides, watermark)) in epochs.iter().enumerate() {
            let mut lefts = vec![];
            for side in sides {
                match side {
                    Side::Left(event) => {
                        harness.push(event.0, Side::Left(*event));
                        lefts.push(*event);
                    }
                    Side::Right(event) => {
                        if let Some(old) = rows.insert(event.1, *event) {
                            harness.push(0, Side::Right(Update { row: old, diff: -1 }));
                        }
                        harness.push(0, Side::Right(Update { row: *event, diff: 1 }));
                    }
                }
            }
            harness.watermark(*watermark);
            let mut out: Vec<_> = harness.emitted().into_iter().map(|record| (record.time, record.value)).collect();
            let mut expected: Vec<_> = lefts.iter().map(|l| (l.0, (*l, rows.get(&l.1).copied()))).collect();
            out.sort();
            expected.sort();
            prop_assert_eq!(out, expected);
            prop_assert!(harness.is_empty(), "the rows are no state of the lookup");
            if number == cut {
                harness.restore(after).unwrap();
                rows.values().for_each(|row| harness.push(0, Side::Right(Update { row: *row, diff: 1 })));
                harness.close_epoch();
            }
        }
    }
}

/// The latest number of each key.
struct Latest;

impl Maintain for Latest {
    type Key = u8;
    type In = Event;
    type State = Option<Event>;
    type Row = Event;

    fn update(&self, _: &u8, latest: &mut Option<Event>, events: &mut Vec<Record<Event>>) {
        *latest = events.iter().map(|record| record.value).chain(*latest).max();
    }

    fn rows(&self, _: &u8, latest: &Option<Event>, rows: &mut Vec<Event>) {
        rows.extend(latest);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn jobs_write_the_same_bytes_on_any_number_of_workers(
        left in prop::collection::vec(prop::collection::vec((-600i64..3_000, 0u8..20, 0u32..1_000), 0..150), 1..3),
        right in prop::collection::vec(prop::collection::vec((-600i64..3_000, 0u8..20, 0u32..1_000), 0..150), 1..3),
        epoch_records in 1usize..60,
    ) {
        let mut first = None;
        for workers in [1, 2, 4] {
            let outs: [Memory<Record<String>>; 5] = std::array::from_fn(|_| Memory::new());
            let to = outs.clone();
            let (left, right) = (left.clone(), right.clone());
            let config = Config { epoch_records, ..Config::workers(workers) };
            execute(config, move |job| {
                let timing = || Timing::by(|event: &Event| event.0).disorder(500);
                let left = job.source("left", Events::partitioned(left.clone()), timing())?.key_by(|e| e.1);
                let right = job.source("right", Events::partitioned(right.clone()), timing())?.key_by(|e| e.1);
                let full = |pair: Pair<&Event, &Event>| format!("{pair:?}");
                let (interval, late) = left.clone().join(right.clone()).within(-50, 100).full("interval", full)?;
                let (window, _) = left.clone().join(right.clone()).window(200).full("window", full)?;
                let version = |r: Event| Version { key: r.1, valid_from: r.0 - 30, known_at: r.0, row: (!r.2.is_multiple_of(5)).then_some(r) };
                let versions = right.stream().clone().map(version);
                let (as_of, _) = left.clone().join_as_of("as of", versions, |_, time| time + 40, |l, r| format!("{l:?} {r:?}"))?;
                let latest = right.maintain("latest", Latest)?;
                let looked_up = left.lookup("lookup", latest, |row| row.1, |l, r| Some(format!("{l:?} {r:?}")))?;
                interval.sink("interval out", to[0].clone())?;
                window.sink("window out", to[1].clone())?;
                as_of.sink("as of out", to[2].clone())?;
                looked_up.sink("lookup out", to[3].clone())?;
                late.map(|side| format!("{side:?}")).sink("late out", to[4].clone())
            }).unwrap();
            let written = outs.map(|out| out.take());
            prop_assert_eq!(first.get_or_insert(written.clone()), &written, "{} workers", workers);
        }
    }
}

#[test]
fn joins_that_match_nothing_are_refused() {
    let refused = |width: Millis| {
        let outcome = execute(Config::workers(1), move |job| {
            let events =
                job.source("events", Events::new(vec![(0, 0, 0)]), Timing::by(|e: &Event| e.0))?.key_by(|e| e.1);
            let joining = || events.clone().join(events.clone());
            let (out, _) = match width {
                0 => joining().window(0).inner("none", |l, r| (*l, *r))?,
                _ => joining().within(width, 0).inner("none", |l, r| (*l, *r))?,
            };
            out.sink("out", Memory::new())
        });
        outcome.unwrap_err().to_string()
    };
    assert!(refused(0).contains("join `none` has windows of 0 ms"));
    assert!(refused(5).contains("join `none` matches nothing from 5 to 0 ms"));
}

#[test]
fn an_event_is_late_by_the_watermark_at_the_start_of_its_epoch() {
    let outer = Outer { left: true, right: false };
    let mut harness = Harness::kernel(1, key, move || IntervalKernel::new(key, (0, 10), outer, said(outer)));
    harness.push(100, Side::Left((100, 1, 1)));
    harness.watermark(110);
    assert_eq!(harness.out(), [], "a match at 110 may still come");
    harness.push(110, Side::Right((110, 1, 2)));
    harness.push(109, Side::Right((109, 1, 3)));
    harness.watermark(111);
    assert_eq!(harness.out(), [(Some((100, 1, 1)), Some((110, 1, 2)))]);
    assert_eq!(harness.late(), [Side::Right((109, 1, 3))]);
    assert!(harness.is_empty());
}

/// A stream joined with itself by every join: what they give, and what was late.
#[test]
fn a_join_of_a_stream_with_itself_writes_the_same_bytes() {
    let part = |part: u32| (0..400u32).map(move |i| (i as Millis, (i % 7) as u8, i * 2 + part));
    // One event of each part is far too late.
    let parts: Vec<Vec<Event>> = (0..2).map(|p| part(p).chain([(0, 0, 1_000 + p)]).collect()).collect();
    let mut first = None;
    for workers in [1, 2, 4, 1, 2, 4, 4] {
        let outs: [Memory<Record<String>>; 7] = std::array::from_fn(|_| Memory::new());
        let (to, parts) = (outs.clone(), parts.clone());
        execute(Config { epoch_records: 30, ..Config::workers(workers) }, move |job| {
            let timing = Timing::by(|event: &Event| event.0).disorder(50);
            let events = job.source("events", Events::partitioned(parts.clone()), timing)?;
            // The right side has other keys, so what is made of one event on both sides is made on two workers.
            let (left, right) = (events.clone().key_by(|e| e.1), events.clone().key_by(|e| (e.1 + 1) % 7));
            let full = |pair: Pair<&Event, &Event>| format!("{pair:?}");
            let (interval, interval_late) = left.clone().join(right.clone()).within(-3, 3).full("interval", full)?;
            let (window, window_late) = left.clone().join(right.clone()).window(5).full("window", full)?;
            let versions =
                events.clone().map(|e| Version { key: e.1, valid_from: e.0 - 9, known_at: e.0, row: Some(e) });
            // As a union of two streams of the same events, whose places are the same.
            let other =
                versions.clone().map(|version| Version { row: version.row.map(|e| (e.0, e.1, e.2 + 9)), ..version });
            let versions = versions.union(other);
            let twice = events.clone().union(events.map(|e| (e.0, e.1, e.2 + 1))).key_by(|e| e.1);
            let joined = |l: &Event, r: Option<&Event>| format!("{l:?} {r:?}");
            let (as_of, as_of_late) = twice.join_as_of("as of", versions, |_, time| time + 4, joined)?;
            let latest = right.maintain("latest", Latest)?;
            let looked_up = left.lookup("lookup", latest, |row| row.1, move |l, r| Some(joined(l, r)))?;
            interval.sink("interval out", to[0].clone())?;
            interval_late.map(|side| format!("{side:?}")).sink("interval late", to[1].clone())?;
            window.sink("window out", to[2].clone())?;
            window_late.map(|side| format!("{side:?}")).sink("window late", to[3].clone())?;
            as_of.sink("as of out", to[4].clone())?;
            as_of_late.map(|_| String::new()).sink("as of late", to[5].clone())?;
            looked_up.sink("lookup out", to[6].clone())
        })
        .unwrap();
        let written = outs.map(|out| out.take());
        assert!(written.iter().all(|out| !out.is_empty()), "every stream has something to compare");
        assert!(*first.get_or_insert(written.clone()) == written, "{workers} workers write something else");
    }
}

#[test]
fn as_of_joins_keep_every_event_of_one_place() {
    let out = Memory::new();
    let to_out = out.clone();
    execute(Config::workers(2), move |job| {
        // Children past the 65,535th have the same place.
        let orders = job.source("orders", Events::new(vec![(1, 1)]), Timing::by(|order: &(Millis, u8)| order.0))?;
        let items = orders.flat_map(|order| (0..70_000u32).map(move |item| (order.0, order.1, item)));
        let shops = job.source("shops", Events::new(vec![(0, 1, 5)]), Timing::by(|shop: &Event| shop.0))?;
        let versions = shops.map(|shop| Version { key: shop.1, valid_from: 0, known_at: 0, row: Some(shop.2) });
        let items = items.key_by(|item: &Event| item.1);
        let (joined, _) = items.join_as_of("as of", versions, |_, time| time, |item, shop| (item.2, shop.copied()))?;
        joined.sink("out", to_out.clone())
    })
    .unwrap();
    let mut out = out.values();
    out.sort();
    assert!(out.into_iter().eq((0..70_000).map(|item| (item, Some(5)))), "each of them once");
}

#[test]
fn versions_that_waiting_events_do_not_need_are_dropped_however_many_wait() {
    type In = Side<Event, Version<u8, Event>>;
    let make = || {
        let join = |l: &Event, r: Option<&Event>| (*l, r.copied());
        AsOfKernel::new(|_: &In| 0u8, |_: &Event, time| time + 1_000, None, join)
    };
    let mut kernel = make();
    let mut most = 0;
    for time in 0..20_000 {
        let version = Version { key: 0, valid_from: time, known_at: time, row: Some((time, 0, 0)) };
        let at = Closing { epoch: time as u64, before: time, after: time + 1 };
        let mut emit = Emit::default();
        let record = |value, place| Record { time, seq: Seq::new(0, 2 * time as u64 + place), value };
        let mut records = vec![record(Side::Right(version), 0), record(Side::Left((time, 0, 1)), 1)];
        kernel.records(at, &mut records, &mut emit);
        kernel.settle(at, &mut emit);
        most = most.max(kernel.versions());
        for Record { time, value, .. } in emit.out {
            let asked = time - 1_000;
            assert_eq!(value, ((asked, 0, 1), Some((asked, 0, 0))));
        }
    }
    assert!(most < 4 * 1_000 + 10, "{most} versions at once, where events wait for 1,000");
}
