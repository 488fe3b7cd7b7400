//! The as-of join: the version that was valid then, of those known by now.

use crate::pair::Side;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tidemill::time::END;
use tidemill::{
    Closing, Data, Emit, Kernel, Key, Millis, Order, Record, Seq, StateError, Timers, by_group, from_group, type_name,
};

/// What is true of a key from some time on, on a stream by the time at which that became known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version<R> {
    /// From when on it is valid, in milliseconds since 1970 UTC, until the next version's.
    pub valid_from: Millis,
    /// When it became known, in milliseconds since 1970 UTC: the event time of a stream of versions.
    pub known_at: Millis,
    /// What is true from then on; `None` where nothing is.
    pub row: Option<R>,
}

/// What one key knows, and the events that wait for their moment.
#[derive(Clone, Serialize, Deserialize)]
struct Known<L, R> {
    /// By when they became valid, in order.
    versions: Vec<(Millis, Option<R>)>,
    /// By moment and place, with their time.
    waiting: BTreeMap<(Millis, Seq), (Millis, L)>,
}

impl<L, R> Default for Known<L, R> {
    fn default() -> Self {
        Known { versions: Vec::new(), waiting: BTreeMap::new() }
    }
}

impl<L, R> Known<L, R> {
    /// Adds a version, in the place of one that is valid from the same time on.
    fn add(&mut self, valid_from: Millis, row: Option<R>) {
        match self.versions.binary_search_by_key(&valid_from, |(valid, _)| *valid) {
            Ok(at) => self.versions[at].1 = row,
            Err(at) => self.versions.insert(at, (valid_from, row)),
        }
    }

    /// How many versions are valid from `time` on or before: the last of them is the one of `time`.
    fn through(&self, time: Millis) -> usize {
        self.versions.partition_point(|(valid, _)| *valid <= time)
    }

    /// Drops the versions that no event from `now` on, or waiting, can need. That nothing is valid stays known, for a
    /// version of before that may become known later.
    fn prune(&mut self, now: Millis) {
        let needed = self.waiting.values().map(|(time, _)| *time).fold(now, Millis::min);
        self.versions.drain(..self.through(needed).saturating_sub(1));
    }
}

/// The versions of one worker's keys.
pub(crate) struct AsOfKernel<K, L, R, F, M, J> {
    key: F,
    moment: M,
    join: J,
    keys: FxHashMap<K, Known<L, R>>,
    timers: Timers<K>,
}

impl<K: Key, L: Data, R: Data, F, M, J> AsOfKernel<K, L, R, F, M, J> {
    pub fn new(key: F, moment: M, join: J) -> Self {
        AsOfKernel { key, moment, join, keys: FxHashMap::default(), timers: Timers::default() }
    }

    /// Answers the events whose moment was before `now`.
    fn answer<U>(&mut self, key: &K, now: Millis, out: &mut Vec<Record<U>>)
    where
        J: Fn(&L, Option<&R>) -> U,
    {
        let Some(known) = self.keys.get_mut(key) else { return };
        while let Some(first) = known.waiting.first_entry().filter(|first| first.key().0 < now || now == END) {
            let ((moment, seq), (time, event)) = first.remove_entry();
            let row = known.versions[..known.through(time)].last().and_then(|(_, row)| row.as_ref());
            out.push(Record { time: moment, seq: seq.child(0), value: (self.join)(&event, row) });
        }
    }
}

impl<K, L, R, F, M, J, U> Kernel for AsOfKernel<K, L, R, F, M, J>
where
    K: Key,
    L: Data,
    R: Data,
    U: Data,
    F: Fn(&Side<L, Version<R>>) -> K + 'static,
    M: Fn(&L, Millis) -> Millis + 'static,
    J: Fn(&L, Option<&R>) -> U + 'static,
{
    type In = Side<L, Version<R>>;
    type Out = Record<U>;

    fn kind(&self) -> String {
        "join as of a time".to_owned()
    }

    fn state(&self) -> String {
        type_name::<Known<L, R>>()
    }

    fn order(&self) -> Order {
        Order::EventTime
    }

    fn records(&mut self, _: Closing, records: &mut Vec<Record<Self::In>>, emit: &mut Emit<Self::In, Self::Out>) {
        for Record { time, seq, value } in records.drain(..) {
            let key = (self.key)(&value);
            match value {
                Side::Right(Version { valid_from, row, .. }) => {
                    // Moments before this one do not know of it yet.
                    self.answer(&key, time, &mut emit.out);
                    self.keys.entry(key.clone()).or_default().add(valid_from, row);
                    self.timers.set(valid_from.max(time), key);
                }
                Side::Left(event) => {
                    let moment = (self.moment)(&event, time).max(time);
                    self.keys.entry(key.clone()).or_default().waiting.insert((moment, seq), (time, event));
                    self.timers.set(moment, key);
                }
            }
        }
    }

    fn settle(&mut self, at: Closing, emit: &mut Emit<Self::In, Self::Out>) {
        let mut due = self.timers.due(at.after);
        due.sort_unstable();
        due.dedup();
        for key in due {
            self.answer(&key, at.after, &mut emit.out);
            let Some(known) = self.keys.get_mut(&key) else { continue };
            known.prune(at.after);
            let moment = known.waiting.first_key_value().map(|((moment, _), _)| *moment);
            let validity = known.versions.get(known.through(at.after)).map(|(valid, _)| *valid);
            let next = moment.into_iter().chain(validity).min();
            if let Some(next) = next.filter(|_| at.after != END) {
                self.timers.set(next, key);
            }
        }
    }

    fn snapshot(&self) -> Vec<(u8, Vec<u8>)> {
        by_group(&self.keys)
    }

    fn restore(&mut self, at: Closing, state: &[u8], _: &mut Emit<Self::In, Self::Out>) -> Result<(), StateError> {
        for (key, known) in from_group::<K, Known<L, R>>(state)? {
            self.keys.insert(key.clone(), known);
            self.timers.set(at.after, key);
        }
        Ok(())
    }
}
