//! A collection's rows by key, for any thread to read while the job runs.

use crate::sink::{Sink, SinkError, Start, Update};
use crate::stream::Key;
use crate::time::Epoch;
use rustc_hash::{FxBuildHasher, FxHashMap};
use std::hash::BuildHasher;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A sink of a collection with one row a key: the rows that are true now, for any thread of the process to read. What a job
/// keeps of each user for a web server to show, for instance.
///
/// A row is there from the end of its epoch on. Readers wait for nobody but a writer of the same shard of keys, a
/// microsecond or so.
///
/// ```
/// use tidemill::{Config, Context, Events, Maintain, Record, Table, Timing, execute};
///
/// /// How often each name has come.
/// struct Count;
///
/// impl Maintain for Count {
///     type Key = String;
///     type In = (i64, String);
///     type State = u32;
///     type Row = (String, u32);
///
///     fn update(&self, _: &String, count: &mut u32, events: &mut Vec<Record<Self::In>>) {
///         *count += events.drain(..).count() as u32;
///     }
///
///     fn rows(&self, name: &String, count: &u32, rows: &mut Vec<Self::Row>) {
///         rows.push((name.clone(), *count));
///     }
/// }
///
/// let names = Events::new(["ann", "bob", "ann"].into_iter().zip(1..).map(|(name, time)| (time, name.to_owned())).collect());
/// let counts = Table::new(|(name, _): &(String, u32)| name.clone());
/// let to_counts = counts.clone();
/// execute(Config::workers(1), move |job| {
///     let names = job.source("names", names.clone(), Timing::by(|name: &(i64, String)| name.0))?;
///     names.key_by(|name| name.1.clone()).maintain("counts", Count)?.sink("table", to_counts.clone())
/// })?;
/// assert_eq!(counts.get(&"ann".to_owned()), Some(("ann".to_owned(), 2)));
/// # Ok::<(), tidemill::Error>(())
/// ```
pub struct Table<K, R> {
    shards: Arc<[RwLock<FxHashMap<K, R>>]>,
    key: fn(&R) -> K,
}

/// A power of two.
const SHARDS: usize = 64;

impl<K, R> Clone for Table<K, R> {
    fn clone(&self) -> Self {
        Table { shards: Arc::clone(&self.shards), key: self.key }
    }
}

impl<K: Key + Sync, R: Clone> Table<K, R> {
    /// An empty table; a clone of it reads what the job writes. Rows are found by `key`.
    pub fn new(key: fn(&R) -> K) -> Self {
        Table { shards: (0..SHARDS).map(|_| RwLock::default()).collect(), key }
    }

    /// The row of a key, as it is now.
    pub fn get(&self, key: &K) -> Option<R> {
        self.read(key).get(key).cloned()
    }

    /// What `f` makes of the row of a key, without copying it. The row does not change meanwhile: be brief.
    pub fn with<T>(&self, key: &K, f: impl FnOnce(&R) -> T) -> Option<T> {
        self.read(key).get(key).map(f)
    }

    /// All rows, in no order. Those of an epoch that is written meanwhile may be among them in part.
    pub fn rows(&self) -> Vec<R> {
        let rows = |shard: &RwLock<FxHashMap<K, R>>| {
            shard.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect::<Vec<R>>()
        };
        self.shards.iter().flat_map(rows).collect()
    }

    /// How many keys have a row.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    /// Whether no key has one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, key: &K) -> &RwLock<FxHashMap<K, R>> {
        // The map takes its places from the low bits and its tags from the highest.
        &self.shards[(FxBuildHasher.hash_one(key) >> 32) as usize & (SHARDS - 1)]
    }

    fn read(&self, key: &K) -> RwLockReadGuard<'_, FxHashMap<K, R>> {
        self.shard(key).read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_to(&self, key: &K) -> RwLockWriteGuard<'_, FxHashMap<K, R>> {
        self.shard(key).write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Key + Sync, R: Clone + PartialEq + 'static> Sink for Table<K, R> {
    type Item = Update<R>;

    fn open(&mut self, _: &Start) -> Result<(), SinkError> {
        Ok(())
    }

    fn restored(&mut self, epoch: Epoch, rows: &mut Vec<Update<R>>) -> Result<(), SinkError> {
        self.shards.iter().for_each(|shard| shard.write().unwrap_or_else(PoisonError::into_inner).clear());
        self.write(epoch, rows)
    }

    fn write(&mut self, _: Epoch, updates: &mut Vec<Update<R>>) -> Result<(), SinkError> {
        // Retractions come first, and a reader is not to find nothing where one row takes another's place.
        let (gone, come): (Vec<_>, Vec<_>) = updates.drain(..).partition(|update| update.diff < 0);
        for Update { row, .. } in come {
            let key = (self.key)(&row);
            self.write_to(&key).insert(key, row);
        }
        for Update { row, .. } in gone {
            let key = (self.key)(&row);
            let mut shard = self.write_to(&key);
            if shard.get(&key) == Some(&row) {
                shard.remove(&key);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_takes_another_ones_place_or_goes() {
        let mut table: Table<u8, (u8, char)> = Table::new(|row| row.0);
        let update = |row, diff| Update { row, diff };
        table.write(1, &mut vec![update((1, 'a'), 1), update((2, 'b'), 1)]).unwrap();
        let reader = table.clone();
        assert_eq!((reader.get(&1), reader.len()), (Some((1, 'a')), 2));
        table.write(2, &mut vec![update((1, 'a'), -1), update((2, 'b'), -1), update((1, 'c'), 1)]).unwrap();
        assert_eq!((reader.get(&1), reader.get(&2)), (Some((1, 'c')), None));
        assert_eq!(reader.with(&1, |row| row.1), Some('c'));
        // A job that goes on from a checkpoint says all its rows.
        table.restored(2, &mut vec![update((3, 'd'), 1)]).unwrap();
        assert_eq!((reader.get(&1), reader.get(&3), reader.len()), (None, Some((3, 'd')), 1));
    }
}
