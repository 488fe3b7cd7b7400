//! `infer` on a collection, against counting by hand.

mod common;

use common::{Gauge, Toy, all_eighths, config, eighths, score};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use tidemill::differential_dataflow::VecCollection;
use tidemill::harness::Derived;
use tidemill::timely::container::CapacityContainerBuilder;
use tidemill::timely::dataflow::channels::pact::Pipeline;
use tidemill::timely::dataflow::operators::generic::Operator;
use tidemill::{Collection, Config, DeadLetter, Epoch, Events, Job, Memory, Record, Result, Stream, Timing, Update};
use tidemill_inference::{Infer, ModelError, Pool, Score};

/// `row` comes `diff` times more, `later` epochs after its event.
type Event = (i64, isize, Epoch);
const PER_EPOCH: usize = 3;

/// The collection of such events. As differential does, it puts updates of several epochs into
/// one message.
fn rows<'s>(events: Stream<'s, Event>) -> Collection<'s, i64> {
    let updates = events.inner().unary::<CapacityContainerBuilder<Vec<_>>, _, _, _>(Pipeline, "updates", |cap, _| {
        drop(cap);
        |input, output| {
            input.for_each_stamp(|cap, batches| {
                let Some(&epoch) = cap.least() else { return };
                let events = batches.flat_map(|batch| batch.drain(..));
                let update = |Record { value: (row, diff, later), .. }: Record<Event>| (row, epoch + later, diff);
                output.session(&cap).give_iterator(events.map(update));
            });
        }
    });
    Collection::from_inner(VecCollection::new(updates), &events)
}

/// Runs a graph over `events`, three to an epoch.
fn run(
    workers: usize,
    events: &[Event],
    graph: impl for<'s> Fn(&Job<'s>, Collection<'s, i64>) -> Result<()> + Send + Sync + 'static,
) {
    let source = Events::new(events.to_vec());
    let config = Config { epoch_records: PER_EPOCH, ..Config::workers(workers) };
    let graph = move |job: &Job<'_>| graph(job, rows(job.source("events", source.clone(), Timing::by(|_| 0))?));
    tidemill::execute(config, graph).unwrap();
}

/// What each epoch changes, net.
fn by_epoch(events: &[Event]) -> BTreeMap<Epoch, BTreeMap<i64, isize>> {
    let mut epochs: BTreeMap<Epoch, BTreeMap<i64, isize>> = BTreeMap::new();
    for (index, (row, diff, later)) in events.iter().enumerate() {
        let epoch = (index / PER_EPOCH) as Epoch + 1 + later;
        *epochs.entry(epoch).or_default().entry(*row).or_default() += diff;
    }
    epochs
}

/// Answers how often models of its kind were asked so far, so never twice the same; remembers
/// what it was asked.
fn counting(asked: &Arc<Mutex<Vec<i64>>>) -> impl FnMut(&[i64]) -> Result<Vec<f32>, ModelError> + use<> {
    let asked = Arc::clone(asked);
    move |rows| {
        let mut asked = asked.lock().unwrap();
        let answers = (0..rows.len()).map(|i| (asked.len() + i) as f32).collect();
        asked.extend(rows);
        Ok(answers)
    }
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let diff = prop_oneof![3 => Just(1), 2 => Just(-1), 1 => -3..=3_isize];
    let later = prop_oneof![4 => Just(0), 1 => 0..5_u64];
    prop::collection::vec((0..6_i64, diff, later), 0..60)
}

