//! Text in blocks of whole lines, with the offset and, when asked, the line number.
//!
//! The buffer holds three parts: `..start` is consumed, `start..whole` is lines that end, and
//! `whole..have` is the beginning of one that does not yet. It grows, up to the longest record
//! allowed, only when one record fills it. A last line without an end gets one.

use crate::feed::{Feed, Got};
use std::fs::File;
use std::io::Read;
use tidemill::SourceError;

/// Bytes read at once: large enough to make system calls cheap, small enough for a core's cache.
const BLOCK: usize = 128 << 10;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What an attempt to get more text came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    /// There is more of it.
    More,
    /// Nothing yet.
    Waiting,
    /// There will be no more.
    End,
    /// What is there has the greatest length allowed.
    Full,
}

/// Reads text by whole lines.
pub(crate) struct Blocks {
    feed: Feed,
    buf: Vec<u8>,
    start: usize,
    whole: usize,
    have: usize,
    /// The offset of `buf[0]` in the text.
    base: u64,
    /// Up to where in `buf` line ends have been counted, and how many there are before; none if
    /// a seek went over some.
    counted: usize,
    lines: Option<u64>,
    /// The line at `have` is too long and not wanted.
    dropping: bool,
    /// The last byte is a line end that the file does not have.
    torn: bool,
    ended: bool,
    max: usize,
}

impl Blocks {
    pub(crate) fn new(feed: Feed, max: usize) -> Self {
        let max = max.clamp(16, 1 << 30);
        Blocks {
            feed,
            buf: vec![0; BLOCK.min(max)],
            start: 0,
            whole: 0,
            have: 0,
            base: 0,
            counted: 0,
            lines: Some(0),
            dropping: false,
            torn: false,
            ended: false,
            max,
        }
    }

    /// Whole lines, the last with its end; empty until [`fill`](Self::fill) says `More`.
    #[inline]
    pub(crate) fn text(&self) -> &[u8] {
        &self.buf[self.start..self.whole]
    }

    /// The first `n` bytes of the text are done with.
    #[inline]
    pub(crate) fn consume(&mut self, n: usize) {
        self.start += n;
    }

    /// Makes the text longer.
    pub(crate) fn fill(&mut self) -> Result<Fill, SourceError> {
        self.compact();
        let before = self.whole;
        loop {
            if self.ended {
                return Ok(Fill::End);
            }
            if self.have == self.buf.len() {
                if self.have == self.max {
                    return Ok(Fill::Full);
                }
                self.buf.resize((2 * self.have).min(self.max), 0);
            }
            match self.feed.read(&mut self.buf[self.have..])? {
                Got::Waiting => return Ok(Fill::Waiting),
                Got::End => self.end(),
                Got::Bytes(n) => self.add(n),
            }
            if self.whole > before {
                if self.base == 0 && before == 0 && self.text().starts_with(BYTE_ORDER_MARK) {
                    self.start = BYTE_ORDER_MARK.len();
                }
                return Ok(Fill::More);
            }
        }
    }

    /// Moves what is not consumed to the front of the buffer.
    fn compact(&mut self) {
        self.count_lines();
        self.buf.copy_within(self.start..self.have, 0);
        self.base += self.start as u64;
        self.have -= self.start;
        self.whole -= self.start;
        self.counted -= self.start;
        self.start = 0;
    }

    /// Takes in the `n` bytes read behind `have`.
    fn add(&mut self, n: usize) {
        let new = self.have..self.have + n;
        self.have = new.end;
        if self.dropping {
            let line_end = memchr::memchr(b'\n', &self.buf[new.clone()]);
            self.dropping = line_end.is_none();
            self.start = line_end.map_or(self.have, |at| new.start + at + 1);
            self.whole = self.have;
            self.compact();
            self.whole = memchr::memrchr(b'\n', self.pending()).map_or(0, |at| at + 1);
        } else if let Some(at) = memchr::memrchr(b'\n', &self.buf[new.clone()]) {
            self.whole = new.start + at + 1;
        }
    }

    /// There is no more: a last line without an end gets one.
    fn end(&mut self) {
        self.ended = true;
        if self.have > self.whole && !self.dropping {
            self.buf.truncate(self.have);
            self.buf.push(b'\n');
            self.have += 1;
            self.whole = self.have;
            self.torn = true;
        }
    }

    /// Forgets the line that filled the buffer without an end, up to its end.
    pub(crate) fn drop_line(&mut self) -> Result<(), SourceError> {
        self.dropping = true;
        self.start = self.have;
        self.whole = self.have;
        self.fill().map(|_| ())
    }

    /// All bytes there are, lines or not.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.buf[self.start..self.have]
    }

    /// Whether `n` bytes from here reach the end of a text whose last line had no end.
    pub(crate) fn is_torn(&self, n: usize) -> bool {
        self.torn && self.start + n == self.have
    }

    /// Bytes of text consumed.
    pub(crate) fn offset(&self) -> u64 {
        self.base + self.start as u64 - u64::from(self.is_torn(0))
    }

    /// Bytes on disk consumed, or read ahead where it is compressed.
    pub(crate) fn progress(&self) -> u64 {
        self.feed.progress(self.offset())
    }

    /// Goes forward to `offset`.
    pub(crate) fn skip_to(&mut self, offset: u64) -> Result<(), SourceError> {
        if self.feed.len().is_some_and(|len| len < offset) {
            return Err(self.shrunk(offset));
        }
        if offset > self.base + self.have as u64 && self.feed.seek(offset)? {
            self.lines = None;
            self.base = offset;
            (self.start, self.whole, self.have, self.counted) = (0, 0, 0, 0);
        }
        while self.offset() < offset {
            let here = (self.have - self.start) as u64;
            let left = offset - self.offset();
            if left <= here {
                self.start += left as usize;
                self.whole = self.whole.max(self.start);
            } else {
                // The text before is not looked at, so lines do not matter, only their number.
                self.start = self.have;
                self.whole = self.have;
                if self.fill()? == Fill::End && self.have == 0 {
                    return Err(self.shrunk(offset));
                }
            }
        }
        Ok(())
    }

    fn shrunk(&self, offset: u64) -> SourceError {
        SourceError::new(format!(
            "`{}` is shorter than the {offset} bytes that were read of it before: put the old file back, or start afresh",
            self.feed.name.display()
        ))
    }

    fn count_lines(&mut self) {
        if let Some(lines) = &mut self.lines {
            *lines += count(&self.buf[self.counted..self.start]);
        }
        self.counted = self.start;
    }

    /// `file:line` of the text's beginning.
    pub(crate) fn place(&mut self) -> Result<String, SourceError> {
        self.count_lines();
        let lines = match self.lines {
            Some(lines) => lines,
            None => *self.lines.insert(self.count_before()?),
        };
        Ok(format!("{}:{}", self.feed.name.display(), lines + 1))
    }

    /// Counts the lines of a plain file up to `start`, by reading it once more.
    #[cold]
    fn count_before(&self) -> Result<u64, SourceError> {
        let failed = |error| crate::input::unreadable(&self.feed.name, &error);
        let end = self.base + self.start as u64;
        let mut file = File::open(&self.feed.name).map_err(failed)?.take(end);
        let mut buf = vec![0; BLOCK];
        let mut lines = 0;
        loop {
            match file.read(&mut buf).map_err(failed)? {
                0 => return Ok(lines),
                n => lines += count(&buf[..n]),
            }
        }
    }

    /// The input's name.
    pub(crate) fn name(&self) -> std::path::Display<'_> {
        self.feed.name.display()
    }
}

fn count(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}
