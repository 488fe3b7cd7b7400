//! How rows become the bytes of a part.

use std::fs::File;
use std::io;
use tidemill::{Epoch, Record, Update};

/// What a sink takes, as rows of a file: a stream's records, or a collection's updates.
pub trait PartItem: 'static {
    /// What a row holds.
    type Row: 'static;

    /// The row.
    fn row(&self) -> &Self::Row;

    /// How many times more or fewer the row is true, where it is an update; `None` of a record.
    fn diff(&self) -> Option<isize>;
}

impl<T: 'static> PartItem for Record<T> {
    type Row = T;

    fn row(&self) -> &T {
        &self.value
    }

    fn diff(&self) -> Option<isize> {
        None
    }
}

impl<T: 'static> PartItem for Update<T> {
    type Row = T;

    fn row(&self) -> &T {
        &self.row
    }

    fn diff(&self) -> Option<isize> {
        Some(self.diff)
    }
}

/// A format of [`Parts`](crate::Parts).
///
/// Rows are appended to a temporary file, so that a restart can cut off what came after its checkpoint. Where that file is
/// the part in the end (lines of text), [`extension`](Self::extension) and [`rows`](Self::rows) are all there is to write. A
/// format whose files cannot be cut (Parquet's end with a table of contents) appends rows in some other form, and
/// [`convert`](Self::convert)s them when the part is done.
///
/// The same rows must give the same part, whatever the groups they came in and wherever [`flush`](Self::flush) was called.
pub trait PartFormat<I: PartItem>: 'static {
    /// Whether what was appended is still to be converted.
    const CONVERTS: bool = false;

    /// How names of parts end, without the dot.
    fn extension(&self) -> &'static str;

    /// Appends what a part begins with to `out`; `first` is its first row. An error is a reason, which follows
    /// "a row for `folder`": "cannot be … (why): what to do".
    fn begin(&mut self, _first: &I, _out: &mut Vec<u8>) -> Result<(), String> {
        Ok(())
    }

    /// Appends rows of `epoch` to `out`, or keeps them until [`flush`](Self::flush). Errors as of [`begin`](Self::begin).
    fn rows(&mut self, epoch: Epoch, rows: &[I], out: &mut Vec<u8>) -> Result<(), String>;

    /// Appends the rows that were kept.
    fn flush(&mut self, _out: &mut Vec<u8>) -> Result<(), String> {
        Ok(())
    }

    /// Where the first `rows` rows end in the file that was appended to, in bytes from its beginning. They took `bytes`
    /// bytes when they were written, and still do unless [`take_back`](Self::take_back) has written them anew.
    fn cut(&mut self, _written: &mut File, _rows: u64, bytes: u64) -> io::Result<u64> {
        Ok(bytes)
    }

    /// Writes the part of what was appended.
    fn convert(&mut self, _written: &mut File, _part: &mut File) -> io::Result<()> {
        Err(io::Error::other("this format converts nothing"))
    }

    /// Appends the first `rows` rows of a part to a new file, so that the part can be gone on with: what
    /// [`convert`](Self::convert) did, backwards.
    fn take_back(&mut self, _part: &mut File, _rows: u64, _written: &mut File) -> io::Result<()> {
        Err(io::Error::other("this format converts nothing"))
    }
}

/// Of a format whose parts may end by their size in bytes: it writes the same bytes however rows are grouped.
pub trait CountsBytes {}
