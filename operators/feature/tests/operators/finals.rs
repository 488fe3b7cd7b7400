//! Final answers.

use super::is_empty;
use proptest::prelude::*;
use tidemill::harness::Harness;
use tidemill::time::END;
use tidemill::{Closing, Config, Emit, Epoch, Events, Kernel, Memory, Millis, Record, Seq, Timing, execute};
use tidemill_feature::{Role, Sliding, SlidingWindows, Span, Ties, Windows};

use crate::events::{DISORDER, Event, Log, Read, Row, counted, partitions, sliding, windows};
use crate::oracle::{self, Shape};

type Epochs<T> = Vec<(Epoch, Record<T>)>;

/// Runs the operator: what was read, what came out, and what was late.
fn run(
    input: &[Vec<Event>],
    windows: Windows<{ oracle::W }>,
    workers: usize,
    records: usize,
) -> (Read, Epochs<Row>, Epochs<Event>) {
    let (log, out, late, input) = (Log::default(), Memory::new(), Memory::new(), Events::partitioned(input.to_vec()));
    let (to_log, to_out, to_late) = (log.clone(), out.clone(), late.clone());
    execute(Config { epoch_records: records, ..Config::workers(workers) }, move |job| {
        let timing = Timing::by(|event: &Event| event.time).disorder(DISORDER);
        let events = job.source("events", input.clone(), timing)?;
        to_log.of("log", &events)?;
        let (answers, late) = events.key_by(|event| event.key).finals("windows", sliding(windows))?;
        answers.sink("answers", to_out.clone())?;
        late.sink("late", to_late.clone())
    })
    .expect("the job runs");
    (log.read(), out.take(), late.take())
}

/// By the definition: the answers in the order of event time, over the events that are not late.
fn expected(read: &Read, shape: &Shape, ties: Ties) -> Vec<Record<Row>> {
    let mut records: Vec<_> = (read.records.iter())
        .filter(|(epoch, record)| record.time >= read.before(*epoch))
        .map(|(_, record)| *record)
        .collect();
    records.sort_by_key(|record| (record.time, record.seq));
    let facts = |key| -> Vec<_> {
        let facts = records.iter().filter(move |r| r.value.fact && r.value.key == key);
        facts.map(|r| ((r.time, r.seq), r.value.values)).collect()
    };
    let answer = |r: &Record<Event>| oracle::answer(shape, ties, &facts(r.value.key), (r.time, r.seq));
    records.iter().filter(|r| r.value.asks).map(|r| r.with((r.value, answer(r)))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn finals_are_the_definition_on_any_number_of_workers(
        shape in oracle::shape(), ties in oracle::ties(), input in partitions(), records in 1..40usize,
    ) {
        let first = run(&input, windows(&shape, ties, 0), 1, records);
        let (read, out, late) = &first;
        let answers: Vec<_> = out.iter().map(|(_, record)| *record).collect();
        prop_assert_eq!(answers, expected(read, &shape, ties));
        let behind = |(epoch, record): &&(Epoch, Record<Event>)| record.time < read.before(*epoch);
        prop_assert_eq!(late, &read.records.iter().filter(behind).copied().collect::<Vec<_>>());
        for workers in [2, 4] {
            prop_assert_eq!(&run(&input, windows(&shape, ties, 0), workers, records), &first, "{} workers", workers);
        }
    }

    #[test]
    fn a_restore_in_the_middle_changes_no_answer(
        shape in oracle::shape(), ties in oracle::ties(), input in partitions(),
        cut in 0..60usize, before in 1..5usize, after in 1..5usize, lateness in 0..20u64,
    ) {
        let make = || {
            let windows = windows(&shape, ties, lateness);
            move || sliding(windows).finals_kernel("windows", |event: &Event| event.key)
        };
        let key = |event: &Event| event.key;
        let (mut whole, mut broken) = (Harness::kernel(1, key, make()), Harness::kernel(before, key, make()));
        for (i, event) in input.concat().into_iter().enumerate() {
            for harness in [&mut whole, &mut broken] {
                harness.push(event.time, event);
                if i % 7 == 0 {
                    harness.watermark(event.time - DISORDER);
                }
            }
            if i == cut {
                whole.close_epoch();
                broken.close_epoch();
                prop_assert_eq!(broken.restore(after).expect("it reads back").len(), 0);
            }
        }
        whole.watermark(END);
        broken.watermark(END);
        prop_assert_eq!(broken.out(), whole.out());
        prop_assert_eq!(counted(broken.late()), counted(whole.late()));
    }

    #[test]
    fn nothing_is_kept_of_keys_that_nothing_can_reach(
        shape in oracle::shape(), ties in oracle::ties(), input in partitions(), far in 0..3u8,
    ) {
        let mut kernel = sliding(windows(&shape, ties, 0)).finals_kernel("windows", |event: &Event| event.key);
        let mut events: Vec<_> = input.concat();
        events.sort();
        let last = events.last().map_or(0, |event| event.time);
        let mut records = (0..).zip(events).map(|(i, e)| Record { time: e.time, seq: Seq::new(0, i), value: e }).collect();
        let mut emit = Emit::default();
        let close = |epoch, before, after| Closing { epoch, before, after };
        kernel.records(close(1, 0, last + 1), &mut records, &mut emit);
        kernel.settle(close(1, 0, last + 1), &mut emit);
        // The widest reach is 32; the keys are looked at once a minute.
        let passed = [last + 32 + 60_000, last + 200_000, END][usize::from(far)];
        kernel.settle(close(2, last + 1, passed), &mut emit);
        prop_assert!(is_empty(&mut kernel));
    }
}

#[test]
fn a_value_that_cannot_be_summed_is_a_dead_letter_and_the_rest_goes_on() {
    for ties in [Ties::Before, Ties::All] {
        let (out, dead) = (Memory::new(), Memory::new());
        let (to_out, to_dead) = (out.clone(), dead.clone());
        // The second would not fit; of the last two, at the same time, only one does.
        let input = [(1, 2), (2, i64::MAX), (3, 5), (20, i64::MAX), (20, 7), (40, 1)];
        execute(Config::workers(2), move |job| {
            job.dead_letters_to(to_dead.clone());
            let events = job.source("events", Events::new(input.to_vec()), Timing::by(|e: &(Millis, i64)| e.0))?;
            let windows = Windows::new([Span::last(10)]).ties(ties);
            let sums = Sliding::new(windows, |event: &(Millis, i64)| Role::Both([event.1]));
            events.key_by(|_| 0u8).finals("sums", sums)?.0.sink("out", to_out.clone())
        })
        .expect("the job goes on");
        let sums: Vec<_> = out.values().into_iter().map(|((time, _), [last])| (time, last.sums[0])).collect();
        assert_eq!(sums, [(1, 2), (3, 7), (20, i64::MAX), (40, 1)], "{ties:?}");
        let dead = dead.values();
        assert_eq!(dead.iter().map(|d| d.record.as_str()).collect::<Vec<_>>(), ["[2,9223372036854775807]", "[20,7]"]);
        assert!(dead.iter().all(|d| d.operator == "sums" && d.reason.contains("more than an i64 holds")), "{dead:?}");
    }
}
