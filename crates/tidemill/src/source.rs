//! The traits of what reads, and what the engine must know of a source's event time.

use crate::record::{Data, DeadLetter};
use crate::time::{Millis, minutes};
use std::rc::Rc;

/// Something to read from: a fixed list of partitions, each read in order by one worker.
///
/// The list must not depend on the number of workers, for results must not.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `Source`",
    label = "no `Source`",
    note = "a source says which partitions it has and opens readers: `tidemill::Events` is a short one",
    note = "more in `tidemill::guide`, \"When the compiler complains\""
)]
pub trait Source: 'static {
    /// What it yields.
    type Item: Data;
    /// Reads one partition.
    type Reader: Reader<Item = Self::Item>;

    /// How many partitions there are, at most 65,000 in all sources of a job.
    fn partitions(&self) -> Result<usize, SourceError>;

    /// Opens `partition` at `offset`: 0 for its beginning, else what [`Reader::offset`] gave. Where that cannot be done
    /// ([`Source::seekable`]), it is how many records are known already, and what comes next is read.
    fn open(&self, partition: usize, offset: u64) -> Result<Self::Reader, SourceError>;

    /// Whether the input ends. A job whose sources all end runs as a replay: epochs are cut by
    /// record count, and results do not depend on speed. Otherwise epochs follow the clock.
    fn bounded(&self) -> bool {
        true
    }

    /// Whether `partition` can be opened at an offset. Records of one that cannot go into the epoch log of a job that keeps
    /// checkpoints, from where they are read again.
    fn seekable(&self, _partition: usize) -> bool {
        true
    }

    /// How much there is to read, where that is known, for progress bars: bytes, or what [`Reader::progress`] counts.
    fn size(&self) -> Option<u64> {
        None
    }
}

/// Reads one partition. Called on a worker's thread, so it must not block for long.
pub trait Reader: 'static {
    /// What it yields.
    type Item;

    /// Appends up to `limit` items to `batch`, in the partition's order; bad records go to
    /// [`Batch::reject`]. An error stops the job.
    fn read(&mut self, limit: usize, batch: &mut Batch<Self::Item>) -> Result<ReadStatus, SourceError>;

    /// Where [`Source::open`] would continue, after everything read so far.
    fn offset(&self) -> u64;

    /// How much of [`Source::size`] has been read so far.
    fn progress(&self) -> u64 {
        0
    }

    /// The first `records` that this reader gave, bad ones included, are in the epoch log: whoever sent them may be told
    /// that they have arrived. Called where the partition is not [`Source::seekable`] and the job keeps checkpoints.
    fn safe(&mut self, _records: u64) {}
}

/// What a read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadStatus {
    /// There may be more now.
    Ready,
    /// Nothing more now, but later.
    Waiting,
    /// The partition has ended.
    Done,
}

/// Where a reader puts what it read.
#[derive(Debug)]
pub struct Batch<T> {
    pub(crate) items: Vec<T>,
    pub(crate) dead: Vec<DeadLetter>,
}

impl<T> Batch<T> {
    /// An empty batch.
    pub fn new() -> Self {
        Batch { items: Vec::new(), dead: Vec::new() }
    }

    /// Adds an item.
    #[inline]
    pub fn push(&mut self, item: T) {
        self.items.push(item);
    }

    /// Adds a bad record: where it is (`file:line`), why it was refused, and its text.
    pub fn reject(&mut self, place: impl Into<String>, reason: impl Into<String>, record: impl Into<String>) {
        self.dead.push(DeadLetter {
            operator: String::new(),
            place: place.into(),
            reason: reason.into(),
            record: record.into(),
        });
    }

    /// What was read.
    pub fn items(&self) -> &[T] {
        &self.items
    }

    /// What was refused.
    pub fn rejected(&self) -> &[DeadLetter] {
        &self.dead
    }

    /// How many records were read, refused ones included.
    pub(crate) fn len(&self) -> usize {
        self.items.len() + self.dead.len()
    }

    /// Forgets everything in it.
    pub fn clear(&mut self) {
        self.items.clear();
        self.dead.clear();
    }
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Why a source cannot be read; the text says what to do.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct SourceError(pub String);

impl SourceError {
    /// An error with this text.
    pub fn new(text: impl Into<String>) -> Self {
        SourceError(text.into())
    }
}

/// The watermark that an item carries.
pub(crate) type Punctuation<T> = Rc<dyn Fn(&T) -> Option<Millis>>;

/// How a source's records relate to event time.
#[derive(Clone)]
pub struct Timing<T, F> {
    pub(crate) time: F,
    pub(crate) punctuation: Option<Punctuation<T>>,
    pub(crate) disorder: Millis,
    pub(crate) ahead: Millis,
    pub(crate) idle: Option<Millis>,
    pub(crate) holds: bool,
}

impl<T, F: Fn(&T) -> Millis> Timing<T, F> {
    /// Event time is what `time` says of an item, in milliseconds since 1970 UTC, and never goes
    /// back within a partition.
    pub fn by(time: F) -> Self {
        Timing { time, punctuation: None, disorder: 0, ahead: minutes(1), idle: None, holds: true }
    }

    /// Records of a partition are out of order by at most `ms`: the watermark follows the
    /// greatest time seen at this distance.
    pub fn disorder(mut self, ms: Millis) -> Self {
        self.disorder = ms.max(0);
        self
    }

    /// Some items say themselves how far a partition is: where `watermark` gives a time, no item of the partition that
    /// comes after is earlier than it. Then the watermark follows these times alone, and what is behind is late; a
    /// partition that says nothing holds the watermark where it is.
    pub fn punctuated(mut self, watermark: impl Fn(&T) -> Option<Millis> + 'static) -> Self {
        self.punctuation = Some(Rc::new(watermark));
        self
    }

    /// A partition is not read further than `ms` (one minute by default) ahead of the slowest
    /// one's watermark, beyond what a few epochs bring.
    pub fn ahead(mut self, ms: Millis) -> Self {
        self.ahead = ms.max(0);
        self
    }

    /// A live partition without records for `ms` of wall time no longer holds the watermark.
    pub fn idle_after(mut self, ms: Millis) -> Self {
        self.idle = Some(ms.max(0));
        self
    }

    /// The source never holds the watermark: rules, registries, commands. To itself, it has ended when it begins, so an
    /// operator in event time must read a source with a watermark beside it; one that reads control sources only is
    /// refused, for all but their first epoch would be late.
    pub fn control(mut self) -> Self {
        self.holds = false;
        self
    }
}
