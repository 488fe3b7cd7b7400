//! What a user says about a sink.

use crate::rows::Changes;
use crate::table::Field;
use crate::writer::{Restart, Writer};
use serde::Serialize;
use std::marker::PhantomData;
use std::time::Duration;
use tidemill::{Record, SinkError, Update};

/// Writes to a table: a stream's events by [`Postgres::events`], a collection's rows by [`Postgres::rows`]. What that
/// promises is told [by the crate](crate).
pub struct Postgres<I> {
    pub(crate) writer: Writer,
    /// Events that are written and not committed, as lines of `COPY`.
    pub(crate) lines: Vec<u8>,
    /// Changes of rows that are written and not committed.
    pub(crate) changes: Changes,
    item: PhantomData<fn(I)>,
}

impl<T> Postgres<Record<T>> {
    /// Appends a stream's events to `table` (or `schema.table`) of the database at `url`. Nothing is connected yet.
    pub fn events(url: &str, table: &str) -> Result<Self, SinkError> {
        Self::new(url, table, Vec::new())
    }

    /// Rows carry their epoch, in a column `tidemill_epoch bigint`, and a run that forms epochs anew deletes what an earlier
    /// one has committed of them, so that every event is there once again. What was deleted may have been read.
    ///
    /// A run that continues no other deletes all rows that have an epoch. Without an index on the column, that reads the
    /// table once.
    pub fn rewind(mut self) -> Self {
        self.writer.restart = Restart::Rewind;
        self
    }

    /// Rows that an earlier run has committed stay, and a run that forms their epochs anew appends: events may be there twice.
    pub fn append(mut self) -> Self {
        self.writer.restart = Restart::Append;
        self
    }
}

impl<T> Postgres<Update<T>> {
    /// Keeps `table` (or `schema.table`) of the database at `url` equal to a collection, which has one row for each value of
    /// the columns `keys`. Nothing is connected yet. The table belongs to this sink: rows it did not write may be deleted.
    pub fn rows<K: Into<String>>(url: &str, table: &str, keys: impl IntoIterator<Item = K>) -> Result<Self, SinkError> {
        let keys: Vec<String> = keys.into_iter().map(Into::into).collect();
        if keys.is_empty() {
            return Err(SinkError::new(format!(
                "name the key columns of `{table}`: all columns, if no fewer tell rows apart"
            )));
        }
        Self::new(url, table, keys)
    }

    /// Takes a table that has rows already: those that the collection does not have are deleted.
    pub fn take_over(mut self) -> Self {
        self.writer.take_over = true;
        self
    }
}

impl<I> Postgres<I> {
    fn new(url: &str, table: &str, keys: Vec<String>) -> Result<Self, SinkError> {
        let writer = Writer::new(url, table, keys)?;
        Ok(Postgres { writer, lines: Vec::new(), changes: Changes::new(), item: PhantomData })
    }

    /// Names a field that is milliseconds since 1970, which [`create_like`](Self::create_like) makes a `timestamptz`.
    /// Columns of a table that is there say themselves whether they are times.
    pub fn timestamp(mut self, field: impl Into<String>) -> Self {
        self.writer.times.push(field.into());
        self
    }

    /// How long a lost connection is tried again before the job stops: 60 seconds unless told otherwise.
    pub fn patience(mut self, time: Duration) -> Self {
        self.writer.link.patience = time;
        self
    }

    fn like(mut self, row: &impl Serialize) -> Result<Self, SinkError> {
        let fields = Field::all(row).map_err(|misfit| crate::error::Error::misfit(&self.writer.name, &misfit, row))?;
        self.writer.example = Some(fields);
        Ok(self)
    }
}

/// The two kinds differ in nothing here but the item.
macro_rules! create_like {
    ($item:ident) => {
        impl<T: Serialize> Postgres<$item<T>> {
            /// Creates the table, if it is missing, with a column for each field of `row`, which must all have a value.
            ///
            /// Integers become the smallest of `smallint`, `integer`, `bigint` that holds their type, or `numeric`; floats `real`
            /// or `double precision`; text and enums without data `text`; bytes (by `serde_bytes`) `bytea`; all that is nested
            /// `jsonb`.
            pub fn create_like(self, row: &T) -> Result<Self, SinkError> {
                self.like(row)
            }
        }
    };
}
create_like!(Record);
create_like!(Update);
