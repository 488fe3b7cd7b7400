//! What breaks stops the job with one message that says what and where, and leaves nothing behind.

mod common;

use common::{Gauge, Toy, Watched, all_eighths, by_value, config};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tidemill::harness::Derived;
use tidemill::{Config, Error};
use tidemill_inference::{Infer, ModelError, Pool, PoolConfig};

const EVENTS: i64 = 100_000;

/// Runs a job with the model that `load` gives; returns the error and how much was read.
fn failing<F, L>(workers: usize, pool: PoolConfig, load: L) -> (Error, usize)
where
    F: FnMut(&[i64]) -> Result<Vec<f32>, ModelError> + 'static,
    L: Fn(&Arc<AtomicUsize>) -> Result<Toy<F>, ModelError> + Send + Sync + 'static,
{
    let (read, alive) = (Gauge::default(), Arc::default());
    let (source_read, living) = (read.clone(), Arc::clone(&alive));
    let pool = Pool::new(pool, move || load(&living));
    let config = Config { epoch_records: 100, ..Config::workers(workers) };
    let outcome = tidemill::execute(config, move |job| {
        let numbers = job.source("numbers", Watched::new(0..EVENTS, &source_read), by_value())?;
        numbers.infer("suspicion", &pool, |&n| n)?.for_each(|_| {});
        Ok(())
    });
    assert_eq!(alive.load(Ordering::SeqCst), 0, "a model outlived its job");
    (outcome.map(drop).unwrap_err(), read.get())
}

/// What the operator said; it must have been the operator.
fn reason(error: Error) -> String {
    match error {
        Error::Operator { operator, reason } if operator == "suspicion" => reason,
        other => panic!("{other}"),
    }
}

type Answer = fn(&[i64]) -> Result<Vec<f32>, ModelError>;

/// A model whose `n`th batch gets `answer`, where `asked` counts those of all threads; other
/// batches get proper answers.
fn nth(n: usize, answer: Answer, asked: Arc<AtomicUsize>) -> impl FnMut(&[i64]) -> Result<Vec<f32>, ModelError> {
    move |rows| if asked.fetch_add(1, Ordering::SeqCst) == n { answer(rows) } else { all_eighths(rows) }
}

#[test]
fn a_model_that_cannot_be_loaded_stops_the_job_before_anything_is_read() {
    for workers in [1, 4] {
        let load = |_: &_| Err::<Toy<Answer>, _>(ModelError::new("model.safetensors: no such file"));
        let (error, read) = failing(workers, config(10, 2), load);
        let reason = reason(error);
        assert!(reason.contains("cannot be loaded: model.safetensors: no such file"), "{reason}");
        assert!(reason.contains("start again"), "{reason}");
        assert_eq!(read, 0);
    }
}

#[test]
fn a_model_that_loads_on_one_thread_only_stops_the_job() {
    let loads = AtomicUsize::new(0);
    let load = move |alive: &_| match loads.fetch_add(1, Ordering::SeqCst) {
        0 => Ok(Toy::counted(all_eighths as Answer, alive)),
        _ => Err(ModelError::new("out of memory")),
    };
    let (error, read) = failing(1, config(10, 2), load);
    assert!(reason(error).contains("out of memory"));
    assert_eq!(read, 0);
}

#[test]
fn a_model_that_panics_while_loading_stops_the_job() {
    let (error, read) = failing(2, config(10, 1), |_: &_| -> Result<Toy<Answer>, _> { panic!("no such layer") });
    let reason = reason(error);
    assert!(reason.contains("panicked while loading: no such layer"), "{reason}");
    assert_eq!(read, 0);
}

#[test]
fn a_model_that_fails_panics_or_miscounts_stops_the_job() {
    let failures: [(Answer, &str); 4] = [
        (|_| Err(ModelError::new("the device is gone")), "the device is gone"),
        (|rows| panic!("cannot look at {} rows", rows.len()), "panicked while answering: cannot look at 10 rows"),
        (|rows| Ok(vec![0.5; rows.len() - 1]), "9 answers for 10 rows"),
        (|rows| Ok(vec![0.5; rows.len() + 1]), "11 answers for 10 rows"),
    ];
    for (answer, expected) in failures {
        for (workers, threads, batch) in [(1, 1, 0), (2, 1, 50), (4, 3, 50)] {
            let asked = Arc::default();
            let load = move |alive: &_| Ok(Toy::counted(nth(batch, answer, Arc::clone(&asked)), alive));
            let (error, read) = failing(workers, config(10, threads), load);
            let reason = reason(error);
            assert!(reason.contains(expected) && reason.contains("start again"), "{reason}");
            assert!(read < EVENTS as usize, "the job went on");
        }
    }
}

#[test]
fn a_failure_elsewhere_ends_the_threads_too() {
    let (read, alive) = (Gauge::default(), Arc::default());
    let (source_read, living) = (read.clone(), Arc::clone(&alive));
    let pool = Pool::new(config(10, 2), move || Ok(Toy::counted(all_eighths, &living)));
    let outcome = tidemill::execute(Config::workers(2), move |job| {
        let numbers = job.source("numbers", Watched::new(0..EVENTS, &source_read), by_value())?;
        let scored = numbers.infer("suspicion", &pool, |&n| n)?;
        scored.for_each(|record| assert!(record.value.0 < 9_000, "too far"));
        Ok(())
    });
    assert!(matches!(outcome, Err(Error::Panic { operator, .. }) if operator == "for_each"));
    assert_eq!(alive.load(Ordering::SeqCst), 0);
}

#[test]
fn settings_and_names_that_make_no_sense_are_refused() {
    let load = |alive: &_| Ok(Toy::counted(all_eighths as Answer, alive));
    for pool in [config(0, 1), config(1, 0)] {
        let (error, read) = failing(1, pool, load);
        assert!(matches!(&error, Error::Graph(text) if text.contains("at least 1")), "{error}");
        assert_eq!(read, 0);
    }
    let pool = Pool::new(config(1, 1), || Ok(Toy::new(all_eighths)));
    let outcome = tidemill::execute(Config::workers(2), move |job| {
        let numbers = job.source("numbers", Watched::new(0..9, &Gauge::default()), by_value())?;
        let once = numbers.infer("twin", &pool, |&n| n)?;
        once.infer("twin", &pool, |(n, _)| *n).map(drop)
    });
    let error = outcome.map(drop).unwrap_err();
    assert!(matches!(&error, Error::Graph(text) if text.contains("`twin`")), "{error}");
}

#[test]
#[should_panic(expected = "operator `suspicion` stopped the job: its model failed: out of memory")]
fn a_model_that_fails_fails_the_test_of_what_is_derived() {
    let pool = Pool::new(config(1, 1), || {
        Ok(Toy::new(|_: &[i64]| -> Result<Vec<f32>, _> { Err(ModelError::new("out of memory")) }))
    });
    let mut scored = Derived::new(move |rows| rows.infer("suspicion", &pool, |&n| n).unwrap());
    scored.insert(1);
    scored.close_epoch();
}
