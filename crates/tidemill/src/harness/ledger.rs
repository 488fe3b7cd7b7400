//! A sink in memory that outlives its job, as a database does.

use crate::record::Data;
use crate::sink::{Sink, SinkError, Start};
use crate::time::Epoch;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Has each epoch from the moment it is written, whatever becomes of the job, and takes none twice: for tests that a job
/// which falls over and is begun again writes what it has written. Clones are the same ledger.
///
/// Stops the job, in words, if an epoch comes again and is another one, or was committed and will not come again.
#[derive(Debug)]
pub struct Ledger<T> {
    epochs: Arc<Mutex<BTreeMap<Epoch, Vec<T>>>>,
}

impl<T> Clone for Ledger<T> {
    fn clone(&self) -> Self {
        Ledger { epochs: Arc::clone(&self.epochs) }
    }
}

impl<T> Default for Ledger<T> {
    fn default() -> Self {
        Ledger { epochs: Arc::default() }
    }
}

impl<T: Clone> Ledger<T> {
    /// An empty ledger.
    pub fn new() -> Self {
        Ledger::default()
    }

    /// What was committed, by epoch.
    pub fn epochs(&self) -> BTreeMap<Epoch, Vec<T>> {
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was committed, in order.
    pub fn items(&self) -> Vec<T> {
        self.epochs().into_values().flatten().collect()
    }
}

impl<T: Data + PartialEq> Sink for Ledger<T> {
    type Item = T;

    fn open(&mut self, start: &Start) -> Result<(), SinkError> {
        let epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        match epochs.last_key_value() {
            Some((last, _)) if *last > start.exact_through => {
                Err(SinkError::new(format!("epoch {last} was committed, and is formed otherwise now: {start:?}")))
            }
            _ => Ok(()),
        }
    }

    fn write(&mut self, epoch: Epoch, items: &mut Vec<T>) -> Result<(), SinkError> {
        let mut epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        let items = std::mem::take(items);
        match epochs.get(&epoch) {
            Some(before) if *before != items => {
                Err(SinkError::new(format!("epoch {epoch} comes again otherwise: {before:?}, and now {items:?}")))
            }
            _ => {
                epochs.insert(epoch, items);
                Ok(())
            }
        }
    }
}
