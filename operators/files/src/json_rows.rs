//! Rows as JSON lines.

use crate::parts::{CountsBytes, PartFormat, PartItem};
use serde::Serialize;
use tidemill::Epoch;

/// JSON lines as a format of [`Parts`](crate::Parts): one JSON value a line, of a stream's row the row, of a collection's
/// change `{"epoch":…,"diff":…,"row":…}`.
#[derive(Clone, Copy, Debug, Default)]
pub struct JsonRows;

/// A line of a collection's changes.
#[derive(Serialize)]
pub(crate) struct Change<'a, T> {
    pub epoch: Epoch,
    pub diff: isize,
    pub row: &'a T,
}

/// Appends a line, or nothing where `value` cannot be one.
pub(crate) fn line(lines: &mut Vec<u8>, value: &impl Serialize) -> Result<(), String> {
    let start = lines.len();
    if let Err(error) = serde_json::to_writer(&mut *lines, value) {
        lines.truncate(start);
        return Err(format!("cannot be JSON ({error}): give maps text as keys, or write another type"));
    }
    lines.push(b'\n');
    Ok(())
}

impl<I: PartItem<Row: Serialize>> PartFormat<I> for JsonRows {
    fn extension(&self) -> &'static str {
        "jsonl"
    }

    fn rows(&mut self, epoch: Epoch, rows: &[I], out: &mut Vec<u8>) -> Result<(), String> {
        rows.iter().try_for_each(|item| match item.diff() {
            Some(diff) => line(out, &Change { epoch, diff, row: item.row() }),
            None => line(out, item.row()),
        })
    }
}

impl CountsBytes for JsonRows {}
