//! Answers that come from outside, kept in the epoch log: a service or a model may answer otherwise when it is asked again.

use crate::checkpoint::{EpochLog, encode};
use crate::error::Result;
use crate::hash::stable_hash;
use crate::job::Job;
use crate::record::Data;
use crate::time::Epoch;
use serde::Serialize;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use timely::scheduling::SyncActivator;

/// What an operator was answered by somebody outside, such as a service or a model, in a job that keeps checkpoints: see
/// [`Job::answers`].
///
/// When an epoch has all its answers, the operator gives them to [`Answers::keep`], and holds the epoch until
/// [`Answers::safe`] says so.
pub struct Answers<A> {
    operator: String,
    log: Option<Rc<EpochLog>>,
    known: HashMap<(Epoch, u64), VecDeque<A>>,
    /// Known answers that are to be kept again, for the file they are in may go before their epoch is in a checkpoint.
    again: HashMap<Epoch, Vec<(u64, A)>>,
    wake: Option<SyncActivator>,
    kept: u64,
    safe: Arc<AtomicU64>,
}

impl<A: Data> Answers<A> {
    /// Whether answers are to be kept. Otherwise nothing need be asked of this.
    pub fn on(&self) -> bool {
        self.log.is_some()
    }

    /// Whom to schedule when something is safe.
    pub fn wake_by(&mut self, wake: SyncActivator) {
        self.wake = Some(wake);
    }

    /// What an earlier run was answered about an item of `epoch`; each answer is given once.
    pub fn known<T: Serialize>(&mut self, epoch: Epoch, about: &T) -> Option<A> {
        if self.known.is_empty() {
            return None;
        }
        let name = self.name_of(about);
        let answer = self.known.get_mut(&(epoch, name))?.pop_front()?;
        if self.log.as_ref().is_some_and(|log| log.past().through < epoch) {
            self.again.entry(epoch).or_default().push((name, answer.clone()));
        }
        Some(answer)
    }

    /// What an item is known by.
    pub fn name_of<T: Serialize>(&self, about: &T) -> u64 {
        stable_hash(&encode(about))
    }

    /// Keeps what was answered in `epoch`, and not known before, with the [`Answers::name_of`] what it is about. The epoch may
    /// go when [`Answers::safe`] has reached the number that this returns; the operator is scheduled then.
    pub fn keep(&mut self, epoch: Epoch, mut answers: Vec<(u64, A)>) -> u64 {
        answers.extend(self.again.remove(&epoch).into_iter().flatten());
        if let Some(log) = self.log.as_ref().filter(|_| !answers.is_empty()) {
            self.kept += 1;
            let (kept, safe, wake) = (self.kept, Arc::clone(&self.safe), self.wake.clone());
            let done = Box::new(move || {
                safe.store(kept, Ordering::Release);
                if let Some(wake) = wake {
                    // A worker that is gone needs no telling.
                    let _ = wake.activate();
                }
            });
            log.answers(epoch, &self.operator, encode(&answers), done);
        }
        self.kept
    }

    /// Through which call of [`Answers::keep`] everything is safe.
    pub fn safe(&self) -> u64 {
        self.safe.load(Ordering::Acquire)
    }
}

impl Job<'_> {
    /// Where an operator keeps what it is answered by somebody outside, so that after a crash the epochs since the last
    /// checkpoint come out as they were.
    ///
    /// Fails if what was kept cannot be decoded.
    pub fn answers<A: Data>(&self, operator: &str) -> Result<Answers<A>> {
        let log = self.runtime().log.clone().filter(|log| log.possible());
        // An item may come several times in an epoch. A later run keeps what it knew of an earlier one's answers too, but may
        // have been cut off before it had all.
        let mut known: HashMap<_, VecDeque<A>> = HashMap::new();
        let past = log.as_ref().map(|log| log.past().answers(operator)).transpose()?.unwrap_or_default();
        for run in past {
            let mut of_run: HashMap<_, VecDeque<A>> = HashMap::new();
            for (about, answer) in run {
                of_run.entry(about).or_default().push_back(answer);
            }
            for (about, answers) in of_run {
                let best = known.entry(about).or_default();
                if best.len() < answers.len() {
                    *best = answers;
                }
            }
        }
        let (operator, safe) = (operator.to_owned(), Arc::default());
        Ok(Answers { operator, log, known, again: HashMap::new(), wake: None, kept: 0, safe })
    }
}