/// Makes the changes of an epoch.
fn change(rows: &mut Derived<i64, (i64, Score)>, events: &[Event]) {
    for &(row, diff, _) in events {
        (0..diff).for_each(|_| rows.insert(row));
        (diff..0).for_each(|_| rows.remove(row));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Even if the model never answers the same twice: at the end of every epoch each true row
    /// has one score, the one it was first given, and no other row has any.
    #[test]
    fn a_score_is_kept_while_its_row_is_true(events in events(), workers in 1..4_usize, batch in 1..5_usize) {
        let (asked, out) = (Arc::default(), Memory::<Update<(i64, Score)>>::new());
        let (model_asked, sink) = (Arc::clone(&asked), out.clone());
        let pool = Pool::new(config(batch, 2), move || Ok(Toy::new(counting(&model_asked))));
        run(workers, &events, move |_, rows| rows.infer("count", &pool, |&n| n)?.sink("out", sink.clone()));

        let mut updates: BTreeMap<Epoch, Vec<Update<(i64, Score)>>> = BTreeMap::new();
        for (epoch, update) in out.take() {
            updates.entry(epoch).or_default().push(update);
        }
        let mut expected_asks = Vec::new();
        let mut counts: BTreeMap<i64, isize> = BTreeMap::new();
        let mut scores: BTreeMap<i64, Score> = BTreeMap::new();
        for (epoch, changes) in by_epoch(&events) {
            let changes: BTreeMap<i64, isize> = changes.into_iter().filter(|(_, diff)| *diff != 0).collect();
            let told = updates.remove(&epoch).unwrap_or_default();
            prop_assert_eq!(told.len(), changes.len(), "epoch {}", epoch);
            for Update { row: (row, score), diff } in told {
                prop_assert_eq!(changes.get(&row), Some(&diff));
                let count = counts.entry(row).or_default();
                if *count == 0 {
                    expected_asks.push(row);
                    prop_assert!(scores.insert(row, score).is_none());
                }
                prop_assert_eq!(scores.get(&row), Some(&score), "another score than it was given");
                *count += diff;
                if *count == 0 {
                    scores.remove(&row);
                }
            }
        }
        prop_assert!(updates.is_empty());
        let mut asks = asked.lock().unwrap().clone();
        asks.sort();
        expected_asks.sort();
        prop_assert_eq!(asks, expected_asks);
    }

    /// The collection says its rows again after a restart, and they are scored again: with the same scores, if the
    /// model answers by the row alone.
    #[test]
    fn a_restore_changes_no_score_of_a_model_that_answers_by_the_row(
        events in events(), cut in 0..20_usize, batch in 1..5_usize,
    ) {
        let answer = |&n: &i64| if n == 3 { f32::NAN } else { eighths(n) };
        let model = move |rows: &[i64]| Ok(rows.iter().map(answer).collect());
        let pool = Pool::new(config(batch, 2), move || Ok(Toy::new(model)));
        let derived = || {
            let pool = pool.clone();
            Derived::new(move |rows| rows.infer("eighths", &pool, |&n| n).unwrap())
        };
        let (mut whole, mut broken) = (derived(), derived());
        for (number, events) in events.chunks(PER_EPOCH).enumerate() {
            if number == cut {
                prop_assert_eq!(broken.restore(), whole.rows());
                (0..2).for_each(|_| whole.close_epoch());
            }
            for derived in [&mut whole, &mut broken] {
                change(derived, events);
                derived.close_epoch();
            }
            prop_assert_eq!(broken.changes(), whole.changes());
        }
    }

    /// Even if the model never answers the same twice: what is retracted after a restore is what was said after it.
    #[test]
    fn a_row_has_one_score_after_a_restore(events in events(), cut in 0..20_usize, batch in 1..5_usize) {
        let asked = Arc::default();
        let pool = Pool::new(config(batch, 2), move || Ok(Toy::new(counting(&asked))));
        let mut derived = Derived::new(move |rows| rows.infer("count", &pool, |&n| n).unwrap());
        let (mut counts, mut scored) = (BTreeMap::<i64, isize>::new(), BTreeMap::<(i64, Score), isize>::new());
        for (number, events) in events.chunks(PER_EPOCH).enumerate() {
            if number == cut {
                scored = derived.restore().into_iter().collect();
            }
            change(&mut derived, events);
            events.iter().for_each(|(row, diff, _)| *counts.entry(*row).or_default() += diff);
            derived.close_epoch();
            derived.changes().into_iter().for_each(|(_, row, diff)| *scored.entry(row).or_default() += diff);
            scored.retain(|_, count| *count != 0);
            let rows = scored.iter().map(|((row, _), count)| (*row, *count));
            prop_assert!(rows.eq(counts.clone().into_iter().filter(|(_, count)| *count != 0)), "{:?} of {:?}", scored, counts);
        }
    }

    /// The same updates in the same epochs with any number of workers, NaN or not.
    #[test]
    fn scores_do_not_depend_on_workers(events in events()) {
        let answer = |&n: &i64| if n == 3 { f32::NAN } else { eighths(n) };
        let mut results = Vec::new();
        for workers in [1, 2, 4] {
            let (out, dead) = (Memory::<Update<(i64, Score)>>::new(), Memory::<Record<DeadLetter>>::new());
            let sinks = (out.clone(), dead.clone());
            let pool = Pool::new(config(2, workers), move || Ok(Toy::new(move |rows: &[i64]| Ok(rows.iter().map(answer).collect()))));
            run(workers, &events, move |job, rows| {
                job.dead_letters_to(sinks.1.clone());
                rows.infer("eighths", &pool, |&n| n)?.sink("out", sinks.0.clone())
            });
            let mut expected: BTreeMap<i64, isize> = BTreeMap::new();
            for (row, diff) in by_epoch(&events).into_values().flatten() {
                *expected.entry(row).or_default() += diff;
            }
            expected.retain(|row, count| *row != 3 && *count != 0);
            let expected: Vec<_> = expected.into_iter().map(|(row, count)| ((row, score(row)), count)).collect();
            prop_assert_eq!(out.rows(), expected);
            results.push((out.take(), dead.take()));
        }
        let letters: BTreeSet<String> = results[0].1.iter().map(|(_, r)| r.value.record.clone()).collect();
        prop_assert!(letters.iter().all(|record| record == "3"));
        prop_assert!(results.iter().all(|result| *result == results[0]));
    }
}

#[test]
fn a_row_that_comes_and_goes_within_an_epoch_is_not_scored() {
    let (asked, out) = (Arc::default(), Memory::new());
    let (model_asked, sink) = (Arc::clone(&asked), out.clone());
    let pool = Pool::new(config(10, 1), move || Ok(Toy::new(counting(&model_asked))));
    // Epochs: {7 comes and goes, 8 comes}, {8 comes again, 9 comes}, {8 goes twice}.
    let events = [(7, 1, 0), (7, -1, 0), (8, 1, 0), (8, 1, 0), (9, 1, 0), (5, 0, 0), (8, -2, 0)];
    run(1, &events, move |_, rows| rows.infer("count", &pool, |&n| n)?.sink("out", sink.clone()));
    assert_eq!(*asked.lock().unwrap(), [8, 9]);
    assert_eq!(out.rows(), [((9, Score::ONE), 1)]);
}

/// A score that is given, kept and retracted while the model is at work on an earlier epoch.
#[test]
fn epochs_may_close_while_earlier_ones_are_with_the_model() {
    let (arrived, out) = (Gauge::default(), Memory::new());
    let (seen, sink) = (arrived.clone(), out.clone());
    let pool = Pool::new(config(10, 1), move || {
        let arrived = arrived.clone();
        Ok(Toy::new(move |rows: &[i64]| {
            arrived.wait_for(7);
            all_eighths(rows)
        }))
    });
    let events = [(1, 1, 0), (2, 1, 0), (2, 0, 0), (1, -1, 0), (3, 1, 0), (3, 0, 0), (1, 1, 0)];
    run(1, &events, move |_, rows| {
        // All epochs have arrived before the model answers for the first.
        let seen = seen.clone();
        let watched = rows.inspect(move |_| seen.add(1));
        watched.infer("late", &pool, |&n| n)?.sink("out", sink.clone())
    });
    assert_eq!(out.rows(), [((1, score(1)), 1), ((2, score(2)), 1), ((3, score(3)), 1)]);
    let of_one: Vec<_> = out.take().into_iter().filter(|(_, u)| u.row.0 == 1).map(|(e, u)| (e, u.diff)).collect();
    assert_eq!(of_one, [(1, 1), (2, -1), (3, 1)]);
}
