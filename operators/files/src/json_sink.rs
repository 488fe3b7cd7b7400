//! Results as JSON lines.

use crate::json_rows::{Change, line};
use crate::output::{BUFFER, Output};
use serde::Serialize;
use std::marker::PhantomData;
use std::path::PathBuf;
use tidemill::{Epoch, Record, Sink, SinkError, Start, Update};

/// Writes one JSON value a line: of a stream's [`Record`]s the value, of a collection's
/// [`Update`]s `{"epoch":…,"diff":…,"row":…}`.
///
/// The file is created, or emptied, when the first epoch is written or committed; a name that
/// ends in `.gz` or `.zst` says how it is compressed, and `-` is standard output. A commit hands
/// what was written to the operating system, so that others can read it (of a compressed file,
/// whole blocks only); closing finishes the file and syncs it to disk.
///
/// Exactly once with checkpoints: each syncs the file and remembers how long it is, and a job that goes on from one cuts off
/// what was written after it. What was written to standard output cannot be cut off. A job without checkpoints that starts
/// again writes from the start.
pub struct JsonLinesSink<I> {
    output: Output,
    lines: Vec<u8>,
    item: PhantomData<fn(I)>,
}

impl<T> JsonLinesSink<Record<T>> {
    /// Writes a stream to `path`, or to standard output for `-`. Fails if there is no such folder.
    pub fn records(path: impl Into<PathBuf>) -> Result<Self, SinkError> {
        Self::create(path.into())
    }
}

impl<T> JsonLinesSink<Update<T>> {
    /// Writes a collection's changes to `path`, or to standard output for `-`. Fails if there is
    /// no such folder.
    pub fn updates(path: impl Into<PathBuf>) -> Result<Self, SinkError> {
        Self::create(path.into())
    }
}

impl<I> JsonLinesSink<I> {
    fn create(path: PathBuf) -> Result<Self, SinkError> {
        Ok(JsonLinesSink { output: Output::new(path)?, lines: Vec::new(), item: PhantomData })
    }

    fn line(&mut self, value: &impl Serialize) -> Result<(), SinkError> {
        line(&mut self.lines, value)
            .map_err(|reason| SinkError::new(format!("a row for {} {reason}", self.output.name())))?;
        if self.lines.len() >= BUFFER { self.hand_on() } else { Ok(()) }
    }

    fn hand_on(&mut self) -> Result<(), SinkError> {
        let result = self.output.write(&self.lines);
        self.lines.clear();
        result
    }
}

/// The two kinds of items differ in what a line holds, and in nothing else.
macro_rules! sink {
    ($item:ident, |$epoch:ident, $each:ident| $value:expr) => {
        impl<T: Serialize + 'static> Sink for JsonLinesSink<$item<T>> {
            type Item = $item<T>;

            fn open(&mut self, start: &Start) -> Result<(), SinkError> {
                start.saved.as_ref().map_or(Ok(()), |saved| self.output.resume(saved))
            }

            fn write(&mut self, $epoch: Epoch, items: &mut Vec<$item<T>>) -> Result<(), SinkError> {
                items.drain(..).try_for_each(|$each| self.line($value))?;
                self.hand_on()
            }

            fn commit(&mut self, _: Epoch) -> Result<(), SinkError> {
                self.output.flush()
            }

            fn save(&mut self) -> Result<Vec<u8>, SinkError> {
                self.output.save()
            }

            fn close(&mut self) -> Result<(), SinkError> {
                self.output.close()
            }
        }
    };
}
sink!(Record, |_epoch, record| &record.value);
sink!(Update, |epoch, update| &Change { epoch, diff: update.diff, row: &update.row });
