//! Every kind of window, read both ways, against the definitions.

mod oracle;

use crate::finals::FinalsKernel;
use crate::hopping::HoppingKernel;
use crate::rolling::RollingKernel;
use crate::rows::{Early, RowsKernel};
use crate::tumbling::TumblingKernel;
use crate::windows::Kind;
use crate::{Collect, Count, IntoWindows, Max, Sum, Window, Windows};
use oracle::{Oracle, given, together};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use tidemill::harness::Harness;
use tidemill::time::{BEGINNING, END};
use tidemill::{Config, Events, Kernel, Memory, Millis, Record, Timing, execute};

/// Time, key, number.
type Event = (Millis, u8, i64);
/// The events of a window, as time and number.
type Content = Vec<(Millis, i64)>;
type Given = Window<u8, Content>;
/// One epoch: its events, and the watermark at its end.
type Closed = (Vec<Event>, Millis);

fn key(event: &Event) -> u8 {
    event.1
}

/// Epochs of events on both sides of the watermark, many at once or none, some of them twice. The input ends with them.
fn epochs() -> impl Strategy<Value = Vec<Closed>> {
    let event = (-350i64..350, 0u8..6, 0i64..100, 1usize..3);
    prop::collection::vec((prop::collection::vec(event, 0..25), 0i64..150), 1..10).prop_map(|epochs| {
        let mut watermark = -200;
        let close = |(events, step): (Vec<_>, Millis)| {
            let near = |(offset, key, n, times)| vec![(watermark + offset, key, n); times];
            let events = events.into_iter().flat_map(near).collect();
            watermark += step;
            (events, watermark)
        };
        let mut epochs: Vec<Closed> = epochs.into_iter().map(close).collect();
        epochs.push((vec![], END));
        epochs
    })
}

fn windows() -> impl Strategy<Value = Windows> {
    let count = (1u64..5, prop_oneof![Just(Millis::MAX), 1i64..200]);
    prop_oneof![4 => windows_in_time(), 1 => count.prop_map(|(n, idle)| Windows::count(n).idle(idle))]
}

fn windows_in_time() -> impl Strategy<Value = Windows> {
    prop_oneof![
        (1i64..200, -300i64..300).prop_map(|(width, offset)| Windows::tumbling(width).offset(offset)),
        (1i64..7, 1i64..7, 5i64..40, -300i64..300).prop_map(|(a, b, unit, offset)| Windows::hopping(
            a.max(b) * unit,
            a.min(b) * unit
        )
        .offset(offset)),
        (1i64..60).prop_map(Windows::session),
        Just(Windows::global()),
    ]
}

/// Collects times and numbers, without the key.
struct Contents;

impl crate::Aggregate for Contents {
    type In = Event;
    type Acc = Content;
    type Out = Content;

    fn add(&self, content: &mut Content, event: &Event) {
        content.push((event.0, event.2));
    }

    fn merge(&self, content: &mut Content, other: &Content) {
        content.extend(other);
    }

    fn result(&self, content: &Content) -> Content {
        let mut content = content.clone();
        content.sort();
        content
    }
}

/// The same, with the numbers summed in a way that can be undone.
fn invertible() -> (Count<Event>, Sum<Event, fn(&Event) -> i64>) {
    (Count::new(), Sum::of(|event| event.2))
}

