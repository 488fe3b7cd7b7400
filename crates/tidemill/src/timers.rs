//! Which keys have something to do at which event time.

use crate::time::Millis;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

/// Keys by the time at which they next have something to do, one time for each. Times are bucketed, since an exact index
/// costs more than the state it serves; whoever takes keys out asks each key's own state what is due.
#[derive(Debug)]
pub struct Timers<K> {
    /// The bucket in which a key counts.
    next: FxHashMap<K, Millis>,
    /// The keys of each bucket, among them those that count in an earlier one by now, or in none.
    buckets: BTreeMap<Millis, Vec<K>>,
    /// How many keys there are in all buckets.
    entries: usize,
    width: Millis,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Timers::bucketed(1_024)
    }
}

impl<K> Timers<K> {
    /// Timers in buckets of `width` ms: wider ones cost less, and keys come out up to that much
    /// before their time.
    pub fn bucketed(width: Millis) -> Self {
        Timers { next: FxHashMap::default(), buckets: BTreeMap::new(), entries: 0, width: width.max(1) }
    }

    /// How many keys have something to do.
    pub fn len(&self) -> usize {
        self.next.len()
    }

    /// Whether no key has anything to do.
    pub fn is_empty(&self) -> bool {
        self.next.is_empty()
    }
}

impl<K: Clone + Eq + Hash> Timers<K> {
    /// `key` has something to do at `at`, in milliseconds since 1970 UTC. If it has something to do before that, nothing
    /// changes: when it comes out, say what is next.
    pub fn set(&mut self, at: Millis, key: K) {
        let bucket = at.div_euclid(self.width);
        let key = match self.next.entry(key) {
            Entry::Occupied(next) if *next.get() <= bucket => return,
            Entry::Occupied(mut next) => {
                next.insert(bucket);
                next.key().clone()
            }
            Entry::Vacant(next) => {
                let key = next.key().clone();
                next.insert(bucket);
                key
            }
        };
        self.buckets.entry(bucket).or_default().push(key);
        self.entries += 1;
        self.clean();
    }

    /// `key` has nothing to do any more: to be said of every key whose state is dropped before its time.
    pub fn cancel(&mut self, key: &K) {
        self.next.remove(key);
        self.clean();
    }

    /// Takes out every key that may have something to do at or before `watermark`, each once. A key
    /// of the last bucket may not be due yet: set it again.
    pub fn due(&mut self, watermark: Millis) -> Vec<K> {
        let last = watermark.div_euclid(self.width);
        let mut due = Vec::new();
        while let Some(first) = self.buckets.first_entry().filter(|first| *first.key() <= last) {
            let (bucket, keys) = first.remove_entry();
            self.entries -= keys.len();
            for key in keys {
                if self.next.get(&key) == Some(&bucket) {
                    self.next.remove(&key);
                    due.push(key);
                }
            }
        }
        due
    }

    /// Drops what does not count, when it has become more than what does.
    fn clean(&mut self) {
        if self.entries <= 2 * self.next.len() + 64 {
            return;
        }
        self.buckets.clear();
        for (key, bucket) in &self.next {
            self.buckets.entry(*bucket).or_default().push(key.clone());
        }
        self.entries = self.next.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_due_is_kept_back() {
        let mut timers = Timers::default();
        for at in [-5000, -1, 0, 1023, 1024, 5000] {
            timers.set(at, at);
        }
        assert_eq!(timers.due(-1), [-5000, -1]);
        let due = timers.due(1024);
        assert!([0, 1023, 1024].iter().all(|at| due.contains(at)) && !due.contains(&5000));
        assert_eq!(timers.due(Millis::MAX), [5000]);
    }

    proptest! {
        #[test]
        fn a_key_comes_once_at_its_earliest_time_and_leaves_nothing(
            steps in prop::collection::vec((0..8u8, 0..4u8, 0..50i64), 0..400)
        ) {
            let (mut timers, mut earliest, mut now) = (Timers::bucketed(1), BTreeMap::new(), 0);
            for (step, key, ahead) in steps {
                match step {
                    0 => {
                        now += ahead / 10;
                        let mut due = timers.due(now);
                        due.sort_unstable();
                        let expected: Vec<u8> = earliest.extract_if(.., |_, at| *at <= now).map(|(key, _)| key).collect();
                        prop_assert_eq!(due, expected);
                    }
                    1 => {
                        timers.cancel(&key);
                        earliest.remove(&key);
                    }
                    _ => {
                        timers.set(now + ahead, key);
                        let at = earliest.entry(key).or_insert(now + ahead);
                        *at = (*at).min(now + ahead);
                    }
                }
                prop_assert_eq!(timers.len(), earliest.len());
                prop_assert!(timers.entries <= 2 * timers.len() + 64);
                prop_assert_eq!(timers.entries, timers.buckets.values().map(Vec::len).sum::<usize>());
            }
        }
    }
}
