//! Which keys have something to do at which event time.

use crate::time::Millis;
use std::collections::BTreeMap;

/// Keys by the time of their next timer. Times are bucketed, since an exact index costs more
/// than the state it serves; whoever takes keys out asks each key's own state what is due.
#[derive(Debug)]
pub struct Timers<K> {
    buckets: BTreeMap<Millis, Vec<K>>,
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
        Timers { buckets: BTreeMap::new(), width: width.max(1) }
    }

    /// `key` has something to do at `at`.
    pub fn set(&mut self, at: Millis, key: K) {
        self.buckets.entry(at.div_euclid(self.width)).or_default().push(key);
    }

    /// Takes out every key that may have something to do at or before `watermark`. A key of the
    /// last bucket may not be due yet: set it again.
    pub fn due(&mut self, watermark: Millis) -> Vec<K> {
        let last = watermark.div_euclid(self.width);
        let mut due = Vec::new();
        while let Some(bucket) = self.buckets.first_entry().filter(|bucket| *bucket.key() <= last) {
            due.append(&mut bucket.remove());
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
