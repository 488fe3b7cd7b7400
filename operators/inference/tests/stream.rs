//! `infer` on a stream.

mod common;

use common::{Gauge, Toy, Watched, all_eighths, by_value, config, eighths, score};
use proptest::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tidemill::{Config, DeadLetter, Epoch, Events, Memory, Record, Timing};
use tidemill_inference::{Infer, Model, ModelError, Pool, PoolConfig, Score};

/// Small epochs, so that there are many.
fn job_config(workers: usize) -> Config {
    Config { epoch_records: 7, ..Config::workers(workers) }
}

/// Three partitions of numbers; event times repeat, and are out of order by at most 10 ms.
fn events() -> Events<i64> {
    let partition = |p: i64| (0..100 + 20 * p).map(|i| 1000 * p + i).collect();
    Events::partitioned((0..3).map(partition).collect())
}

fn timing() -> Timing<i64, impl Fn(&i64) -> i64> {
    Timing::by(|n| (n % 1000) / 3 * 5 + (n * 7) % 10).disorder(10)
}

type Scored = Vec<(Epoch, Record<(i64, Score)>)>;

fn scored(workers: usize, pool: PoolConfig) -> Scored {
    let out = Memory::new();
    let (sink, pool) = (out.clone(), Pool::new(pool, || Ok(Toy::new(all_eighths))));
    let graph = move |job: &tidemill::Job<'_>| {
        let numbers = job.source("numbers", events(), timing())?;
        numbers.infer("eighths", &pool, |&n| n)?.sink("out", sink.clone())
    };
    tidemill::execute(job_config(workers), graph).unwrap();
    out.take()
}

