//! The generator as a source: in one partition or several, in order or shuffled.

use crate::event::Event;
use crate::generator::{Generator, Random};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::NonZeroUsize;
use tidemill::{Batch, Job, Millis, ReadStatus, Reader, Result, Source, SourceError, Stream, Timing};

/// The first events of a generator, made as they are read.
///
/// Whatever the partitions and the disorder, they are the same events; only where and in which order they are read
/// differs.
#[derive(Clone, Copy, Debug)]
pub struct Nexmark {
    /// Makes them.
    pub generator: Generator,
    /// How many.
    pub events: u64,
    /// Partition `i` of `n` has the events `i`, `i + n`, `i + 2 n` and so on.
    pub partitions: NonZeroUsize,
    /// An event may come after others that are up to so many milliseconds younger; 0 for events in order.
    pub disorder: Millis,
}

impl Nexmark {
    /// This many events in order, in one partition.
    pub fn new(generator: Generator, events: u64) -> Self {
        Nexmark { generator, events, partitions: NonZeroUsize::MIN, disorder: 0 }
    }

    /// Reads them as a stream.
    pub fn read<'s>(self, job: &Job<'s>) -> Result<Stream<'s, Event>> {
        job.source("events", self, Timing::by(Event::time).disorder(self.disorder))
    }

    /// When the event of this number arrives: at its own time, or up to the disorder later.
    fn arrives(&self, number: u64) -> Millis {
        let late = match self.disorder {
            0 => 0,
            most => Random::of(!self.generator.seed, number).below(most as u64 + 1) as Millis,
        };
        self.generator.time(number) + late
    }
}

impl Source for Nexmark {
    type Item = Event;
    type Reader = NexmarkReader;

    fn partitions(&self) -> Result<usize, SourceError> {
        Ok(self.partitions.get())
    }

    fn open(&self, partition: usize, offset: u64) -> Result<NexmarkReader, SourceError> {
        let mut reader = NexmarkReader { source: *self, next: partition as u64, coming: BinaryHeap::new(), read: 0 };
        while reader.read < offset && reader.number().is_some() {}
        Ok(reader)
    }

    /// In events instead of bytes: nothing is read.
    fn size(&self) -> Option<u64> {
        Some(self.events)
    }
}

/// Makes the events of one partition. Its offset is their number so far.
#[derive(Debug)]
pub struct NexmarkReader {
    source: Nexmark,
    /// The next number to give an arrival.
    next: u64,
    /// Arrivals and numbers of those that something may still overtake.
    coming: BinaryHeap<Reverse<(Millis, u64)>>,
    read: u64,
}

impl NexmarkReader {
    /// The number of the event that arrives next.
    fn number(&mut self) -> Option<u64> {
        // None arrives before its own time, so those from the first one's arrival on can wait.
        while self.next < self.source.events
            && self.coming.peek().is_none_or(|Reverse((first, _))| self.source.generator.time(self.next) < *first)
        {
            self.coming.push(Reverse((self.source.arrives(self.next), self.next)));
            self.next += self.source.partitions.get() as u64;
        }
        let Reverse((_, number)) = self.coming.pop()?;
        self.read += 1;
        Some(number)
    }
}

impl Reader for NexmarkReader {
    type Item = Event;

    fn read(&mut self, limit: usize, batch: &mut Batch<Event>) -> Result<ReadStatus, SourceError> {
        for _ in 0..limit {
            let Some(number) = self.number() else { return Ok(ReadStatus::Done) };
            batch.push(self.source.generator.event(number));
        }
        Ok(ReadStatus::Ready)
    }

    fn offset(&self) -> u64 {
        self.read
    }

    fn progress(&self) -> u64 {
        self.read
    }
}
