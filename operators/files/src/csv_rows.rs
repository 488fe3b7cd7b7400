//! Rows as CSV.

use crate::output::BUFFER;
use crate::parts::{CountsBytes, PartFormat, PartItem};
use csv::{Writer, WriterBuilder};
use serde::Serialize;
use tidemill::Epoch;

/// CSV as a format of [`Parts`](crate::Parts): each part begins with a line that names the columns, if the rows are structs.
/// A stream's rows have their fields as columns, a collection's changes `epoch` and `diff` before them. Values with quotes,
/// delimiters or line ends are quoted; nested data is an error.
#[derive(Clone, Copy, Debug)]
pub struct CsvRows {
    delimiter: u8,
    headers: bool,
}

impl Default for CsvRows {
    fn default() -> Self {
        CsvRows::new()
    }
}

impl CsvRows {
    /// With a header, fields separated by commas.
    pub fn new() -> Self {
        CsvRows { delimiter: b',', headers: true }
    }

    /// Whether the first line of each part names the columns.
    pub fn headers(mut self, yes: bool) -> Self {
        self.headers = yes;
        self
    }

    /// Separates fields by `byte`.
    pub fn delimiter(mut self, byte: u8) -> Self {
        self.delimiter = byte;
        self
    }

    pub(crate) fn writer(&self, headers: bool) -> Writer<Vec<u8>> {
        WriterBuilder::new().delimiter(self.delimiter).has_headers(headers).from_writer(Vec::new())
    }

    /// The line that names the columns of `row`; empty if they have no names.
    pub(crate) fn header_of(&self, row: &impl Serialize, change: bool) -> csv::Result<Vec<u8>> {
        let [with, without] = [true, false].map(|headers| {
            let mut writer = self.writer(headers);
            writer.serialize(row).map(|()| bytes(writer))
        });
        let (mut with, without) = (with??, without??);
        with.truncate(with.len() - without.len());
        if change && !with.is_empty() {
            let mut writer = self.writer(false);
            writer.write_record(["epoch", "diff"])?;
            let mut all = bytes(writer)?;
            all.pop();
            all.push(self.delimiter);
            all.append(&mut with);
            return Ok(all);
        }
        Ok(with)
    }

    pub(crate) fn row(
        &self,
        writer: &mut Writer<Vec<u8>>,
        change: Option<(Epoch, isize)>,
        row: &impl Serialize,
    ) -> csv::Result<()> {
        if let Some((epoch, diff)) = change {
            let mut number = itoa::Buffer::new();
            writer.write_field(number.format(epoch))?;
            writer.write_field(number.format(diff))?;
        }
        writer.serialize(row)
    }
}

pub(crate) fn bytes(writer: Writer<Vec<u8>>) -> csv::Result<Vec<u8>> {
    writer.into_inner().map_err(|error| error.into_error().into())
}

fn unfit(error: csv::Error) -> String {
    format!("cannot be CSV ({error}): flatten it, or use `JsonRows`")
}

impl<I: PartItem<Row: Serialize>> PartFormat<I> for CsvRows {
    fn extension(&self) -> &'static str {
        "csv"
    }

    fn begin(&mut self, first: &I, out: &mut Vec<u8>) -> Result<(), String> {
        if self.headers {
            out.extend(self.header_of(first.row(), first.diff().is_some()).map_err(unfit)?);
        }
        Ok(())
    }

    fn rows(&mut self, epoch: Epoch, rows: &[I], out: &mut Vec<u8>) -> Result<(), String> {
        let mut builder = WriterBuilder::new();
        let mut writer = builder
            .delimiter(self.delimiter)
            .has_headers(false)
            .buffer_capacity(BUFFER)
            .from_writer(std::mem::take(out));
        for item in rows {
            self.row(&mut writer, item.diff().map(|diff| (epoch, diff)), item.row()).map_err(unfit)?;
        }
        *out = bytes(writer).map_err(unfit)?;
        Ok(())
    }
}

impl CountsBytes for CsvRows {}
