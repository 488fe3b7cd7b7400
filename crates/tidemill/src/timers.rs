//! Which keys have something to do at which event time.

use crate::time::Millis;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

/// Keys by the time at which they next have something to do, one time for each. Times to come are bucketed, since an exact
/// index costs more than the state it serves; only the keys of the bucket that has begun are by their exact time.
#[derive(Debug)]
pub struct Timers<K> {
    next: FxHashMap<K, Millis>,
    /// The keys of each bucket that has not begun, among them those whose time is in an earlier one by now, or that have none.
    buckets: BTreeMap<Millis, Vec<K>>,
    /// The keys of buckets that have begun, by time, and others in the same way.
    begun: BTreeMap<Millis, Vec<K>>,
    /// The last bucket that has begun.
    last: Millis,
    /// How many keys there are in `buckets` and `begun`.
    entries: usize,
    width: Millis,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Timers::bucketed(1_024)
    }
}

impl<K> Timers<K> {
    /// Timers in buckets of `width` ms: wider ones cost less while their time has not come.
    pub fn bucketed(width: Millis) -> Self {
        Timers {
            next: FxHashMap::default(),
            buckets: BTreeMap::new(),
            begun: BTreeMap::new(),
            last: Millis::MIN,
            entries: 0,
            width: width.max(1),
        }
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
        let before = match self.next.entry(key.clone()) {
            Entry::Occupied(next) if *next.get() <= at => return,
            Entry::Occupied(mut next) => Some(next.insert(at)),
            Entry::Vacant(next) => {
                next.insert(at);
                None
            }
        };
        if before.is_none_or(|before| self.slot(before) != self.slot(at)) {
            self.file(at, key);
            self.clean();
        }
    }

    /// `key` has nothing to do any more: to be said of every key whose state is dropped before its time.
    pub fn cancel(&mut self, key: &K) {
        self.next.remove(key);
        self.clean();
    }

    /// Takes out every key that has something to do at or before `watermark`, each once.
    pub fn due(&mut self, watermark: Millis) -> Vec<K> {
        let last = watermark.div_euclid(self.width);
        let mut due = Vec::new();
        while let Some(first) = self.buckets.first_entry().filter(|first| *first.key() <= last) {
            let (bucket, keys) = first.remove_entry();
            self.entries -= keys.len();
            for key in keys {
                match self.next.get(&key) {
                    Some(&at) if at.div_euclid(self.width) != bucket => {}
                    Some(&at) if at <= watermark => {
                        self.next.remove(&key);
                        due.push(key);
                    }
                    Some(&at) => {
                        self.begun.entry(at).or_default().push(key);
                        self.entries += 1;
                    }
                    None => {}
                }
            }
        }
        self.last = self.last.max(last);
        while let Some(first) = self.begun.first_entry().filter(|first| *first.key() <= watermark) {
            let (at, keys) = first.remove_entry();
            self.entries -= keys.len();
            for key in keys {
                if self.next.get(&key) == Some(&at) {
                    self.next.remove(&key);
                    due.push(key);
                }
            }
        }
        due
    }

    /// Where a key with this time is: in a bucket that has not begun, or under the time itself.
    fn slot(&self, at: Millis) -> Result<Millis, Millis> {
        let bucket = at.div_euclid(self.width);
        if bucket > self.last { Ok(bucket) } else { Err(at) }
    }

    fn file(&mut self, at: Millis, key: K) {
        match self.slot(at) {
            Ok(bucket) => self.buckets.entry(bucket).or_default().push(key),
            Err(at) => self.begun.entry(at).or_default().push(key),
        }
        self.entries += 1;
    }

    /// Drops what does not count, when it has become more than what does.
    fn clean(&mut self) {
        if self.entries <= 2 * self.next.len() + 64 {
            return;
        }
        self.buckets.clear();
        self.begun.clear();
        self.entries = 0;
        let next = std::mem::take(&mut self.next);
        next.iter().for_each(|(key, at)| self.file(*at, key.clone()));
        self.next = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_due_comes_out_and_nothing_else() {
        let mut timers = Timers::default();
        for at in [Millis::MIN, -5000, -1, 0, 1023, 1024, 5000, Millis::MAX] {
            timers.set(at, at);
        }
        for (watermark, due) in [
            (Millis::MIN, &[Millis::MIN][..]),
            (-2, &[-5000]),
            (-1, &[-1]),
            (1022, &[0]),
            (1024, &[1023, 1024]),
            (Millis::MAX - 1, &[5000]),
            (Millis::MAX, &[Millis::MAX]),
        ] {
            let mut out = timers.due(watermark);
            out.sort_unstable();
            assert_eq!(out, due);
        }
    }

    proptest! {
        #[test]
        fn a_key_comes_once_at_its_earliest_time_and_leaves_nothing(
            width in 1..40i64,
            steps in prop::collection::vec((0..8u8, 0..4u8, 0..50i64), 0..400)
        ) {
            let (mut timers, mut earliest, mut now) = (Timers::bucketed(width), BTreeMap::new(), 0);
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
                let entries = timers.buckets.values().chain(timers.begun.values()).map(Vec::len).sum::<usize>();
                prop_assert_eq!(timers.entries, entries);
            }
        }
    }
}
