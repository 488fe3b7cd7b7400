//! The items with the most events.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::hash::Hash;
use std::marker::PhantomData;
use tidemill::{Closing, Data, Emit, Epoch, Kernel, Key, Keys, Order, Record, Save, Saved, StateError, type_name};

/// How many events an item had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Counted<K, I> {
    /// The key.
    pub key: K,
    /// The item.
    pub item: I,
    /// How many events it had.
    pub count: u64,
}

/// One key's counters.
#[derive(Clone, Serialize, Deserialize)]
#[serde(bound = "I: Data + Ord + Hash")]
struct Board<I> {
    counts: FxHashMap<I, u64>,
    /// Most first; of as many, the lesser item first.
    top: Vec<(u64, I)>,
    /// What `top` was when the epoch began, if it has changed since.
    before: Option<Vec<(u64, I)>>,
}

impl<I> Default for Board<I> {
    fn default() -> Self {
        Board { counts: FxHashMap::default(), top: Vec::new(), before: None }
    }
}

impl<I: Data + Ord + Hash> Board<I> {
    /// Counts an item; says whether this is the epoch's first change of the top.
    fn add(&mut self, item: I, n: usize) -> bool {
        let count = match self.counts.get_mut(&item) {
            Some(count) => {
                *count += 1;
                *count
            }
            None => {
                self.counts.insert(item.clone(), 1);
                1
            }
        };
        let full = self.top.len() >= n;
        // Most items are far from the top: counts grow by one, so whoever is not level with the last place is not in it.
        if full && self.top.last().is_none_or(|last| (count, &last.1) < (last.0, &item)) {
            return false;
        }
        let first = self.before.is_none();
        self.before.get_or_insert_with(|| self.top.clone());
        let place = match self.top.iter().position(|(_, other)| *other == item) {
            Some(place) => place,
            None if full => n - 1,
            None => {
                self.top.push((count, item.clone()));
                self.top.len() - 1
            }
        };
        self.top[place] = (count, item);
        let mut at = place;
        while at > 0 && (self.top[at].0, &self.top[at - 1].1) > (self.top[at - 1].0, &self.top[at].1) {
            self.top.swap(at, at - 1);
            at -= 1;
        }
        first
    }
}

/// The counters of one worker's keys.
pub(crate) struct CountsKernel<K, T, I, F, G> {
    key: F,
    item: G,
    n: usize,
    keys: Keys<K, Board<I>>,
    /// The keys whose top has changed in this epoch.
    changed: Vec<K>,
    events: PhantomData<fn(T)>,
}

impl<K, T, I, F, G> CountsKernel<K, T, I, F, G> {
    pub fn new(key: F, item: G, n: usize) -> Self {
        CountsKernel { key, item, n, keys: Keys::new(), changed: Vec::new(), events: PhantomData }
    }
}

impl<K, T, I, F, G> Kernel for CountsKernel<K, T, I, F, G>
where
    K: Key,
    T: Data,
    I: Data + Ord + Hash,
    F: Fn(&T) -> K + 'static,
    G: Fn(&T) -> I + 'static,
{
    type In = T;
    type Out = (Counted<K, I>, Epoch, isize);

    fn kind(&self) -> String {
        format!("top {} counts", self.n)
    }

    fn state(&self) -> String {
        type_name::<Board<I>>()
    }

    fn order(&self) -> Order {
        Order::Any
    }

    fn records(&mut self, _: Closing, records: &mut Vec<Record<T>>, _: &mut Emit<T, Self::Out>) {
        for Record { value, .. } in records.drain(..).filter(|_| self.n > 0) {
            let key = (self.key)(&value);
            let item = (self.item)(&value);
            let first = match self.keys.get_mut(&key) {
                Some(board) => board.add(item, self.n),
                None => self.keys.get_or_default(key.clone()).add(item, self.n),
            };
            if first {
                self.changed.push(key);
            }
        }
    }

    fn settle(&mut self, at: Closing, emit: &mut Emit<T, Self::Out>) {
        for key in self.changed.drain(..) {
            let Some(board) = self.keys.get_mut(&key) else { continue };
            let before = board.before.take().unwrap_or_default();
            let row = |(count, item): &(u64, I)| Counted { key: key.clone(), item: item.clone(), count: *count };
            let gone = before.iter().filter(|place| !board.top.contains(place));
            emit.out.extend(gone.map(|place| (row(place), at.epoch, -1)));
            let new = board.top.iter().filter(|place| !before.contains(place));
            emit.out.extend(new.map(|place| (row(place), at.epoch, 1)));
        }
    }

    fn save(&mut self, save: &mut Save) {
        self.keys.save(save);
    }

    fn load(&mut self, at: Closing, entry: Saved<'_>, emit: &mut Emit<T, Self::Out>) -> Result<(), StateError> {
        let (key, board) = self.keys.load(entry)?;
        let row = |(count, item): &(u64, I)| Counted { key: key.clone(), item: item.clone(), count: *count };
        emit.out.extend(board.top.iter().map(|place| (row(place), at.epoch, 1)));
        Ok(())
    }
}
