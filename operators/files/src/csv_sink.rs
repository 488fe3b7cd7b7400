//! Results as CSV.

use crate::csv_rows::{CsvRows, bytes};
use crate::output::{BUFFER, Output};
use serde::Serialize;
use std::marker::PhantomData;
use std::path::PathBuf;
use tidemill::{Epoch, Record, Sink, SinkError, Start, Update};

/// Writes one CSV record a line: of a stream's [`Record`]s the value's columns, of a
/// collection's [`Update`]s the columns `epoch` and `diff`, then the row's.
///
/// The first line names the columns if the type is a struct; a job without results leaves an
/// empty file. Values with quotes, delimiters or line ends are quoted. Only plain fields fit:
/// nested data is an error, and asks for [`JsonLinesSink`](crate::JsonLinesSink).
///
/// The file is created, or emptied, when the first epoch is written or committed; a name that
/// ends in `.gz` or `.zst` says how it is compressed, and `-` is standard output. A commit hands
/// what was written to the operating system, so that others can read it (of a compressed file,
/// whole blocks only); closing finishes the file and syncs it to disk.
///
/// Exactly once with checkpoints: each syncs the file and remembers how long it is, and a job that goes on from one cuts off
/// what was written after it. What was written to standard output cannot be cut off. A job without checkpoints that starts
/// again writes from the start.
pub struct CsvSink<I> {
    output: Output,
    rows: CsvRows,
    /// The first line is still to be written.
    header: bool,
    item: PhantomData<fn(I)>,
}

impl<T> CsvSink<Record<T>> {
    /// Writes a stream to `path`, or to standard output for `-`. Fails if there is no such folder.
    pub fn records(path: impl Into<PathBuf>) -> Result<Self, SinkError> {
        Self::create(path.into())
    }
}

impl<T> CsvSink<Update<T>> {
    /// Writes a collection's changes to `path`, or to standard output for `-`. Fails if there is
    /// no such folder.
    pub fn updates(path: impl Into<PathBuf>) -> Result<Self, SinkError> {
        Self::create(path.into())
    }
}

impl<I> CsvSink<I> {
    fn create(path: PathBuf) -> Result<Self, SinkError> {
        Ok(CsvSink { output: Output::new(path)?, rows: CsvRows::new(), header: true, item: PhantomData })
    }

    /// Whether the first line names the columns.
    pub fn headers(mut self, yes: bool) -> Self {
        self.header = yes;
        self
    }

    /// Separates fields by `byte`.
    pub fn delimiter(mut self, byte: u8) -> Self {
        self.rows = self.rows.delimiter(byte);
        self
    }

    /// Writes `rows`, each with its epoch and difference if it is a change.
    fn rows<T: Serialize>(&mut self, rows: impl Iterator<Item = (Option<(Epoch, isize)>, T)>) -> Result<(), SinkError> {
        let mut writer = self.rows.writer(false);
        let mut full = 0;
        for (change, row) in rows {
            if std::mem::take(&mut self.header) {
                let header = self.rows.header_of(&row, change.is_some()).map_err(|error| self.unfit(&error))?;
                self.output.write(&header)?;
            }
            self.rows.row(&mut writer, change, &row).map_err(|error| self.unfit(&error))?;
            full += 1;
            if full == 1024 || writer.get_ref().len() >= BUFFER {
                full = 0;
                let done = std::mem::replace(&mut writer, self.rows.writer(false));
                let done = bytes(done).map_err(|error| self.unfit(&error))?;
                self.output.write(&done)?;
            }
        }
        let done = bytes(writer).map_err(|error| self.unfit(&error))?;
        self.output.write(&done)
    }

    fn unfit(&self, error: &csv::Error) -> SinkError {
        SinkError::new(format!(
            "a row for {} cannot be CSV ({error}): flatten it, or use `JsonLinesSink`",
            self.output.name()
        ))
    }
}

/// The two kinds of items differ in what comes before the row, and in nothing else.
macro_rules! sink {
    ($item:ident, |$epoch:ident, $each:ident| $row:expr) => {
        impl<T: Serialize + 'static> Sink for CsvSink<$item<T>> {
            type Item = $item<T>;

            fn open(&mut self, start: &Start) -> Result<(), SinkError> {
                let Some((header, length)) = start.saved.as_ref().and_then(|saved| saved.split_first()) else {
                    return Ok(());
                };
                self.header &= *header == 1;
                self.output.resume(length)
            }

            fn write(&mut self, $epoch: Epoch, items: &mut Vec<$item<T>>) -> Result<(), SinkError> {
                self.rows(items.drain(..).map(|$each| $row))
            }

            fn commit(&mut self, _: Epoch) -> Result<(), SinkError> {
                self.output.flush()
            }

            fn save(&mut self) -> Result<Vec<u8>, SinkError> {
                let length = self.output.save()?;
                Ok(std::iter::once(u8::from(self.header)).chain(length).collect())
            }

            fn close(&mut self) -> Result<(), SinkError> {
                self.output.close()
            }
        }
    };
}
sink!(Record, |_epoch, record| (None, record.value));
sink!(Update, |epoch, update| (Some((epoch, update.diff)), update.row));