/// Runs a kernel that gives finals over the epochs, with a restore in the middle: what it gave in each epoch, and the late.
fn run<V: Clone + 'static, N: Kernel<In = Event, Out = Record<Window<u8, V>>>>(
    epochs: &[Closed],
    lateness: Millis,
    (workers, cut, after): (usize, usize, usize),
    make: impl Fn() -> N + 'static,
) -> (Vec<Vec<Window<u8, V>>>, Vec<Event>) {
    let mut harness = Harness::kernel(workers, key, make);
    let (mut out, mut late, mut before) = (vec![], vec![], BEGINNING);
    for (number, (events, watermark)) in epochs.iter().enumerate() {
        events.iter().for_each(|event| harness.push(event.0, *event));
        harness.watermark(*watermark);
        let emitted = harness.emitted();
        for record in &emitted {
            let held_back = if before == BEGINNING { BEGINNING } else { before - lateness };
            assert!(record.time == record.value.end - 1 && record.time >= held_back, "late for whoever comes next");
        }
        out.push(emitted.into_iter().map(|record| record.value).collect());
        late.extend(harness.late());
        if number == cut {
            assert!(harness.restore(after).unwrap().is_empty());
        }
        before = *watermark;
    }
    assert!(harness.is_empty(), "nothing is left when the input has ended");
    late.sort();
    (out, late)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn finals_are_what_the_definition_says(
        epochs in epochs(), windows in windows(), lateness in prop_oneof![Just(0i64), 1i64..150],
        workers in 1usize..5, cut in 0usize..10, after in 1usize..5,
    ) {
        let mut oracle = Oracle::new(windows, lateness);
        let (lateness, mut before, mut expected) = (oracle.lateness, BEGINNING, vec![]);
        for (events, watermark) in &epochs {
            oracle.epoch(events, before, *watermark);
            expected.push(oracle.close(*watermark));
            before = *watermark;
        }
        oracle.late.sort();
        let at = (workers, cut, after);
        let (out, late) = match windows.kind {
            Kind::Hopping { width, slide } if width > slide => {
                let sums = move || RollingKernel::new(key, windows, lateness, invertible());
                for (given, expected) in run(&epochs, lateness, at, sums).0.into_iter().zip(&expected) {
                    let mut given = given;
                    given.sort();
                    let sum = |w: &Given| (w.value.len() as u64, w.value.iter().map(|(_, number)| number).sum::<i64>());
                    let expected = expected.iter().map(|w| Window { key: w.key, start: w.start, end: w.end, value: sum(w) });
                    prop_assert_eq!(given, expected.collect::<Vec<_>>());
                }
                run(&epochs, lateness, at, move || HoppingKernel::new(key, windows, lateness, Contents))
            }
            Kind::Hopping { .. } | Kind::Global => {
                run(&epochs, lateness, at, move || TumblingKernel::new(key, windows, lateness, Contents))
            }
            _ => run(&epochs, lateness, at, move || FinalsKernel::new(key, windows, lateness, Contents)),
        };
        prop_assert_eq!(out.into_iter().map(together).collect::<Vec<_>>(), expected);
        prop_assert_eq!(late, oracle.late);
    }

    #[test]
    fn rows_are_what_the_definition_says_after_every_epoch(
        epochs in epochs(), windows in windows_in_time(), lateness in prop_oneof![Just(0i64), 1i64..150],
        early in prop_oneof![Just(None), (1u64..5).prop_map(|n| Some(Early::Events(n))), (1i64..300).prop_map(|ms| Some(Early::Millis(ms)))],
        keep in prop_oneof![0i64..200, Just(Millis::MAX)],
        workers in 1usize..5, cut in 0usize..10, after in 1usize..5,
    ) {
        let mut oracle = Oracle::new(windows, lateness);
        let mut harness = Harness::kernel(workers, key, move || RowsKernel::new(key, windows, lateness, keep, early, Contents));
        let (mut said, mut over): (BTreeMap<(u8, Millis), Given>, Vec<Given>) = (BTreeMap::new(), vec![]);
        let (mut rows, mut before): (BTreeMap<Given, isize>, _) = (BTreeMap::new(), BEGINNING);
        for (number, (events, watermark)) in epochs.iter().enumerate() {
            oracle.epoch(events, before, *watermark);
            let crossed = |every: Millis| watermark.div_euclid(every) > before.div_euclid(every);
            for (window, content) in &oracle.open {
                let row = given((*window, content.clone()));
                // The rows whose place it takes: its own, and for sessions those of all that it has grown over.
                let grown = if matches!(windows.kind, Kind::Session { .. }) { row.end } else { row.start + 1 };
                let old: Vec<_> = said.range((row.key, row.start)..(row.key, grown)).map(|(_, old)| old.clone()).collect();
                let had = old.first().map_or(0, |old| old.value.len());
                let over = |row: &Given| row.end <= *watermark;
                let joined = old.iter().any(|old| old.start != row.start);
                let fires = over(&row) || joined || old.iter().any(over) || match early {
                    None => !old.is_empty(),
                    Some(Early::Events(every)) => content.len() as u64 / every > had as u64 / every,
                    Some(Early::Millis(every)) => crossed(every),
                };
                if fires {
                    old.iter().for_each(|old| drop(said.remove(&(old.key, old.start))));
                    said.insert((row.key, row.start), row);
                }
            }
            oracle.close(*watermark);
            let open: BTreeSet<_> = oracle.open.keys().map(|(key, start, _)| (*key, *start)).collect();
            over.extend(said.extract_if(.., |window, _| !open.contains(window)).map(|(_, row)| row));
            let gone = |row: &Given| keep != Millis::MAX && row.end.saturating_add(lateness + keep) <= *watermark;
            over.retain(|row| *watermark == END || !gone(row));

            events.iter().for_each(|event| harness.push(event.0, *event));
            harness.watermark(*watermark);
            for (epoch, row, diff) in harness.changes() {
                prop_assert_eq!(epoch, number as u64 + 1);
                *rows.entry(row).or_default() += diff;
            }
            rows.retain(|_, count| *count != 0);
            let expected: BTreeMap<Given, isize> = said.values().chain(&over).map(|row| (row.clone(), 1)).collect();
            prop_assert_eq!(&rows, &expected, "after epoch {}", number + 1);
            if number == cut {
                let again = harness.restore(after).unwrap();
                let again: BTreeMap<Given, isize> = again.into_iter().map(|(row, _, diff)| (row, diff)).collect();
                prop_assert_eq!(&again, &rows, "the rows are said again");
            }
            before = *watermark;
        }
        let mut late = harness.late();
        late.sort();
        oracle.late.sort();
        prop_assert_eq!(late, oracle.late);
    }

    #[test]
    fn rows_of_windows_by_count_are_their_finals(
        epochs in epochs(), size in 1u64..5, idle in prop_oneof![Just(Millis::MAX), 1i64..200],
        workers in 1usize..5, cut in 0usize..10, after in 1usize..5,
    ) {
        let windows = Windows::count(size).idle(idle);
        let (finals, late) = run(&epochs, 0, (workers, cut, after), move || FinalsKernel::new(key, windows, 0, Contents));
        let mut harness = Harness::kernel(workers, key, move || RowsKernel::new(key, windows, 0, Millis::MAX, None, Contents));
        for (number, (events, watermark)) in epochs.iter().enumerate() {
            events.iter().for_each(|event| harness.push(event.0, *event));
            harness.watermark(*watermark);
            let mut expected: Vec<_> = finals[number].iter().map(|row| (number as u64 + 1, row.clone(), 1)).collect();
            expected.sort();
            prop_assert_eq!(harness.changes(), expected);
            if number == cut {
                harness.restore(after).unwrap();
            }
        }
        let mut again = harness.late();
        again.sort();
        prop_assert_eq!(late, again);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_job_writes_the_same_bytes_on_any_number_of_workers(
        parts in prop::collection::vec(prop::collection::vec((-600i64..6_000, 0u8..50, 0i64..9), 0..200), 1..4),
        windows in windows(), epoch_records in 1usize..60,
    ) {
        let mut first = None;
        for workers in [1, 2, 4] {
            let (out, all, rows) = (Memory::new(), Memory::new(), Memory::new());
            let (late, rows_late) = (Memory::new(), Memory::new());
            let (to_out, to_all, to_rows) = (out.clone(), all.clone(), rows.clone());
            let (to_late, to_rows_late) = (late.clone(), rows_late.clone());
            let input = Events::partitioned(parts.clone());
            let config = Config { epoch_records, ..Config::workers(workers) };
            let lateness = if matches!(windows.kind, Kind::Count { .. }) { 0 } else { 300 };
            execute(config, move |job| {
                let timing = Timing::by(|event: &Event| event.0).disorder(1_000);
                let events = job.source("events", input.clone(), timing)?;
                let by_key = events.clone().key_by(key).window(windows, invertible()).allowed_lateness(lateness);
                let (finals, late) = by_key.finals("finals")?;
                // What comes out is in time for windows of windows, here of all keys.
                let greatest = Max::of(|w: &Window<u8, (u64, i64)>| w.value.1);
                let (all, never) = finals.clone().window(Windows::tumbling(300), (Count::new(), greatest)).finals("all")?;
                never.inspect(|window| panic!("late: {window:?}")).for_each(|_| ());
                all.sink("all out", to_all.clone())?;
                let by_key = events.key_by(key).window(windows, Collect::new()).allowed_lateness(lateness);
                let (rows, rows_late) = by_key.early_every_events(3).rows("rows", 1_000)?;
                rows_late.sink("rows late", to_rows_late.clone())?;
                rows.sink("rows out", to_rows.clone())?;
                finals.sink("finals out", to_out.clone())?;
                late.sink("late", to_late.clone())
            }).unwrap();
            let written = (out.take(), all.take(), rows.take(), late.take(), rows_late.take());
            prop_assert_eq!(first.get_or_insert(written.clone()), &written, "{} workers", workers);
        }
    }
}

#[test]
fn a_window_closes_when_the_watermark_reaches_its_end_and_not_before() {
    let windows = Windows::tumbling(100);
    let mut harness = Harness::kernel(1, key, move || TumblingKernel::new(key, windows, 0, invertible()));
    harness.push(0, (0, 1, 10));
    harness.push(99, (99, 1, 20));
    harness.push(100, (100, 1, 40));
    harness.watermark(99);
    assert_eq!(harness.out(), []);
    harness.push(5, (5, 1, 80)); // behind the watermark, and its window is still open
    harness.watermark(100);
    assert_eq!(harness.out(), [Window { key: 1, start: 0, end: 100, value: (3, 110) }]);
    harness.push(99, (99, 1, 1));
    harness.watermark(END);
    assert_eq!(harness.late(), [(99, 1, 1)]);
    assert_eq!(harness.out(), [Window { key: 1, start: 100, end: 200, value: (1, 40) }]);
}

#[test]
fn the_ends_of_time_are_in_windows_too() {
    for windows in [Windows::tumbling(100), Windows::hopping(100, 50), Windows::session(10), Windows::count(1)] {
        let rows = move || RowsKernel::new(key, windows, 0, Millis::MAX, None, Contents);
        let mut harness = Harness::kernel(1, key, rows);
        for time in [Millis::MIN, Millis::MIN + 1, Millis::MAX - 1, Millis::MAX] {
            harness.push(time, (time, 1, 1));
        }
        harness.watermark(END);
        let all: BTreeSet<_> = harness.changes().into_iter().flat_map(|(_, row, _)| row.value).map(|e| e.0).collect();
        assert_eq!((all.len(), harness.late().len()), (4, 0), "{windows:?}");
    }
    for windows in [Windows::tumbling(2), Windows::tumbling(100), Windows::tumbling(7).offset(-3)] {
        let rows = move || RowsKernel::new(key, windows, 0, Millis::MAX, None, Contents);
        let finals = move || TumblingKernel::new(key, windows, 0, Contents);
        let (mut rows, mut finals) = (Harness::kernel(1, key, rows), Harness::kernel(1, key, finals));
        for time in [Millis::MIN, Millis::MIN + 1, Millis::MAX - 1, Millis::MAX] {
            rows.push(time, (time, 1, 1));
            finals.push(time, (time, 1, 1));
        }
        rows.watermark(END);
        finals.watermark(END);
        let rows: BTreeSet<Given> = rows.changes().into_iter().map(|(_, row, _)| row).collect();
        assert_eq!(finals.out().into_iter().collect::<BTreeSet<_>>(), rows, "{windows:?}");
    }
    for windows in [Windows::hopping(100, 50), Windows::hopping(5, 2), Windows::hopping(3, 1).offset(-2)] {
        let mut hopping = Harness::kernel(1, key, move || HoppingKernel::new(key, windows, 0, Contents));
        let mut rolling = Harness::kernel(1, key, move || RollingKernel::new(key, windows, 0, invertible()));
        for time in [Millis::MIN, Millis::MIN + 1, Millis::MAX - 1, Millis::MAX] {
            hopping.push(time, (time, 1, 1));
            rolling.push(time, (time, 1, 1));
        }
        hopping.watermark(END);
        rolling.watermark(END);
        let all: BTreeSet<_> = hopping.out().into_iter().flat_map(|window| window.value).map(|e| e.0).collect();
        assert_eq!((all.len(), hopping.late().len()), (4, 0), "{windows:?}");
        assert!(rolling.out().iter().any(|window| window.start > 0) && rolling.late().is_empty(), "{windows:?}");
        assert!(hopping.is_empty() && rolling.is_empty(), "{windows:?}");
    }
}

/// What changes in each epoch of one key's rows, of sessions with a gap of 10 ms: a session's end, its times, and +1 or -1.
fn session_rows(early: Option<Early>, epochs: &[(&[Millis], Millis)]) -> Vec<Vec<(Millis, Vec<Millis>, isize)>> {
    let rows = move || RowsKernel::new(key, Windows::session(10), 100, Millis::MAX, early, Contents);
    let mut harness = Harness::kernel(1, key, rows);
    let change = |(_, row, diff): (_, Given, _)| (row.end, row.value.iter().map(|event| event.0).collect(), diff);
    let epoch = |(times, watermark): &(&[Millis], Millis)| {
        times.iter().for_each(|time| harness.push(*time, (*time, 1, 1)));
        harness.watermark(*watermark);
        harness.changes().into_iter().map(change).collect()
    };
    epochs.iter().map(epoch).collect()
}

#[test]
fn a_session_that_goes_on_after_its_end_is_corrected_in_each_epoch() {
    let changes = session_rows(None, &[(&[0], 12), (&[9], 12), (&[5], 15), (&[], 30)]);
    assert_eq!(changes[0], [(10, vec![0], 1)]);
    assert_eq!(changes[1], [(10, vec![0], -1), (19, vec![0, 9], 1)]);
    assert_eq!(changes[2], [(19, vec![0, 5, 9], 1), (19, vec![0, 9], -1)]);
    assert_eq!(changes[3], []);
}

#[test]
fn an_early_row_is_made_true_when_the_watermark_is_at_the_end_it_gives() {
    let changes = session_rows(Some(Early::Events(2)), &[(&[0, 1], 2), (&[8], 10), (&[], 11), (&[], 18)]);
    assert_eq!(changes[0], [(11, vec![0, 1], 1)]);
    assert_eq!(changes[1], [], "another one makes a firing");
    assert_eq!(changes[2], [(11, vec![0, 1], -1), (18, vec![0, 1, 8], 1)]);
    assert_eq!(changes[3], []);
}

#[test]
fn a_row_that_is_kept_for_ever_is_kept_also_if_it_is_of_before_1970() {
    let windows = Windows::tumbling(100);
    let mut harness = Harness::kernel(1, key, move || RowsKernel::new(key, windows, 0, Millis::MAX, None, Contents));
    harness.push(-1_000, (-1_000, 1, 1));
    harness.watermark(END - 1);
    assert_eq!(harness.changes().len(), 1);
    harness.watermark(END);
    assert_eq!(harness.changes(), []);
}

#[test]
fn windows_that_make_no_sense_are_refused() {
    let refused = |windows: Windows, lateness| {
        let outcome = execute(Config::workers(1), move |job| {
            let events = job.source("events", Events::new(vec![(0, 0, 0)]), Timing::by(|e: &Event| e.0))?;
            let windows = events.key_by(key).window(windows, invertible()).allowed_lateness(lateness);
            windows.finals("none")?.0.sink("out", Memory::new())
        });
        outcome.unwrap_err().to_string()
    };
    assert!(refused(Windows::tumbling(0), 0).contains("windows `none` of 0 ms"));
    assert!(refused(Windows::hopping(10, 20), 0).contains("leave events out"));
    assert!(refused(Windows::session(0), 0).contains("a gap of 0 ms"));
    assert!(refused(Windows::count(0), 0).contains("of 0 events"));
    assert!(refused(Windows::count(3), 5).contains("in order of time"));
    assert!(refused(Windows::tumbling(5), -1).contains("lateness of -1 ms"));
    assert!(refused(Windows::session(5).offset(1), 0).contains("only tumbling and hopping windows have an offset"));
    assert!(refused(Windows::tumbling(5).idle(1), 0).contains("only windows by count can be idle"));
}
