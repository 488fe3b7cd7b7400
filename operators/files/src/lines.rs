//! The fast path: lines parsed by hand, where they lie in the buffer.

use crate::input::{Files, Input};
use crate::line::Line;
use crate::reader::{Format, Records, Step, line_len};
use tidemill::{Data, Reject, Source, SourceError};

/// Parses one line. Closures `|line: &mut Line| -> Result<T, Reject>` do too; either is compiled
/// into the reading loop.
pub trait ParseLine: Clone + 'static {
    /// What a line holds.
    type Item: Data;

    /// Takes `line` apart, all of it. An error, or anything left of the line, makes it a bad line.
    fn parse(&mut self, line: &mut Line<'_>) -> Result<Self::Item, Reject>;
}

impl<T: Data, F> ParseLine for F
where
    F: FnMut(&mut Line<'_>) -> Result<T, Reject> + Clone + 'static,
{
    type Item = T;

    #[inline]
    fn parse(&mut self, line: &mut Line<'_>) -> Result<T, Reject> {
        self(line)
    }
}

/// Reads text line by line through a parser written by hand. Empty lines are skipped.
///
/// ```
/// use tidemill::{Batch, Reader, Reject, Source};
/// use tidemill_files::{Line, Lines};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("events.csv");
/// # std::fs::write(&path, "17,view\nx,view\n18,cart\n")?;
/// let events = Lines::new(path, |line: &mut Line| {
///     let id: u64 = line.number()?;
///     let cart = match line.bytes()? {
///         b"view" => false,
///         b"cart" => true,
///         _ => return Err(line.reject("neither view nor cart")),
///     };
///     Ok((id, cart))
/// });
/// let mut batch = Batch::new();
/// events.open(0, 0)?.read(100, &mut batch)?;
/// assert_eq!(batch.items(), [(17, false), (18, true)]);
/// assert_eq!(batch.rejected()[0].record, "x,view");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Lines<P> {
    input: Input,
    format: LineFormat<P>,
}

impl<P: ParseLine> Lines<P> {
    /// Reads `files` by `parser`, fields separated by commas.
    pub fn new(files: impl Into<Files>, parser: P) -> Self {
        Lines { input: Input::new(files.into()), format: LineFormat { parser, delimiter: b',' } }
    }

    /// Fields are separated by `byte`.
    pub fn delimiter(mut self, byte: u8) -> Self {
        self.format.delimiter = byte;
        self
    }

    /// A line longer than `bytes` is bad; [`MAX_RECORD`](crate::MAX_RECORD) unless set.
    pub fn max_record(mut self, bytes: usize) -> Self {
        self.input.max_record = bytes;
        self
    }
}

impl<P: ParseLine> Source for Lines<P> {
    type Item = P::Item;
    type Reader = Records<LineFormat<P>>;

    fn partitions(&self) -> Result<usize, SourceError> {
        self.input.origins().map(<[_]>::len)
    }

    fn open(&self, partition: usize, offset: u64) -> Result<Self::Reader, SourceError> {
        Records::open(&self.input, partition, offset, self.format.clone())
    }

    fn bounded(&self) -> bool {
        self.input.bounded()
    }

    fn seekable(&self, partition: usize) -> bool {
        self.input.seekable(partition)
    }

    fn size(&self) -> Option<u64> {
        self.input.size()
    }
}

/// One record a line, by a parser.
#[derive(Clone, Debug)]
pub struct LineFormat<P> {
    parser: P,
    delimiter: u8,
}

impl<P: ParseLine> Format for LineFormat<P> {
    type Item = P::Item;

    #[inline(always)]
    fn next(&mut self, text: &[u8], _complete: bool) -> Step<P::Item> {
        match text {
            [b'\n', ..] => return Step::Skip(1),
            [b'\r', b'\n', ..] => return Step::Skip(2),
            _ => {}
        }
        let mut line = Line::new(text, self.delimiter);
        let reject = match self.parser.parse(&mut line) {
            Ok(item) => match line.end() {
                Some(used) => return Step::Item(item, used),
                None => line.too_many(),
            },
            Err(reject) => reject,
        };
        Step::Bad(line_len(text), reject)
    }
}
