//! Answers at once.

use super::is_empty;
use proptest::prelude::*;
use std::collections::BTreeSet;
use tidemill::harness::Harness;
use tidemill::time::{BEGINNING, END};
use tidemill::{Closing, Config, Emit, Epoch, Events, Kernel, Memory, Millis, Record, Seq, Timing, Update, execute};
use tidemill_feature::{Answer, Role, Sliding, SlidingWindows, Span, Ties, Windows};

use crate::events::{DISORDER, Event, Log, Read, Row, Rows, counted, partitions, sliding, updates, windows};
use crate::oracle::{self, Shape, W};

type Changes = Vec<(Epoch, Update<Row>)>;
type Late = Vec<(Epoch, Record<Event>)>;

fn run(input: &[Vec<Event>], windows: Windows<W>, workers: usize, records: usize) -> (Read, Changes, Late) {
    let (log, out, late, input) = (Log::default(), Memory::new(), Memory::new(), Events::partitioned(input.to_vec()));
    let (to_log, to_out, to_late) = (log.clone(), out.clone(), late.clone());
    execute(Config { epoch_records: records, ..Config::workers(workers) }, move |job| {
        let timing = Timing::by(|event: &Event| event.time).disorder(DISORDER);
        let events = job.source("events", input.clone(), timing)?;
        to_log.of("log", &events)?;
        let (rows, late) = events.key_by(|event| event.key).at_once("windows", sliding(windows))?;
        rows.sink("rows", to_out.clone())?;
        late.sink("late", to_late.clone())
    })
    .expect("the job runs");
    (log.read(), out.take(), late.take())
}

/// By the definition: after every epoch, the answers over all that is known, to all that was asked and is not behind the
/// horizon. The changes are the differences.
fn expected(read: &Read, shape: &Shape, ties: Ties, lateness: u64) -> (Changes, Late) {
    let reach = shape.iter().map(|(width, delay)| (width + delay) as i64).max().unwrap_or(0);
    let (mut facts, mut asked, mut rows) = (Vec::new(), Vec::<Record<Event>>::new(), Rows::new());
    let (mut changes, mut late) = (Vec::new(), Vec::new());
    for epoch in read.epochs() {
        let horizon = read.before(epoch).saturating_sub_unsigned(lateness);
        let mut seen = BTreeSet::new();
        for (_, record) in read.records.iter().filter(|(at, _)| *at == epoch) {
            let Event { time, key, values, fact, asks } = record.value;
            let behind = horizon.saturating_sub(time);
            if behind > 0 && (asks || behind >= reach) {
                late.push((epoch, *record));
                continue;
            }
            seen.insert(key);
            facts.extend(fact.then_some((key, (time, record.seq), values)));
            asked.extend(asks.then_some(*record));
        }
        // A row behind the horizon goes when the watermark moves, or its key has an event.
        let moves = read.tides.contains_key(&epoch);
        asked.retain(|row| row.time >= horizon || !(moves || seen.contains(&row.value.key)));
        let answer = |row: &Record<Event>| {
            let mine = facts.iter().filter(|(key, ..)| *key == row.value.key);
            let mine: Vec<_> = mine.map(|(_, at, values)| (*at, *values)).collect();
            (row.value, oracle::answer(shape, ties, &mine, (row.time, row.seq)))
        };
        let after = counted(asked.iter().map(answer));
        changes.extend(updates(epoch, &rows, &after));
        rows = after;
    }
    (changes, late)
}

