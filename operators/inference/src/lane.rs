//! One worker's way to the inference threads and back: rows go in, and their answers come out in
//! the same order, whatever thread was faster.

use crate::model::Model;
use crate::pool::{Asker, Pool, PoolConfig, Request, Threads, in_flight};
use crossbeam_channel::{Receiver, bounded};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tidemill::timely::scheduling::SyncActivator;
use tidemill::{Job, Stopper};

/// A queue of rows to ask about, a bounded number of batches in flight, and a queue of answers.
pub(crate) struct Lane<M: Model> {
    threads: Arc<Threads<M::In, M::Out>>,
    asker: Arc<Asker<M::Out>>,
    answers: Receiver<(u64, Vec<M::Out>)>,
    /// What is not sent yet.
    waiting: Batches<M::In>,
    /// Batches that are with the threads, and how many may be.
    in_flight: usize,
    most: usize,
    /// Batches sent so far, and those of them whose answers are in `ready`.
    sent: u64,
    ordered: u64,
    /// Answers that came before those of an earlier batch.
    early: BTreeMap<u64, Vec<M::Out>>,
    ready: VecDeque<M::Out>,
}

impl<M: Model> Lane<M> {
    /// A lane to `threads` whose worker is woken by `wake`.
    pub fn new(pool: &Pool<M>, threads: Arc<Threads<M::In, M::Out>>, wake: SyncActivator, stopper: Stopper) -> Self {
        let most = in_flight(pool.config());
        let (sender, answers) = bounded(most);
        let asker = Arc::new(Asker {
            answers: sender,
            wake,
            woken: Default::default(),
            unanswered: Default::default(),
            low: most / 2,
            stopper,
        });
        Lane {
            threads,
            asker,
            answers,
            waiting: Batches::new(pool.config()),
            in_flight: 0,
            most,
            sent: 0,
            ordered: 0,
            early: BTreeMap::new(),
            ready: VecDeque::new(),
        }
    }

    /// Adds the rows of one epoch, of which there are `count`. [`Lane::turn`] sends them.
    pub fn push(&mut self, count: usize, rows: impl Iterator<Item = M::In>) {
        self.waiting.push(count, rows);
    }

    /// Takes the answers that are there, and sends what may be sent. Never waits.
    pub fn turn(&mut self) {
        // Before looking: an answer that comes after this wakes the worker again.
        self.asker.woken.swap(false, Ordering::AcqRel);
        for (batch, answers) in self.answers.try_iter() {
            self.in_flight -= 1;
            self.early.insert(batch, answers);
        }
        while let Some(answers) = self.early.remove(&self.ordered) {
            self.ready.extend(answers);
            self.ordered += 1;
        }
        while self.in_flight < self.most {
            let Some(Batch { rows, awaited }) = self.waiting.queue.pop_front() else {
                return;
            };
            let asker = Arc::clone(&self.asker);
            let request = Request { batch: self.sent, rows, awaited, asker };
            self.asker.unanswered.fetch_add(1, Ordering::AcqRel);
            if let Err(error) = self.threads.requests.try_send(request) {
                // The threads end early only when a model has failed, which has been said by now.
                let stopper = &self.asker.stopper;
                return stopper.stop(format!("its inference threads cannot be asked: {error}"));
            }
            self.sent += 1;
            self.in_flight += 1;
        }
    }

    /// The answers for the next `rows` rows, if all of them are there.
    pub fn take(&mut self, rows: usize) -> Option<impl Iterator<Item = M::Out>> {
        (self.ready.len() >= rows).then(|| self.ready.drain(..rows))
    }
}

/// Rows that wait, cut into batches.
struct Batches<In> {
    size: usize,
    threads: usize,
    across_epochs: bool,
    queue: VecDeque<Batch<In>>,
}

struct Batch<In> {
    rows: Vec<In>,
    /// Whether its answer may complete an epoch.
    awaited: bool,
}

impl<In> Batches<In> {
    fn new(config: &PoolConfig) -> Self {
        let &PoolConfig { batch: size, threads, across_epochs } = config;
        Batches { size, threads, across_epochs, queue: VecDeque::new() }
    }

    /// Adds the rows of one epoch: to a batch of their own, or first to the one that waits.
    fn push(&mut self, count: usize, mut rows: impl Iterator<Item = In>) {
        if self.across_epochs
            && let Some(last) = self.queue.back_mut()
        {
            let room = self.size - last.rows.len();
            last.rows.extend(rows.by_ref().take(room));
        }
        loop {
            let mut batch = Vec::with_capacity(count.min(self.size));
            batch.extend(rows.by_ref().take(self.size));
            if batch.is_empty() {
                break;
            }
            self.queue.push_back(Batch { rows: batch, awaited: false });
        }
        // As many as are answered at the same time: any of them may be the last to come back.
        for batch in self.queue.iter_mut().rev().take(self.threads) {
            batch.awaited = true;
        }
    }
}

/// What wakes the operator at `address` from another thread.
pub(crate) fn waker(job: &Job<'_>, address: &[usize]) -> SyncActivator {
    job.scope().worker().sync_activator_for(address.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(across_epochs: bool) -> (Vec<Vec<i32>>, Vec<bool>) {
        let mut batches = Batches::new(&PoolConfig { batch: 3, threads: 1, across_epochs });
        for epoch in [0..2, 2..2, 2..3, 3..10] {
            batches.push(epoch.len(), epoch);
        }
        batches.queue.into_iter().map(|batch| (batch.rows, batch.awaited)).unzip()
    }

    #[test]
    fn batches_are_of_one_epoch() {
        let (rows, awaited) = batches(false);
        assert_eq!(rows, [vec![0, 1], vec![2], vec![3, 4, 5], vec![6, 7, 8], vec![9]]);
        assert_eq!(awaited, [true, true, false, false, true]);
    }

    #[test]
    fn or_are_filled_by_the_next() {
        let (rows, awaited) = batches(true);
        assert_eq!(rows, [vec![0, 1, 2], vec![3, 4, 5], vec![6, 7, 8], vec![9]]);
        assert_eq!(awaited, [true, false, false, true]);
    }
}
