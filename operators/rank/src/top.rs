//! The events with the greatest scores.

use crate::ranked::Ranked;
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;
use tidemill::{Data, Key, Maintain, Record};

/// Keeps the events with the greatest scores: see [`Ranks::top_k`](crate::Ranks::top_k).
pub struct Top<K, T, F> {
    k: usize,
    score: F,
    types: PhantomData<fn(K, T)>,
}

impl<K, T, F> Top<K, T, F> {
    /// Keeps the `k` events for which `score` is the greatest.
    pub fn new(k: usize, score: F) -> Self {
        Top { k, score, types: PhantomData }
    }
}

/// The events kept, best first.
#[derive(Clone, Serialize, Deserialize)]
#[serde(bound = "T: Data")]
pub struct Best<T>(Vec<T>);

impl<T> Default for Best<T> {
    fn default() -> Self {
        Best(Vec::new())
    }
}

impl<K: Key, T: Data + Ord, S: Ord, F: Fn(&T) -> S + 'static> Maintain for Top<K, T, F> {
    type Key = K;
    type In = T;
    type State = Best<T>;
    type Row = Ranked<K, T>;

    fn update(&self, _: &K, Best(best): &mut Best<T>, events: &mut Vec<Record<T>>) {
        for Record { value, .. } in events.drain(..) {
            let score = (self.score)(&value);
            // Those kept came in earlier epochs, or before it in this one.
            let place = best.partition_point(|other| (self.score)(other) >= score);
            if place < self.k {
                best.insert(place, value);
                best.truncate(self.k);
            }
        }
    }

    fn rows(&self, key: &K, Best(best): &Best<T>, rows: &mut Vec<Ranked<K, T>>) {
        let row = |(rank, value): (u32, &T)| Ranked { key: key.clone(), rank, row: value.clone() };
        rows.extend((1..).zip(best).map(row));
    }
}
