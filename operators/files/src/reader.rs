//! One reader for all formats: blocks of text in, records and rejected lines out.

use crate::blocks::{Blocks, Fill};
use crate::input::Input;
use std::borrow::Cow;
use tidemill::{Batch, ReadStatus, Reader, Reject, SourceError};

/// How much of a bad record its dead letter shows.
const RAW: usize = 64 << 10;

/// What a format made of the beginning of a text.
pub enum Step<T> {
    /// A record, and the bytes it took.
    Item(T, usize),
    /// Bytes that are no record.
    Skip(usize),
    /// Bytes that should have been a record.
    Bad(usize, Reject),
    /// The record does not end in this text.
    Incomplete,
    /// The input is not what the source was told: no line of it can be read.
    Hopeless(SourceError),
}

/// How records lie in text.
pub trait Format: 'static {
    /// A record.
    type Item;

    /// Takes the first record of `text`, which begins a line, ends with a line end and is not
    /// empty. `complete`: it will not get longer, so `Incomplete` is no answer.
    fn next(&mut self, text: &[u8], complete: bool) -> Step<Self::Item>;

    /// Whether the beginning of an input must be seen before reading can start further on.
    fn needs_beginning(&self) -> bool {
        false
    }
}

/// Reads one input by a [`Format`].
pub struct Records<F> {
    blocks: Blocks,
    format: F,
    /// The text so far is all there is of it.
    complete: bool,
}

impl<F: Format> Records<F> {
    pub(crate) fn open(input: &Input, partition: usize, offset: u64, format: F) -> Result<Self, SourceError> {
        let mut records = Records { blocks: input.open(partition)?, format, complete: false };
        // Standard input goes on where it is.
        if offset > 0 && input.seekable(partition) {
            records.read_beginning()?;
            records.blocks.skip_to(offset)?;
        }
        Ok(records)
    }

    /// Reads what the format needs to know before it can start anywhere.
    fn read_beginning(&mut self) -> Result<(), SourceError> {
        while self.format.needs_beginning() && self.read(0, &mut Batch::new())? == ReadStatus::Ready {}
        Ok(())
    }

    /// Text that is no record yet gets longer, or the reason why not.
    fn more(&mut self, batch: &mut Batch<F::Item>) -> Result<Option<ReadStatus>, SourceError> {
        match self.blocks.fill()? {
            Fill::More => Ok(None),
            Fill::Waiting => Ok(Some(ReadStatus::Waiting)),
            Fill::End if self.blocks.text().is_empty() => Ok(Some(ReadStatus::Done)),
            Fill::Full if self.blocks.text().is_empty() => {
                let start = self.blocks.pending();
                let reason =
                    format!("the line is longer than the {} bytes a record may have: raise `max_record`", start.len());
                let raw = raw(start);
                let place = self.blocks.place()?;
                self.blocks.drop_line()?;
                batch.reject(place, reason, raw);
                Ok(None)
            }
            Fill::End | Fill::Full => {
                self.complete = true;
                Ok(None)
            }
        }
    }

    #[cold]
    fn reject(&mut self, used: usize, reject: &Reject, batch: &mut Batch<F::Item>) -> Result<(), SourceError> {
        let torn =
            if self.blocks.is_torn(used) { " (the last line has no line end: was the file cut off?)" } else { "" };
        let reason = format!("{}{torn}", reject.reason());
        let raw = raw(&self.blocks.text()[..used]);
        batch.reject(self.blocks.place()?, reason, raw);
        Ok(())
    }
}

impl<F: Format> Reader for Records<F> {
    type Item = F::Item;

    fn read(&mut self, limit: usize, batch: &mut Batch<F::Item>) -> Result<ReadStatus, SourceError> {
        let mut left = limit;
        while left > 0 || self.format.needs_beginning() {
            let text = self.blocks.text();
            let step = if text.is_empty() { Step::Incomplete } else { self.format.next(text, self.complete) };
            let used = match step {
                Step::Item(item, used) => {
                    batch.push(item);
                    left -= 1;
                    used
                }
                Step::Skip(used) => used,
                Step::Bad(used, reject) => {
                    self.reject(used, &reject, batch)?;
                    left -= 1;
                    used
                }
                Step::Incomplete => match self.more(batch)? {
                    None => continue,
                    Some(status) => return Ok(status),
                },
                Step::Hopeless(error) => {
                    return Err(SourceError::new(format!("`{}`: {error}", self.blocks.name())));
                }
            };
            self.blocks.consume(used);
            self.complete = false;
        }
        Ok(ReadStatus::Ready)
    }

    fn offset(&self) -> u64 {
        self.blocks.offset()
    }

    fn progress(&self) -> u64 {
        self.blocks.progress()
    }
}

/// A line as a dead letter shows it.
fn raw(line: &[u8]) -> String {
    let line = without_end(line);
    match line.get(..RAW) {
        Some(head) if line.len() > RAW => {
            format!("{}… ({} bytes)", String::from_utf8_lossy(head), line.len())
        }
        _ => String::from_utf8_lossy(line).into_owned(),
    }
}

/// A line without its line end, of either kind.
#[inline]
pub(crate) fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The length of the first line of `text`, with its end.
#[inline]
pub(crate) fn line_len(text: &[u8]) -> usize {
    memchr::memchr(b'\n', text).map_or(text.len(), |at| at + 1)
}

/// A value as a reason quotes it.
pub(crate) fn quoted(value: &[u8]) -> Cow<'_, str> {
    const SHOWN: usize = 60;
    let text = String::from_utf8_lossy(value);
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text,
    }
}
