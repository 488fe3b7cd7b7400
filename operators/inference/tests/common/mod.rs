//! Toy models, and a source that can be watched.
#![allow(dead_code)] // each test file uses its part

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use tidemill::{Batch, Events, EventsReader, ReadStatus, Reader, Source, SourceError, Timing};
use tidemill_inference::{Model, ModelError, PoolConfig, Score};

pub fn config(batch: usize, threads: usize) -> PoolConfig {
    PoolConfig { batch, threads, ..PoolConfig::default() }
}

/// Answers by a function from a batch; counts how many of its kind are alive.
pub struct Toy<F> {
    answer: F,
    alive: Arc<AtomicUsize>,
}

impl<F> Toy<F> {
    pub fn new(answer: F) -> Self {
        Toy::counted(answer, &Arc::default())
    }

    pub fn counted(answer: F, alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Ordering::SeqCst);
        Toy { answer, alive: Arc::clone(alive) }
    }
}

impl<F> Drop for Toy<F> {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<F: FnMut(&[i64]) -> Result<Vec<f32>, ModelError> + 'static> Model for Toy<F> {
    type In = i64;
    type Out = f32;
    fn predict(&mut self, rows: &[i64]) -> Result<Vec<f32>, ModelError> {
        (self.answer)(rows)
    }
}

/// The answer that toy models give of `n`.
pub fn eighths(n: i64) -> f32 {
    n as f32 / 8.0
}

pub fn all_eighths(rows: &[i64]) -> Result<Vec<f32>, ModelError> {
    Ok(rows.iter().copied().map(eighths).collect())
}

pub fn score(n: i64) -> Score {
    Score::from_millionths(n * 125_000)
}

/// A number that threads wait for.
#[derive(Clone, Default)]
pub struct Gauge(Arc<(Mutex<usize>, Condvar)>);

impl Gauge {
    pub fn add(&self, n: usize) {
        *self.0.0.lock().unwrap() += n;
        self.0.1.notify_all();
    }

    pub fn get(&self) -> usize {
        *self.0.0.lock().unwrap()
    }

    /// Waits until the number is at least `n`; a test that would hang panics instead.
    pub fn wait_for(&self, n: usize) {
        let guard = self.0.0.lock().unwrap();
        let patience = Duration::from_secs(30);
        let (guard, outcome) = self.0.1.wait_timeout_while(guard, patience, |now| *now < n).unwrap();
        assert!(!outcome.timed_out(), "waited for {n}, and there are {}", *guard);
    }
}

/// Events in memory; `read` is how many of them the job has taken.
pub struct Watched {
    pub events: Events<i64>,
    pub read: Gauge,
}

impl Watched {
    pub fn new(events: impl IntoIterator<Item = i64>, read: &Gauge) -> Self {
        Watched { events: Events::new(events.into_iter().collect()), read: read.clone() }
    }
}

impl Source for Watched {
    type Item = i64;
    type Reader = WatchedReader;
    fn partitions(&self) -> Result<usize, SourceError> {
        self.events.partitions()
    }
    fn open(&self, partition: usize, offset: u64) -> Result<WatchedReader, SourceError> {
        Ok(WatchedReader { inner: self.events.open(partition, offset)?, read: self.read.clone() })
    }
}

pub struct WatchedReader {
    inner: EventsReader<i64>,
    read: Gauge,
}

impl Reader for WatchedReader {
    type Item = i64;
    fn read(&mut self, limit: usize, batch: &mut Batch<i64>) -> Result<ReadStatus, SourceError> {
        let before = batch.items().len();
        let status = self.inner.read(limit, batch)?;
        self.read.add(batch.items().len() - before);
        Ok(status)
    }
    fn offset(&self) -> u64 {
        self.inner.offset()
    }
}

/// A number's event time is the number.
pub fn by_value() -> Timing<i64, fn(&i64) -> i64> {
    Timing::by(|n| *n)
}
