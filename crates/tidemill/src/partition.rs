//! One partition of a source: what was read of it, and where it is.

use crate::checkpoint::epoch_log::{Chunk, Kept, Take};
use crate::record::Data;
use crate::source::{Batch, ReadStatus, Reader, SourceError};
use crate::tide::MarkState;
use crate::time::{BEGINNING, Epoch, Millis};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Where a partition is.
#[derive(Serialize, Deserialize)]
pub(crate) struct Position<T> {
    /// Where the reader goes on.
    pub offset: u64,
    /// What was read before that, and not yet given.
    items: Vec<T>,
    /// Records read, bad ones included.
    read: u64,
    /// What the epoch log has beyond, if the reader cannot go back.
    pub ahead: VecDeque<Kept<T>>,
    active_at: Millis,
    done: bool,
    number: u64,
    high: Millis,
    promised: Millis,
    told: Option<(Millis, MarkState)>,
    past: VecDeque<(Epoch, Millis)>,
}

pub(crate) struct Partition<R: Reader> {
    /// Which of the source's partitions it is.
    pub index: usize,
    /// And of the job's.
    pub id: u16,
    pub seekable: bool,
    pub reader: R,
    pub status: ReadStatus,
    /// Records read, bad ones included, and those of them that the reader gave.
    pub read: u64,
    pub by_reader: u64,
    /// What comes before what the reader gives: what it cannot give again.
    pub ahead: VecDeque<Kept<R::Item>>,
    /// What is taken in epochs that are formed again.
    pub again: BTreeMap<Epoch, Take>,
    /// What was read for the epoch that is being formed.
    pub taken: u64,
    /// And what that was, if it cannot be read again.
    pub chunks: Vec<Chunk>,
    /// Whether it was logged that it has ended.
    pub ended: bool,
    /// How much the reader had given at the end of epochs that are not safe yet.
    pub given: VecDeque<(Epoch, u64)>,
    /// What was read and not yet given.
    pub batch: Batch<R::Item>,
    /// Records given so far: the next one's place.
    pub number: u64,
    /// The greatest event time that is known of.
    pub high: Millis,
    /// The greatest watermark that an item carried.
    pub promised: Millis,
    pub active_at: Millis,
    pub told: Option<(Millis, MarkState)>,
    /// This partition's own watermark at the end of recent epochs.
    pub past: VecDeque<(Epoch, Millis)>,
    pub progress: u64,
}

impl<R: Reader<Item: Data>> Partition<R> {
    pub fn new(index: usize, id: u16, seekable: bool, reader: R) -> Self {
        Partition {
            index,
            id,
            seekable,
            reader,
            status: ReadStatus::Ready,
            read: 0,
            by_reader: 0,
            ahead: VecDeque::new(),
            again: BTreeMap::new(),
            taken: 0,
            chunks: Vec::new(),
            ended: false,
            given: VecDeque::new(),
            batch: Batch::new(),
            number: 0,
            high: BEGINNING,
            promised: BEGINNING,
            active_at: BEGINNING,
            told: None,
            past: VecDeque::new(),
            progress: 0,
        }
    }

    pub fn position(&self) -> Position<R::Item> {
        Position {
            offset: if self.seekable { self.reader.offset() } else { self.read },
            items: self.batch.items.clone(),
            read: self.read,
            ahead: self.ahead.clone(),
            active_at: self.active_at,
            done: self.status == ReadStatus::Done,
            number: self.number,
            high: self.high,
            promised: self.promised,
            told: self.told,
            past: self.past.clone(),
        }
    }

    pub fn recall(&mut self, position: Position<R::Item>) {
        let Position { items, read, active_at, done, number, high, promised, told, past, .. } = position;
        (self.status, self.ended) = (if done { ReadStatus::Done } else { ReadStatus::Ready }, done);
        self.batch.items = items;
        (self.read, self.active_at) = (read, active_at);
        (self.number, self.high, self.promised, self.told, self.past) = (number, high, promised, told, past);
        self.progress = self.reader.progress();
    }

    /// Reads until `limit` items are there, good and bad ones, or there are no more for now.
    pub fn fill(&mut self, limit: usize, logged: bool) -> Result<(), SourceError> {
        if self.batch.items.is_empty() {
            while self.status != ReadStatus::Done && self.batch.len() < limit {
                self.read(limit - self.batch.len(), logged)?;
                if self.status == ReadStatus::Waiting {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Reads for an epoch what it took before. Says whether all of it is there.
    pub fn gather(&mut self, epoch: Epoch) -> Result<bool, SourceError> {
        let Some(&take) = self.again.get(&epoch) else { return Ok(true) };
        while self.taken < take.read {
            self.read((take.read - self.taken) as usize, false)?;
            match self.status {
                _ if self.taken == take.read => {}
                ReadStatus::Ready => {}
                ReadStatus::Waiting => return Ok(false),
                ReadStatus::Done => {
                    return Err(SourceError::new(format!(
                        "partition {} ends after record {}, and had more before: give it what it had, or begin anew with \
                         `--restore none`",
                        self.index, self.read
                    )));
                }
            }
        }
        self.status = if take.done { ReadStatus::Done } else { ReadStatus::Ready };
        self.ended = take.done;
        Ok(true)
    }

    /// Reads up to `limit` items, and counts them; keeps them for the log, if they are to be `logged`.
    fn read(&mut self, limit: usize, logged: bool) -> Result<(), SourceError> {
        let (items, dead) = (self.batch.items.len(), self.batch.dead.len());
        let from_reader = self.ahead.is_empty();
        if from_reader {
            self.status = self.reader.read(limit, &mut self.batch)?;
        } else {
            self.status = ReadStatus::Ready;
            for kept in self.ahead.drain(..limit.min(self.ahead.len())) {
                match kept {
                    Kept::Item(item) => self.batch.items.push(item),
                    Kept::Dead(letter) => self.batch.dead.push(letter),
                }
            }
        }
        let more = (self.batch.items.len() - items + self.batch.dead.len() - dead) as u64;
        if from_reader {
            self.by_reader += more;
        }
        if logged && !self.seekable && more > 0 {
            self.chunks.push(Chunk::of(self.read, &self.batch, items, dead));
        }
        self.read += more;
        self.taken += more;
        Ok(())
    }

    /// The watermark this partition had at the end of `epoch`.
    pub fn watermark_at(&mut self, epoch: Epoch) -> Millis {
        while self.past.get(1).is_some_and(|(e, _)| *e <= epoch) {
            self.past.pop_front();
        }
        self.past.front().filter(|(e, _)| *e <= epoch).map_or(BEGINNING, |(_, w)| *w)
    }
}
