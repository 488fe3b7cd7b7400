//! What becomes of the rows of an answer: they are counted, or kept to be compared.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tidemill::differential_dataflow::Data;
use tidemill::{Collection, Stream};

/// The answer to a query: a stream, whose events are the rows, or a collection, whose rows come and go.
pub trait Answer<'s>: Sized {
    /// A row.
    type Row: 'static;

    /// Has `see` look at every row of this worker that comes (1) or goes (-1).
    fn each(self, see: impl FnMut(&Self::Row, isize) + 'static);

    /// Counts the rows that come and go.
    fn count(self, counter: &Counter) {
        let mut worker = counter.worker();
        self.each(move |_, diff| worker.add(diff.unsigned_abs() as u64));
    }

    /// Keeps the rows that are there in the end.
    fn keep(self, rows: &Rows<Self::Row>)
    where
        Self::Row: Ord + Clone,
    {
        let rows = rows.clone();
        self.each(move |row, diff| rows.add(row, diff));
    }
}

impl<'s, R: Clone + 'static> Answer<'s> for Stream<'s, R> {
    type Row = R;

    fn each(self, mut see: impl FnMut(&R, isize) + 'static) {
        self.for_each(move |record| see(&record.value, 1));
    }
}

impl<'s, R: Data> Answer<'s> for Collection<'s, R> {
    type Row = R;

    fn each(self, mut see: impl FnMut(&R, isize) + 'static) {
        let job = self.job().clone();
        let seen = self.inspect(move |(row, _, diff)| see(row, *diff));
        job.wait_for(seen.inner().inner);
    }
}

/// How many rows came and went on all workers. Complete when the job is.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// How many.
    pub fn rows(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    /// One worker's part of it.
    pub fn worker(&self) -> Worker {
        Worker { rows: 0, all: self.clone() }
    }
}

/// One worker's part of a [`Counter`], added to it when the worker is done.
#[derive(Debug)]
pub struct Worker {
    rows: u64,
    all: Counter,
}

impl Worker {
    /// So many more rows came or went.
    pub fn add(&mut self, rows: u64) {
        self.rows += rows;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.all.0.fetch_add(self.rows, Ordering::SeqCst);
    }
}

/// The rows of all workers, by how often each is there. Complete when the job is.
#[derive(Debug)]
pub struct Rows<R>(Arc<Mutex<BTreeMap<R, isize>>>);

impl<R> Clone for Rows<R> {
    fn clone(&self) -> Self {
        Rows(Arc::clone(&self.0))
    }
}

impl<R> Default for Rows<R> {
    fn default() -> Self {
        Rows(Arc::default())
    }
}

impl<R: Ord + Clone> Rows<R> {
    /// A row is there `diff` times more.
    pub fn add(&self, row: &R, diff: isize) {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *rows.entry(row.clone()).or_default() += diff;
    }

    /// Takes out the rows that are there.
    pub fn take(&self) -> BTreeMap<R, isize> {
        let mut rows = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        rows.retain(|_, count| *count != 0);
        rows
    }
}
