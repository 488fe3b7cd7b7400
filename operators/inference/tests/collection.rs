//! `infer` on a collection, against counting by hand.

mod common;

use common::{Gauge, Toy, all_eighths, config, eighths, score};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use tidemill::differential_dataflow::VecCollection;
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
        let mut rows: BTreeMap<i64, (isize, Option<Score>)> = BTreeMap::new();
        for (epoch, changes) in by_epoch(&events) {
            let told = updates.remove(&epoch).unwrap_or_default().into_iter();
            let mut told: BTreeMap<_, _> = told.map(|Update { row: (row, score), diff }| (row, (score, diff))).collect();
            for (row, diff) in changes.into_iter().filter(|(_, diff)| *diff != 0) {
                let (count, score) = rows.entry(row).or_default();
                *count += diff;
                let more = if score.is_some() { diff } else { *count };
                if diff > 0 {
                    expected_asks.push(row);
                    *score = score.or(told.get(&row).map(|(score, _)| *score));
                    prop_assert!(score.is_some() || *count == 0, "epoch {}: {} has no score", epoch, row);
                }
                prop_assert_eq!(told.remove(&row), score.map(|score| (score, more)), "epoch {}, row {}", epoch, row);
                if *count == 0 {
                    rows.remove(&row);
                }
            }
            prop_assert!(told.is_empty(), "epoch {}: {:?}", epoch, told);
        }
        prop_assert!(updates.is_empty());
        let mut asks = asked.lock().unwrap().clone();
        asks.sort();
        expected_asks.sort();
        prop_assert_eq!(asks, expected_asks);
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
            // Whether a row has come since it was last there no times.
            let mut expected: BTreeMap<i64, (isize, bool)> = BTreeMap::new();
            for (row, diff) in by_epoch(&events).into_values().flatten() {
                let (count, came) = expected.entry(row).or_default();
                *count += diff;
                *came = *count != 0 && (*came || diff > 0);
            }
            expected.retain(|row, (_, came)| *row != 3 && *came);
            let expected: Vec<_> = expected.into_iter().map(|(row, (count, _))| ((row, score(row)), count)).collect();
            prop_assert_eq!(out.rows(), expected);
            results.push((out.take(), dead.take()));
        }
        let letters: BTreeSet<String> = results[0].1.iter().map(|(_, r)| r.value.record.clone()).collect();
        prop_assert!(letters.iter().all(|record| record == "3"));
        prop_assert!(results.iter().all(|result| *result == results[0]));
    }
}

#[test]
fn a_row_that_comes_once_more_keeps_its_score_and_one_that_comes_and_goes_within_an_epoch_is_not_scored() {
    let (asked, out) = (Arc::default(), Memory::new());
    let (model_asked, sink) = (Arc::clone(&asked), out.clone());
    let pool = Pool::new(config(1, 1), move || Ok(Toy::new(counting(&model_asked))));
    // Epochs: {7 comes and goes, 8 comes}, {8 comes again}, {8 goes twice}.
    let events = [(7, 1, 0), (7, -1, 0), (8, 1, 0), (8, 1, 0), (5, 0, 0), (5, 0, 0), (8, -2, 0)];
    run(1, &events, move |_, rows| rows.infer("count", &pool, |&n| n)?.sink("out", sink.clone()));
    assert_eq!(*asked.lock().unwrap(), [8, 8]);
    let first = Score::default();
    let updates: Vec<_> = out.take().into_iter().map(|(epoch, update)| (epoch, update.row, update.diff)).collect();
    assert_eq!(updates, [(1, (8, first), 1), (2, (8, first), 1), (3, (8, first), -2)]);
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
