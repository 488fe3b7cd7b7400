//! Where results leave the graph.

use crate::record::{DeadLetter, Record};
use crate::time::Epoch;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

/// Writes results. A sink is one writer for the whole job: it gets every worker's items of an
/// epoch at once, in an order that does not depend on the number of workers, then the next.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `Sink`",
    label = "no `Sink`",
    note = "a sink of a stream takes `Record<T>`, one of a collection `Update<T>`: `tidemill::Console` is a short one",
    note = "more in `tidemill::guide`, \"When the compiler complains\""
)]
pub trait Sink: 'static {
    /// What it takes: [`Record<T>`] from a stream, [`Update<T>`] from a collection.
    type Item;

    /// The job begins, before anything is written: where it begins, and what this sink saved then. Unless it is written, the
    /// sink cannot go on from a checkpoint, and a job that would stops.
    fn open(&mut self, start: &Start) -> Result<(), SinkError> {
        if start.epoch == 0 {
            return Ok(());
        }
        Err(SinkError::new(
            "it cannot go on from a checkpoint, for it does not say how: write `Sink::open` and `Sink::save` for it, or begin \
             anew with `--restore none`",
        ))
    }

    /// The rows of a collection that are true at the epoch a job goes on from: all were committed once, so there is nothing to
    /// do but for a sink that may have lost or kept something else, and compares them with what it has. Called once, before
    /// any [`Sink::write`], where a job goes on from a checkpoint; also if there are no such rows.
    fn restored(&mut self, _epoch: Epoch, _rows: &mut Vec<Self::Item>) -> Result<(), SinkError> {
        Ok(())
    }

    /// Takes the items of `epoch`. Called only when there are any; `items` may be drained.
    fn write(&mut self, epoch: Epoch, items: &mut Vec<Self::Item>) -> Result<(), SinkError>;

    /// Everything through `epoch` has been written: make it visible and durable.
    fn commit(&mut self, _epoch: Epoch) -> Result<(), SinkError> {
        Ok(())
    }

    /// What the sink must know to go on after the epoch that was committed last: part of the checkpoint of that epoch, which
    /// does not exist before this returns.
    fn save(&mut self) -> Result<Vec<u8>, SinkError> {
        Ok(Vec::new())
    }

    /// The job has ended; nothing more will come.
    fn close(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Where a job begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Names all runs that continue each other, from the first, which restored nothing.
    pub lineage: String,
    /// Whether the job keeps checkpoints: otherwise [`Sink::save`] is never called.
    pub checkpoints: bool,
    /// The epoch of the checkpoint that was restored, 0 where there was none. What comes is of later epochs.
    pub epoch: Epoch,
    /// Through which epoch those that an earlier run formed are formed again exactly as they were, so that what was committed
    /// of them can be skipped: the greatest number there is where all are.
    pub exact_through: Epoch,
    /// What [`Sink::save`] gave at that epoch.
    pub saved: Option<Vec<u8>>,
}

/// A change of a collection: `row` is true `diff` times more than before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Update<T> {
    /// The row.
    pub row: T,
    /// How many times more (positive) or fewer (negative) it is true.
    pub diff: isize,
}

/// Why a sink cannot write; the text says what to do. It stops the job.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct SinkError(pub String);

impl SinkError {
    /// An error with this text.
    pub fn new(text: impl Into<String>) -> Self {
        SinkError(text.into())
    }
}

/// Keeps everything in memory, with the epoch it came in: for tests.
#[derive(Debug)]
pub struct Memory<T> {
    items: Arc<Mutex<Vec<(Epoch, T)>>>,
}

impl<T> Clone for Memory<T> {
    fn clone(&self) -> Self {
        Memory { items: Arc::clone(&self.items) }
    }
}

impl<T> Default for Memory<T> {
    fn default() -> Self {
        Memory { items: Arc::default() }
    }
}

impl<T> Memory<T> {
    /// An empty sink; a clone of it reads what the job writes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes out everything written so far.
    pub fn take(&self) -> Vec<(Epoch, T)> {
        std::mem::take(&mut *self.items.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How much is in it.
    pub fn len(&self) -> usize {
        self.items.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Memory<Record<T>> {
    /// Takes out the values alone.
    pub fn values(&self) -> Vec<T> {
        self.take().into_iter().map(|(_, record)| record.value).collect()
    }
}

impl<T: Ord> Memory<Update<T>> {
    /// The rows that are true after all updates written so far, sorted, with their counts.
    pub fn rows(&self) -> Vec<(T, isize)>
    where
        T: Clone,
    {
        let items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rows = std::collections::BTreeMap::new();
        for (_, update) in items.iter() {
            *rows.entry(update.row.clone()).or_insert(0) += update.diff;
        }
        rows.into_iter().filter(|(_, count)| *count != 0).collect()
    }
}

impl<T: Send + 'static> Sink for Memory<T> {
    type Item = T;
    fn open(&mut self, _: &Start) -> Result<(), SinkError> {
        Ok(())
    }

    fn write(&mut self, epoch: Epoch, items: &mut Vec<T>) -> Result<(), SinkError> {
        let mut all = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(items.drain(..).map(|item| (epoch, item)));
        Ok(())
    }
}

/// Prints each item to standard output, by its `Debug`.
#[derive(Debug, Default)]
pub struct Console<T>(std::marker::PhantomData<T>);

impl<T> Console<T> {
    /// A console sink.
    pub fn new() -> Self {
        Console(std::marker::PhantomData)
    }
}

impl<T: Debug + 'static> Sink for Console<Record<T>> {
    type Item = Record<T>;
    fn open(&mut self, _: &Start) -> Result<(), SinkError> {
        Ok(())
    }

    fn write(&mut self, _: Epoch, items: &mut Vec<Record<T>>) -> Result<(), SinkError> {
        print(items.drain(..).map(|record| format!("{:?}", record.value)))
    }
}

impl<T: Debug + 'static> Sink for Console<Update<T>> {
    type Item = Update<T>;
    fn open(&mut self, _: &Start) -> Result<(), SinkError> {
        Ok(())
    }

    fn write(&mut self, epoch: Epoch, items: &mut Vec<Update<T>>) -> Result<(), SinkError> {
        print(items.drain(..).map(|update| format!("epoch {epoch} {:+} {:?}", update.diff, update.row)))
    }
}

fn print(lines: impl Iterator<Item = String>) -> Result<(), SinkError> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}").map_err(|error| SinkError(format!("cannot print: {error}")))?;
    }
    Ok(())
}

/// Counts dead letters and logs the first few of each reason: what a job does with them unless
/// told otherwise.
#[derive(Debug, Default)]
pub(crate) struct LogDeadLetters {
    seen: u64,
}

impl Sink for LogDeadLetters {
    type Item = Record<DeadLetter>;
    fn open(&mut self, _: &Start) -> Result<(), SinkError> {
        Ok(())
    }

    fn write(&mut self, _: Epoch, items: &mut Vec<Record<DeadLetter>>) -> Result<(), SinkError> {
        for letter in items.drain(..) {
            self.seen += 1;
            if self.seen <= 10 {
                let DeadLetter { operator, place, reason, record } = letter.value;
                tracing::warn!(operator, place, record, "dead letter: {reason}");
            }
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), SinkError> {
        if self.seen > 10 {
            tracing::warn!("{} more dead letters; give the job a sink for them to keep them", self.seen - 10);
        }
        Ok(())
    }
}
