//! The latest event.

use serde::{Deserialize, Serialize};
use std::marker::PhantomData;
use tidemill::{Data, Key, Maintain, Millis, Order, Record};

/// Keeps the latest event of each key: see [`Ranks::latest`](crate::Ranks::latest).
pub struct Latest<K, T>(PhantomData<fn(K, T)>);

impl<K, T> Latest<K, T> {
    /// Keeps the latest event.
    pub fn new() -> Self {
        Latest(PhantomData)
    }
}

impl<K, T> Default for Latest<K, T> {
    fn default() -> Self {
        Self::new()
    }
}

/// The event kept, with its time.
#[derive(Clone, Serialize, Deserialize)]
#[serde(bound = "T: Data")]
pub struct Kept<T>(Option<(Millis, T)>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Kept(None)
    }
}

impl<K: Key, T: Data + Ord> Maintain for Latest<K, T> {
    type Key = K;
    type In = T;
    type State = Kept<T>;
    type Row = T;

    /// Which event is the latest does not depend on the order in which they come.
    const ORDER: Order = Order::Any;

    fn update(&self, _: &K, Kept(latest): &mut Kept<T>, events: &mut Vec<Record<T>>) {
        let new = events.drain(..).map(|record| (record.time, record.value)).max();
        if new > *latest {
            *latest = new;
        }
    }

    fn rows(&self, _: &K, Kept(latest): &Kept<T>, rows: &mut Vec<T>) {
        rows.extend(latest.iter().map(|(_, event)| event.clone()));
    }
}