fn harness(workers: usize, windows: Windows<W>) -> Harness<impl Kernel<In = Event, Out = (Row, Epoch, isize)>> {
    let key = |event: &Event| event.key;
    Harness::kernel(workers, key, move || sliding(windows).at_once_kernel("windows", key))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn rows_are_the_definition_of_what_is_known_on_any_number_of_workers(
        shape in oracle::shape(), ties in oracle::ties(), lateness in 0..60u64,
        input in partitions(), records in 1..40usize,
    ) {
        let first = run(&input, windows(&shape, ties, lateness), 1, records);
        let (read, changes, late) = &first;
        let (right, too_late) = expected(read, &shape, ties, lateness);
        prop_assert_eq!(changes, &right);
        prop_assert_eq!(late, &too_late);
        for workers in [2, 4] {
            let again = run(&input, windows(&shape, ties, lateness), workers, records);
            prop_assert_eq!(&again, &first, "{} workers", workers);
        }
    }

    #[test]
    fn a_restore_says_the_same_rows_again_and_changes_nothing(
        shape in oracle::shape(), ties in oracle::ties(), lateness in 0..60u64, input in partitions(),
        cut in 0..60usize, before in 1..5usize, after in 1..5usize,
    ) {
        let windows = windows(&shape, ties, lateness);
        let (mut whole, mut broken) = (harness(1, windows), harness(before, windows));
        let mut changes = Vec::new();
        for (i, event) in input.concat().into_iter().enumerate() {
            for harness in [&mut whole, &mut broken] {
                harness.push(event.time, event);
                match i % 7 {
                    0 => harness.watermark(event.time - DISORDER),
                    3 => harness.close_epoch(),
                    _ => {}
                }
            }
            if i == cut {
                whole.close_epoch();
                broken.close_epoch();
                changes.extend(broken.changes());
                let mut true_before = Rows::new();
                changes.iter().for_each(|(_, row, diff)| *true_before.entry(*row).or_insert(0) += diff);
                true_before.retain(|_, count| *count != 0);
                let said = broken.restore(after).expect("it reads back");
                prop_assert!(said.iter().all(|(_, _, diff)| *diff == 1));
                prop_assert_eq!(counted(said.into_iter().map(|(row, ..)| row)), true_before);
            }
        }
        for end in [END - 1, END] {
            whole.watermark(end);
            broken.watermark(end);
        }
        changes.extend(broken.changes());
        prop_assert_eq!(changes, whole.changes());
        prop_assert_eq!(counted(broken.late()), counted(whole.late()));
    }

    #[test]
    fn what_is_taken_back_was_never_there(
        shape in oracle::shape(), ties in oracle::ties(), lateness in 0..60u64, input in partitions(),
        back in prop::collection::vec(prop::option::of(any::<prop::sample::Index>()), 30), batch in 1..9usize,
        cut in 0..20u64, workers in 1..5usize, after in 1..5usize,
    ) {
        let windows = windows(&shape, ties, lateness);
        let reach = shape.iter().map(|(width, delay)| (width + delay) as i64).max().unwrap_or(0);
        let key = |update: &Update<Event>| update.row.key;
        let mut harness =
            Harness::kernel(workers, key, move || sliding(windows).updates_at_once_kernel("windows", key));
        let (mut before, mut rows) = (BEGINNING, Rows::new());
        // What was said and neither came too late nor was taken back.
        let mut known: Vec<Record<Event>> = Vec::new();
        let events = input.concat();
        let back = back.into_iter().chain(std::iter::repeat(None));
        for ((epoch, events), back) in (1..).zip(events.chunks(batch)).zip(back) {
            let horizon = before.saturating_sub_unsigned(lateness);
            if let Some(at) = back.filter(|_| !known.is_empty()) {
                let Record { time, seq, value: row } = known.swap_remove(at.index(known.len()));
                harness.push_at(time, seq, Update { row, diff: -1 });
            }
            for (number, event) in (0..).zip(events) {
                let record = Record { time: event.time, seq: Seq::new(0, 100 * epoch + number), value: *event };
                harness.push_at(record.time, record.seq, Update { row: record.value, diff: 1 });
                let behind = horizon.saturating_sub(event.time);
                if behind <= 0 || !event.asks && behind < reach {
                    known.push(record);
                }
            }
            before = events.iter().map(|event| event.time - DISORDER).fold(before.max(0) + 1, Millis::max);
            harness.watermark(before);
            prop_assert!(harness.dead().is_empty());
            harness.changes().into_iter().for_each(|(_, row, diff)| *rows.entry(row).or_insert(0) += diff);
            rows.retain(|_, count| *count != 0);
            let answer = |row: &Record<Event>| {
                let mine = known.iter().filter(|fact| fact.value.fact && fact.value.key == row.value.key);
                let mine: Vec<_> = mine.map(|fact| ((fact.time, fact.seq), fact.value.values)).collect();
                (row.value, oracle::answer(&shape, ties, &mine, (row.time, row.seq)))
            };
            let asked = known.iter().filter(|row| row.value.asks && row.time >= horizon);
            prop_assert_eq!(&rows, &counted(asked.map(answer)));
            if epoch == cut {
                let said = harness.restore(after).expect("it reads back");
                prop_assert_eq!(counted(said.into_iter().map(|(row, ..)| row)), rows.clone());
            }
        }
    }

    #[test]
    fn nothing_is_kept_of_keys_that_the_horizon_has_passed(
        shape in oracle::shape(), ties in oracle::ties(), lateness in 0..60u64, input in partitions(),
    ) {
        let windows = windows(&shape, ties, lateness);
        let mut kernel = sliding(windows).at_once_kernel("windows", |event: &Event| event.key);
        let events = input.concat();
        let mut emit = Emit::default();
        let mut before = 0;
        for (epoch, events) in (1..).zip(events.chunks(10)) {
            let after = events.iter().map(|event| event.time - DISORDER).fold(before, Millis::max);
            let record = |(i, e): (u64, &Event)| Record { time: e.time, seq: Seq::new(0, 10 * epoch + i), value: *e };
            let mut records = (0..).zip(events).map(record).collect();
            kernel.records(Closing { epoch, before, after }, &mut records, &mut emit);
            kernel.settle(Closing { epoch, before, after }, &mut emit);
            before = after;
        }
        // The greatest lateness and reach, and the disorder.
        let far = before + 200;
        kernel.settle(Closing { epoch: 1_000, before, after: far }, &mut emit);
        kernel.settle(Closing { epoch: 1_001, before: far, after: far + 1 }, &mut emit);
        prop_assert!(is_empty(&mut kernel));
        let mut rows = Rows::new();
        for (row, _, diff) in emit.out {
            let count = rows.entry(row).or_insert(0);
            *count += diff;
            prop_assert!(*count >= 0, "what is retracted was true");
        }
        prop_assert!(rows.values().all(|count| *count == 0), "every row has been retracted");
    }
}

