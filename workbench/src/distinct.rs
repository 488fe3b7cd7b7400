//! Keys that come once.

use crate::event::{Event, START};
use std::sync::Arc;
use tidemill::{Batch, Millis, ReadStatus, Reader, Source, SourceError};

/// A source of keys with one event each, in order of time, made as they are read.
#[derive(Clone)]
pub struct Distinct {
    keys: u64,
    span: Millis,
    every: u64,
    look: Arc<dyn Fn(u64) + Send + Sync>,
}

impl Distinct {
    /// `keys` events, evenly over `span` ms. After every `every` of them it waits until all that they led to is out, and
    /// calls `look` with how many there have been.
    pub fn new(keys: u64, span: Millis, every: u64, look: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Distinct { keys, span, every, look: Arc::new(look) }
    }
}

impl Source for Distinct {
    type Item = Event;
    type Reader = DistinctReader;

    fn partitions(&self) -> Result<usize, SourceError> {
        Ok(1)
    }

    fn open(&self, _: usize, offset: u64) -> Result<DistinctReader, SourceError> {
        Ok(DistinctReader { source: self.clone(), next: offset, pause: 0 })
    }
}

/// Reads [`Distinct`].
pub struct DistinctReader {
    source: Distinct,
    next: u64,
    /// For how many epochs nothing will be read.
    pause: u32,
}

/// More epochs than the engine has under way at once: when nothing came for so many, everything before is out.
const PAUSE: u32 = 32;

impl Reader for DistinctReader {
    type Item = Event;

    fn read(&mut self, limit: usize, batch: &mut Batch<Event>) -> Result<ReadStatus, SourceError> {
        if self.pause > 0 {
            self.pause -= 1;
            if self.pause > 0 {
                return Ok(ReadStatus::Waiting);
            }
            (self.source.look)(self.next);
        }
        if self.next >= self.source.keys {
            return Ok(ReadStatus::Done);
        }
        let Distinct { keys, span, every, .. } = self.source;
        let pause = ((self.next / every + 1) * every).min(keys);
        let end = pause.min(self.next + limit as u64);
        let time = |n| START + (n as i128 * i128::from(span) / i128::from(keys)) as Millis;
        (self.next..end).for_each(|n| batch.push(Event::new(n, time(n), n as u32)));
        self.next = end;
        if end == pause {
            self.pause = PAUSE;
            return Ok(ReadStatus::Waiting);
        }
        Ok(ReadStatus::Ready)
    }

    fn offset(&self) -> u64 {
        self.next
    }
}
