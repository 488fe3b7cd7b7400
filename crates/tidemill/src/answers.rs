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
pub struct Answers<A> {
    operator: String,
    log: Option<Rc<EpochLog>>,
    known: HashMap<(Epoch, u64), VecDeque<A>>,
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
        let answers = self.known.get_mut(&(epoch, stable_hash(&encode(about))))?;
        answers.pop_front()
    }

    /// What [`Answers::keep`] knows an item by.
    pub fn name_of<T: Serialize>(about: &T) -> u64 {
        stable_hash(&encode(about))
    }

    /// Keeps what was answered in `epoch`, by [`Answers::name_of`] the items. Until [`Answers::safe`] has reached the number
    /// that this returns, the operator must not let go of the epoch: then it is scheduled.
    pub fn keep(&mut self, epoch: Epoch, answers: &[(u64, A)]) -> u64 {
        if let Some(log) = self.log.as_ref().filter(|_| !answers.is_empty()) {
            self.kept += 1;
            let (kept, safe, wake) = (self.kept, Arc::clone(&self.safe), self.wake.clone());
            let done = Box::new(move || {
                safe.store(kept, Ordering::Release);
                // A worker that is gone needs no telling.
                wake.map(|wake| wake.activate());
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
        let mut known: HashMap<_, VecDeque<A>> = HashMap::new();
        if let Some(log) = &log {
            for (epoch, answers) in log.past().answers::<(u64, A)>(operator)? {
                for (about, answer) in answers {
                    known.entry((epoch, about)).or_default().push_back(answer);
                }
            }
        }
        Ok(Answers { operator: operator.to_owned(), log, known, wake: None, kept: 0, safe: Arc::default() })
    }
}