#[test]
fn what_was_never_there_cannot_be_taken_back() {
    let key = |_: &Update<i64>| 0u8;
    let counts = || Sliding::new(HOUR, |value: &i64| Role::Both([*value]));
    let mut harness = Harness::kernel(1, key, move || counts().updates_at_once_kernel("counts", key));
    let place = |number| Seq::new(0, number);
    harness.push_at(100, place(0), Update { row: 5, diff: 2 });
    harness.push_at(200, place(1), Update { row: 7, diff: 1 });
    harness.watermark(50);
    assert_eq!(sums(harness.changes()), [(5, 10, 2), (7, 17, 1)]);
    // An equal one of another place, more than there are, and one.
    harness.push_at(100, place(9), Update { row: 5, diff: -1 });
    harness.push_at(200, place(1), Update { row: 7, diff: 1 - 3 });
    harness.watermark(51);
    assert_eq!((harness.dead().len(), sums(harness.changes())), (2, vec![]));
    harness.push_at(100, place(0), Update { row: 5, diff: -1 });
    harness.watermark(52);
    assert_eq!(sums(harness.changes()), [(5, 5, 1), (5, 10, -2), (7, 12, 1), (7, 17, -1)]);
    assert!(harness.dead().is_empty());
}

/// The sums of a window, of each value that asked.
fn sums(changes: Vec<(Epoch, (i64, Answer<1, 1>), isize)>) -> Vec<(i64, i64, isize)> {
    changes.into_iter().map(|(_, (value, [last]), diff)| (value, last.sums[0], diff)).collect()
}

const HOUR: Windows<1> = Windows::new([Span::last(3_600)]).lateness(10);

