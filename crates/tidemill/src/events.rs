//! Sources in memory: a fixed list, and one that another thread feeds.

use crate::record::Data;
use crate::source::{Batch, ReadStatus, Reader, Source, SourceError};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// A bounded source of items in memory: each inner list is a partition.
#[derive(Clone, Debug)]
pub struct Events<T> {
    partitions: Arc<Vec<Vec<T>>>,
    /// How many items may be read yet, of all partitions.
    left: Option<Arc<AtomicUsize>>,
}

impl<T> Events<T> {
    /// One partition.
    pub fn new(items: Vec<T>) -> Self {
        Self::partitioned(vec![items])
    }

    /// Several partitions.
    pub fn partitioned(partitions: Vec<Vec<T>>) -> Self {
        Events { partitions: Arc::new(partitions), left: None }
    }

    /// Fails when `items` have been read, of all partitions: for tests of jobs that fall over and are begun again. Clones
    /// count together.
    pub fn fails_after(mut self, items: usize) -> Self {
        self.left = Some(Arc::new(AtomicUsize::new(items)));
        self
    }
}

impl<T: Data + Sync> Source for Events<T> {
    type Item = T;
    type Reader = EventsReader<T>;

    fn partitions(&self) -> Result<usize, SourceError> {
        Ok(self.partitions.len())
    }

    fn size(&self) -> Option<u64> {
        Some(self.partitions.iter().map(|partition| partition.len() as u64).sum())
    }

    fn open(&self, partition: usize, offset: u64) -> Result<EventsReader<T>, SourceError> {
        let (partitions, left) = (Arc::clone(&self.partitions), self.left.clone());
        Ok(EventsReader { partitions, left, partition, next: offset as usize })
    }
}

/// Reads one partition of [`Events`]. Its offset is the number of items read.
#[derive(Debug)]
pub struct EventsReader<T> {
    partitions: Arc<Vec<Vec<T>>>,
    left: Option<Arc<AtomicUsize>>,
    partition: usize,
    next: usize,
}

impl<T: Clone + 'static> Reader for EventsReader<T> {
    type Item = T;

    fn read(&mut self, limit: usize, batch: &mut Batch<T>) -> Result<ReadStatus, SourceError> {
        let items = &self.partitions[self.partition];
        let end = items.len().min(self.next.saturating_add(limit));
        if let Some(left) = &self.left {
            let more = end.saturating_sub(self.next);
            let taken = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(more));
            taken.map_err(|_| SourceError::new("it fails here, as it was told to"))?;
        }
        batch.items.extend_from_slice(items.get(self.next..end).unwrap_or_default());
        self.next = end;
        Ok(if end == items.len() { ReadStatus::Done } else { ReadStatus::Ready })
    }

    fn offset(&self) -> u64 {
        self.next as u64
    }

    fn progress(&self) -> u64 {
        self.next as u64
    }
}

/// A live source that a program or a test feeds through [`Feed`]s: one partition each.
#[derive(Debug)]
pub struct Live<T> {
    receivers: Arc<Vec<Mutex<Option<Receiver<T>>>>>,
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Live { receivers: Arc::clone(&self.receivers) }
    }
}

/// Feeds one partition of a [`Live`] source. Its end is the partition's end.
pub type Feed<T> = SyncSender<T>;

impl<T> Live<T> {
    /// A source of `partitions`, and what feeds each; a feed holds up to `bound` items that the
    /// job has not taken, then blocks.
    pub fn new(partitions: usize, bound: usize) -> (Self, Vec<Feed<T>>) {
        let (feeds, receivers): (Vec<_>, Vec<_>) = (0..partitions).map(|_| sync_channel(bound)).unzip();
        let receivers = receivers.into_iter().map(|receiver| Mutex::new(Some(receiver))).collect();
        (Live { receivers: Arc::new(receivers) }, feeds)
    }
}

impl<T: Data> Source for Live<T> {
    type Item = T;
    type Reader = LiveReader<T>;

    fn partitions(&self) -> Result<usize, SourceError> {
        Ok(self.receivers.len())
    }

    fn open(&self, partition: usize, offset: u64) -> Result<LiveReader<T>, SourceError> {
        let receiver = self.receivers[partition].lock().unwrap_or_else(PoisonError::into_inner).take();
        let receiver = receiver.ok_or_else(|| SourceError::new("it is read already: a live feed has one reader"))?;
        Ok(LiveReader { receiver, read: offset })
    }

    fn bounded(&self) -> bool {
        false
    }
}

/// Reads one partition of a [`Live`] source.
#[derive(Debug)]
pub struct LiveReader<T> {
    receiver: Receiver<T>,
    read: u64,
}

impl<T: 'static> Reader for LiveReader<T> {
    type Item = T;

    fn read(&mut self, limit: usize, batch: &mut Batch<T>) -> Result<ReadStatus, SourceError> {
        for _ in 0..limit {
            match self.receiver.try_recv() {
                Ok(item) => {
                    batch.push(item);
                    self.read += 1;
                }
                Err(TryRecvError::Empty) => return Ok(ReadStatus::Waiting),
                Err(TryRecvError::Disconnected) => return Ok(ReadStatus::Done),
            }
        }
        Ok(ReadStatus::Ready)
    }

    fn offset(&self) -> u64 {
        self.read
    }
}
