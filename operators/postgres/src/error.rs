//! What can go wrong, in words that say what to do. Nothing here has ever seen a password.

use crate::fields::Misfit;
use std::error::Error as _;
use std::io;
use tidemill::{Epoch, SinkError};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    // The parser's own words may quote the address, and with it a password.
    #[error(
        "the address is not one of PostgreSQL: write postgres://USER:PASSWORD@HOST:PORT/DATABASE (what is special in a \
         password as %40 and the like), or `host=... user=... password=... dbname=...`"
    )]
    Address,
    #[error(
        "PostgreSQL at {server} cannot be reached; tried again for {seconds} s ({reason}): \
         look whether it runs and whether the address is right, then run again"
    )]
    Unreachable { server: String, seconds: u64, reason: String },
    #[error("PostgreSQL at {server} refuses: {reason}")]
    Refused { server: String, reason: String },
    #[error("{0}")]
    Server(#[source] postgres::Error),
    #[error(
        "there is no table `{table}` at {server} (upper and lower case count): create it, \
         or give an example row with `create_like` to have it created"
    )]
    NoTable { table: String, server: String },
    #[error("the table `{table}` does not fit: {reason}")]
    Columns { table: String, reason: String },
    #[error("a row does not fit the table `{table}`: {reason}; the row is {row}")]
    Row { table: String, reason: String, row: String },
    #[error(
        "two rows of the collection have the same key in epoch {epoch}, and the table `{table}` has one row a key: \
         give all columns that make rows differ as key, or reduce the collection to one row a key; the rows are {rows}"
    )]
    TwoRows { table: String, epoch: Epoch, rows: String },
    #[error("another job writes to the table `{table}` since this one began: let only one of them run")]
    Fenced { table: String },
    #[error(
        "the table `{table}` holds rows of epochs up to {has} that an earlier run committed, and this one goes on from epoch \
         {start} without forming them again as they were: they would be there twice. Delete them and the mark of `{table}` \
         in `{marks}` yourself, or use `rewind()` from the first run on to have that done, or `append()` to live with it"
    )]
    Ahead { table: String, marks: String, has: Epoch, start: Epoch },
    #[error(
        "the table `{table}` holds rows of another run, which this one does not continue. Empty it and delete the mark of \
         `{table}` in `{marks}`, or use `rewind()` from the first run on to have its rows deleted, or `append()` to keep them"
    )]
    Foreign { table: String, marks: String },
    #[error(
        "the table `{table}` lacks what this job has committed up to epoch {wants}: was the database restored from a backup, \
         or the address changed? Restore a checkpoint as old as that backup, or use `append()` to go on without those rows"
    )]
    Lost { table: String, wants: Epoch },
    #[error(
        "the table `{table}` has rows that this sink did not write, and rows of a collection replace all: \
         empty it, or say `take_over()`"
    )]
    NotOurs { table: String },
    #[error(
        "the engine did not say which rows were true at epoch {epoch}, so the table `{table}` cannot be compared with them: \
         this is a fault of Tidemill, please report it"
    )]
    NotRestored { table: String, epoch: Epoch },
    #[error("what the checkpoint saved for the table `{table}` cannot be read ({reason}): restore another checkpoint")]
    Saved { table: String, reason: String },
}

impl From<postgres::Error> for Error {
    fn from(error: postgres::Error) -> Self {
        Error::Server(error)
    }
}

impl From<Error> for SinkError {
    fn from(error: Error) -> Self {
        SinkError::new(match error {
            Error::Server(error) => format!("PostgreSQL refuses: {}", words(&error)),
            other => other.to_string(),
        })
    }
}

impl Error {
    /// A row that does not fit.
    pub fn misfit(table: &str, misfit: &Misfit, row: &impl serde::Serialize) -> Self {
        let row = serde_json::to_string(row).unwrap_or_else(|error| format!("not representable ({error})"));
        Error::Row { table: table.to_owned(), reason: misfit.to_string(), row: shorten(row) }
    }

    /// Whether the same may well succeed on a new connection.
    pub fn passes(&self) -> bool {
        matches!(self, Error::Server(error) if Error::passing(error))
    }

    /// Whether it is of the kind that passes.
    pub fn passing(error: &postgres::Error) -> bool {
        match error.code().map(|code| code.code()) {
            // Connections; out of resources; deadlocks; locks and transactions that took too long; a server that
            // stops, starts, or stands by.
            Some(code) => {
                ["08", "53", "40"].iter().any(|class| code.starts_with(class))
                    || ["55P03", "25P03", "25P04", "57014", "57P01", "57P02", "57P03", "57P05", "25006"].contains(&code)
            }
            None => error.is_closed() || error.source().is_some_and(|source| source.is::<io::Error>()),
        }
    }

    /// Whether the rows are to blame: values out of range or that cannot be read, constraints, and what triggers raise.
    pub fn blames_rows(&self) -> bool {
        let Error::Server(error) = self else { return false };
        error.code().is_some_and(|code| ["22", "23", "P0", "44"].iter().any(|class| code.code().starts_with(class)))
    }
}

/// What the server says, or else what the client and the operating system say.
pub(crate) fn words(error: &postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return [Some(error.message()), error.detail(), error.hint()]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join("; ");
    }
    match error.source() {
        Some(source) => format!("{error}: {source}").replace(&format!(": {source}: {source}"), &format!(": {source}")),
        None => error.to_string(),
    }
}

/// The start of a text that may be long.
pub(crate) fn shorten(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(500) {
        text.truncate(end);
        text.push_str("...");
    }
    text
}