#[test]
fn a_question_is_answered_in_its_own_epoch_however_far_that_reaches() {
    let rows = Memory::new();
    let to_rows = rows.clone();
    // All in one epoch, which ends far past the first and with the end of input.
    let input = vec![1_000i64, 2_000, 9_000];
    execute(Config::workers(2), move |job| {
        let events = job.source("events", Events::new(input.clone()), Timing::by(|time: &i64| *time))?;
        let counts = Sliding::new(HOUR, |_: &i64| Role::Both([]));
        events.key_by(|_| 0u8).at_once("counts", counts)?.0.sink("rows", to_rows.clone())
    })
    .expect("the job runs");
    let rows: Vec<_> = rows.rows().into_iter().map(|((time, [last]), diff)| (time, last.count, diff)).collect();
    assert_eq!(rows, [(1_000, 1, 1), (2_000, 2, 1), (9_000, 1, 1)]);
}

#[test]
fn an_event_on_time_is_answered_however_far_ahead_its_key_is() {
    let key = |_: &i64| 0u8;
    let counts = || Sliding::new(HOUR, |_: &i64| Role::Both([]));
    let mut harness = Harness::kernel(1, key, move || counts().at_once_kernel("counts", key));
    for time in [5_000, 1_000] {
        harness.push(time, time);
    }
    // Another partition holds the watermark back.
    harness.watermark(1_000);
    let counts: Vec<_> =
        harness.changes().into_iter().map(|(_, (time, [last]), diff)| (time, last.count, diff)).collect();
    assert_eq!(counts, [(1_000, 1, 1), (5_000, 1, 1)]);
    harness.push(1_500, 1_500);
    harness.watermark(1_500);
    let counts: Vec<_> =
        harness.changes().into_iter().map(|(_, (time, [last]), diff)| (time, last.count, diff)).collect();
    assert_eq!(counts, [(1_500, 2, 1), (5_000, 1, -1), (5_000, 2, 1)]);
    assert!(harness.late().is_empty());
}

#[test]
fn a_fact_counts_as_long_as_a_question_from_the_horizon_on_can_reach_it() {
    let key = |_: &(Millis, bool)| 0u8;
    let role = |event: &(Millis, bool)| if event.1 { Role::Question } else { Role::Fact([]) };
    let mut harness = Harness::kernel(1, key, move || Sliding::new(HOUR, role).at_once_kernel("counts", key));
    harness.watermark(10_010);
    // The horizon is at 10,000, and a window reaches back 3,600.
    for event in [(6_400, false), (6_401, false), (9_999, true), (10_000, true)] {
        harness.push(event.0, event);
    }
    harness.close_epoch();
    assert_eq!(harness.late(), [(6_400, false), (9_999, true)]);
    let counts: Vec<_> = harness.changes().into_iter().map(|(_, (event, [last]), _)| (event.0, last.count)).collect();
    assert_eq!(counts, [(10_000, 1)]);
}

#[test]
fn a_value_that_cannot_be_summed_is_a_dead_letter_and_changes_nothing() {
    let key = |_: &(Millis, i64)| 0u8;
    let sums = || Sliding::new(HOUR, |event: &(Millis, i64)| Role::Both([event.1]));
    let mut harness = Harness::kernel(1, key, move || sums().at_once_kernel("sums", key));
    for event in [(10, 2), (20, i64::MAX), (30, 5)] {
        harness.push(event.0, event);
    }
    harness.watermark(30);
    let sums: Vec<_> = harness.changes().into_iter().map(|(_, ((time, _), [last]), _)| (time, last.sums)).collect();
    assert_eq!(sums, [(10, [2]), (30, [7])]);
    let dead = harness.dead();
    assert_eq!((dead[0].operator.as_str(), dead[0].record.as_str()), ("sums", "[20,9223372036854775807]"));
    assert!(dead[0].reason.contains("more than an i64 holds"), "{}", dead[0].reason);
}

#[test]
fn a_refused_fact_leaves_no_key_behind() {
    let key = |event: &(u8, i64)| event.0;
    let sums = || Sliding::new(HOUR, |event: &(u8, i64)| Role::Fact([event.1]));
    let mut kernel = sums().at_once_kernel("sums", key);
    let at = Closing { epoch: 1, before: 0, after: 0 };
    let refused = Record { time: 5, seq: Seq::new(0, 1), value: (7, i64::MIN) };
    let mut emit = Emit::default();
    kernel.records(at, &mut vec![refused], &mut emit);
    kernel.settle(at, &mut emit);
    assert_eq!(emit.dead.len(), 1);
    assert!(is_empty(&mut kernel));
}