#[test]
fn scores_do_not_depend_on_workers_threads_or_batches() {
    let expected = scored(1, config(256, 1));
    assert_eq!(expected.len(), 100 + 120 + 140);
    assert!(expected.iter().all(|(_, r)| r.value.1 == score(r.value.0)));
    for workers in [1, 2, 4] {
        for (batch, threads) in [(1, 1), (3, 2), (256, 3)] {
            for across_epochs in [false, true] {
                let pool = PoolConfig { batch, threads, across_epochs };
                assert_eq!(scored(workers, pool.clone()), expected, "{workers} workers, {pool:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Nothing is kept from one epoch to the next: a job that goes on where another has stopped scores what is left as
    /// that one would have, even by a model that answers by the place in the batch.
    #[test]
    fn a_restart_between_epochs_changes_no_score(
        numbers in prop::collection::vec(0..100_i64, 0..100), cut in 0..15_usize, batch in 1..5_usize,
    ) {
        let scored = |workers, numbers: &[i64]| {
            let (out, numbers) = (Memory::<Record<(i64, Score)>>::new(), Events::new(numbers.to_vec()));
            let places = |rows: &[i64]| Ok((0..rows.len()).map(|place| eighths(place as i64)).collect());
            let (sink, pool) = (out.clone(), Pool::new(config(batch, 1), move || Ok(Toy::new(places))));
            tidemill::execute(job_config(workers), move |job| {
                let numbers = job.source("numbers", numbers.clone(), by_value().disorder(100))?;
                numbers.infer("places", &pool, |&n| n)?.sink("out", sink.clone())
            })
            .unwrap();
            out.take().into_iter().map(|(_, record)| (record.time, record.value)).collect::<Vec<_>>()
        };
        let cut = numbers.len().min(cut * job_config(1).epoch_records);
        for workers in [1, 2, 4] {
            let broken = [scored(workers, &numbers[..cut]), scored(workers, &numbers[cut..])].concat();
            prop_assert_eq!(broken, scored(workers, &numbers), "{} workers", workers);
        }
    }
}

#[test]
fn batches_are_cut_from_one_epoch_in_order_of_event_time() {
    let batches: Arc<Mutex<Vec<Vec<i64>>>> = Arc::default();
    let seen = Arc::clone(&batches);
    let pool = Pool::new(config(3, 1), move || {
        let seen = Arc::clone(&seen);
        Ok(Toy::new(move |rows: &[i64]| {
            seen.lock().unwrap().push(rows.to_vec());
            all_eighths(rows)
        }))
    });
    tidemill::execute(job_config(1), move |job| {
        let numbers = job.source("numbers", Events::new((0..10).collect()), Timing::by(|n| -n).disorder(10))?;
        numbers.infer("eighths", &pool, |&n| n)?.for_each(|_| {});
        Ok(())
    })
    .unwrap();
    let expected = [vec![6, 5, 4], vec![3, 2, 1], vec![0], vec![9, 8, 7]];
    assert_eq!(*batches.lock().unwrap(), expected);
}

#[test]
fn epochs_come_out_in_order_whatever_thread_is_faster() {
    let answered = Gauge::default();
    let pool = Pool::new(config(1, 2), move || {
        let answered = answered.clone();
        Ok(Toy::new(move |rows: &[i64]| {
            if rows == [0] {
                answered.wait_for(5); // the other thread answers five epochs first
            }
            answered.add(1);
            all_eighths(rows)
        }))
    });
    let order: Arc<Mutex<Vec<i64>>> = Arc::default();
    let seen = Arc::clone(&order);
    tidemill::execute(Config { epoch_records: 1, ..Config::workers(1) }, move |job| {
        let numbers = job.source("numbers", Events::new((0..20).collect()), by_value())?;
        let seen = Arc::clone(&seen);
        let scored = numbers.infer("eighths", &pool, |&n| n)?;
        scored.for_each(move |record| seen.lock().unwrap().push(record.value.0));
        Ok(())
    })
    .unwrap();
    assert_eq!(*order.lock().unwrap(), Vec::from_iter(0..20));
}

#[test]
fn a_nan_costs_its_own_record_only() {
    let (good, dead) = (Memory::new(), Memory::<Record<DeadLetter>>::new());
    let sinks = (good.clone(), dead.clone());
    let pool = Pool::new(config(4, 1), || {
        let answer = |&n: &i64| match n {
            5 => f32::NAN,
            9 => f32::INFINITY,
            n => eighths(n),
        };
        Ok(Toy::new(move |rows: &[i64]| Ok(rows.iter().map(answer).collect())))
    });
    tidemill::execute(job_config(2), move |job| {
        job.dead_letters_to(sinks.1.clone());
        let numbers = job.source("numbers", Events::new((0..12).collect()), by_value())?;
        numbers.infer("eighths", &pool, |&n| n)?.sink("good", sinks.0.clone())
    })
    .unwrap();
    let expected: Vec<_> = (0..12).filter(|n| ![5, 9].contains(n)).map(|n| (n, score(n))).collect();
    assert_eq!(good.values(), expected);
    let letters: Vec<_> = dead.take().into_iter().map(|(_, r)| (r.time, r.value)).collect();
    let told = |(time, letter): &(i64, DeadLetter)| (*time, letter.record.clone(), letter.operator.clone());
    let places: Vec<_> = letters.iter().map(told).collect();
    assert_eq!(places, [(5, "5".into(), "eighths".into()), (9, "9".into(), "eighths".into())]);
    assert!(letters[0].1.reason.contains("NaN") && letters[1].1.reason.contains("inf"), "{letters:?}");
}

/// As many answers of a row as the row says.
struct Several;

impl Model for Several {
    type In = i64;
    type Out = Vec<f32>;
    fn predict(&mut self, rows: &[i64]) -> Result<Vec<Vec<f32>>, ModelError> {
        Ok(rows.iter().map(|&n| (0..n).map(eighths).collect()).collect())
    }
}

#[test]
fn a_model_chosen_at_run_time_may_give_several_scores_of_a_row() {
    let out = Memory::new();
    let sink = out.clone();
    let pool =
        Pool::new(config(2, 1), || -> Result<Box<dyn Model<In = i64, Out = Vec<f32>>>, _> { Ok(Box::new(Several)) });
    tidemill::execute(Config::workers(1), move |job| {
        let numbers = job.source("numbers", Events::new(vec![0, 1, 3]), by_value())?;
        numbers.infer("several", &pool, |&n| n)?.sink("out", sink.clone())
    })
    .unwrap();
    let scores = [vec![], vec![score(0)], vec![score(0), score(1), score(2)]];
    assert_eq!(out.values(), Vec::from_iter([0, 1, 3].into_iter().zip(scores)));
}

#[test]
fn one_pool_serves_several_operators_and_jobs_and_its_threads_end_with_them() {
    let (loaded, alive) = (Arc::new(AtomicUsize::new(0)), Arc::default());
    let (loads, living) = (Arc::clone(&loaded), Arc::clone(&alive));
    let pool = Pool::new(config(2, 2), move || {
        loads.fetch_add(1, Ordering::SeqCst);
        Ok(Toy::counted(all_eighths, &living))
    });
    for job in 1..=2 {
        let (out, pool) = (Memory::new(), pool.clone());
        let sink = out.clone();
        tidemill::execute(Config::workers(3), move |job| {
            let numbers = job.source("numbers", Events::new((0..9).collect()), by_value())?;
            let once = numbers.infer("once", &pool, |&n| n)?;
            let twice = once.infer("twice", &pool, |(n, _)| 2 * n)?;
            twice.sink("out", sink.clone())
        })
        .unwrap();
        assert_eq!(out.values(), Vec::from_iter((0..9).map(|n| ((n, score(n)), score(2 * n)))));
        assert_eq!(loaded.load(Ordering::SeqCst), job * 4, "two threads an operator, whatever the workers");
        assert_eq!(alive.load(Ordering::SeqCst), 0);
    }
}

#[test]
fn a_slow_model_slows_the_source() {
    // An epoch is one record, and so is a batch. The model answers only when the source is some
    // epochs ahead of it, so the source has every occasion to run away.
    const EVENTS: usize = 5_000;
    const AHEAD: usize = 4;
    const BOUND: usize = 10;
    let (read, most) = (Gauge::default(), Arc::new(AtomicUsize::new(0)));
    let (source_read, most_seen) = (read.clone(), Arc::clone(&most));
    let pool = Pool::new(config(1, 1), move || {
        let (read, most) = (read.clone(), Arc::clone(&most_seen));
        let mut answered = 0;
        Ok(Toy::new(move |rows: &[i64]| {
            read.wait_for(EVENTS.min(answered + AHEAD));
            most.fetch_max(read.get() - answered, Ordering::SeqCst);
            answered += rows.len();
            all_eighths(rows)
        }))
    });
    tidemill::execute(Config { epoch_records: 1, ..Config::workers(1) }, move |job| {
        let source = Watched::new(0..EVENTS as i64, &source_read);
        let numbers = job.source("numbers", source, by_value())?;
        // Nothing behind it: it is the operator itself that the job waits for.
        numbers.infer("slow", &pool, |&n| n).map(drop)
    })
    .unwrap();
    let most = most.load(Ordering::SeqCst);
    assert!((AHEAD..=BOUND).contains(&most), "the source was {most} epochs ahead of the model");
}
