//! Sources of suggestions that follow a collection: what [`Suggestions`] are asked of in the graph.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::marker::PhantomData;
use tidemill::Key;
use tidemill::differential_dataflow::ExchangeData;
use tidemill_events::Index;
use tidemill_rank::Summed;

use crate::items::{ItemIndex, ItemRow};
use crate::nearest::{Nearest, Session, SessionIndex};
use crate::suggest::{Suggestion, Suggestions};

/// Suggests what is linked with a user's last items.
pub struct ByLinks<U, I> {
    index: ItemIndex<I>,
    best: Best<I>,
    last: usize,
    n: usize,
    users: PhantomData<fn(U)>,
}

/// The best by an index.
type Best<I> = fn(&mut ItemIndex<I>, &[I], &[I], usize) -> Vec<Suggestion<I>>;

impl<U, I: Key> ByLinks<U, I> {
    /// Suggests the `n` items that follow the `last` ones of a history most: [`ItemIndex::best_next`] over
    /// [`WithItems::followers`](crate::WithItems::followers).
    pub fn after(last: usize, n: usize) -> Self {
        ByLinks { index: ItemIndex::new(), best: ItemIndex::best_next, last, n, users: PhantomData }
    }

    /// Suggests the `n` items that complete the `last` ones of a history: [`ItemIndex::best_together`] over
    /// [`WithItems::companions`](crate::WithItems::companions).
    pub fn together(last: usize, n: usize) -> Self {
        ByLinks { index: ItemIndex::new(), best: ItemIndex::best_together, last, n, users: PhantomData }
    }
}

impl<U: Key, I: Key + ExchangeData> Index for ByLinks<U, I> {
    type Row = ItemRow<I>;
    type Question = Suggestions<U, I>;
    type Answer = Vec<Suggestion<I>>;

    fn change(&mut self, row: ItemRow<I>, diff: isize) {
        self.index.change(row, diff > 0);
    }

    fn change_all(&mut self, changes: Vec<(ItemRow<I>, isize)>) {
        self.index.change_all(&changes);
    }

    fn answer(&mut self, Suggestions { history, .. }: &Suggestions<U, I>) -> Vec<Suggestion<I>> {
        let last = &history[history.len().saturating_sub(self.last)..];
        (self.best)(&mut self.index, last, history, self.n)
    }
}

/// Suggests what came next in the histories most like this one: [`SessionIndex`].
pub struct Neighbours<U, I> {
    index: SessionIndex<U, I>,
    n: usize,
}

impl<U: Key, I: Key> Neighbours<U, I> {
    /// Suggests `n` items.
    pub fn new(nearest: Nearest, n: usize) -> Self {
        Neighbours { index: SessionIndex::new(nearest), n }
    }
}

impl<U: Key + ExchangeData, I: Key + ExchangeData> Index for Neighbours<U, I> {
    type Row = Session<U, I>;
    type Question = Suggestions<U, I>;
    type Answer = Vec<Suggestion<I>>;

    fn change(&mut self, row: Session<U, I>, diff: isize) {
        if diff > 0 { self.index.insert(&row) } else { self.index.remove(&row) }
    }

    fn answer(&mut self, Suggestions { user, history, .. }: &Suggestions<U, I>) -> Vec<Suggestion<I>> {
        self.index.best(history, Some(user), history, self.n)
    }
}

/// What [`Trends`] follow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TrendsRow<I, G> {
    /// What an item weighs in a group.
    In(Summed<G, I>),
    /// An item, and the group that is its own.
    Of(I, G),
}

/// Suggests what weighs most in the group of a user's last item, and in all.
pub struct Trends<U, I, G> {
    groups: FxHashMap<G, BTreeSet<(Reverse<i64>, I)>>,
    of: FxHashMap<I, G>,
    all: G,
    n: usize,
    users: PhantomData<fn(U)>,
}

impl<U, I: Key, G: Key> Trends<U, I, G> {
    /// Suggests `n` items: the first ones of the group of the last item, then those of the group of `all`.
    pub fn new(n: usize, all: G) -> Self {
        Trends { groups: FxHashMap::default(), of: FxHashMap::default(), all, n, users: PhantomData }
    }
}

impl<U: Key, I: Key + ExchangeData, G: Key + ExchangeData> Index for Trends<U, I, G> {
    type Row = TrendsRow<I, G>;
    type Question = Suggestions<U, I>;
    type Answer = Vec<Suggestion<I>>;

    fn change(&mut self, row: TrendsRow<I, G>, diff: isize) {
        let Summed { key, item, sum } = match row {
            TrendsRow::In(row) => row,
            TrendsRow::Of(item, group) => {
                if diff > 0 {
                    _ = self.of.insert(item, group)
                } else {
                    _ = self.of.remove(&item)
                }
                return;
            }
        };
        let group = self.groups.entry(key.clone()).or_default();
        if diff > 0 {
            group.insert((Reverse(sum), item));
        } else {
            group.remove(&(Reverse(sum), item));
        }
        if group.is_empty() {
            self.groups.remove(&key);
        }
    }

    fn answer(&mut self, Suggestions { history, .. }: &Suggestions<U, I>) -> Vec<Suggestion<I>> {
        let mut found: Vec<Suggestion<I>> = Vec::new();
        let groups = history.last().and_then(|last| self.of.get(last)).into_iter().chain([&self.all]);
        for group in groups.filter_map(|group| self.groups.get(group)) {
            for (_, item) in group {
                if found.len() < self.n && !history.contains(item) && found.iter().all(|other| other.item != *item) {
                    // The places are what is told: weights of two groups do not compare.
                    let score = 1.0 / (found.len() + 1) as f64;
                    found.push(Suggestion { item: item.clone(), score, because: None });
                }
            }
        }
        found
    }
}
