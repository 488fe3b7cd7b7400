//! The next basket, from what its user buys again and what the users most like it buy.
//!
//! This is TIFU-kNN (Hu, He, Gao, Zhang: "Modeling Personalized Item Frequency Information for Next-basket Recommendation",
//! SIGIR 2020) over an index that takes users in and gives them back one by one. A user is a vector: how often each item was
//! in the baskets, where later ones weigh more. An item's score is a blend of the user's own vector and the mean of the
//! nearest users' vectors.

use rustc_hash::FxHashMap;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use tidemill::Key;

use crate::basket::Baskets;
use crate::scores::Scores;

/// How users become vectors, and how these are blended.
///
/// As the paper defines it, baskets decay within their group. (The authors' program has them decay through the whole
/// history.) Of a user with fewer baskets than groups, which the paper leaves open, each basket is a group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TifuKnn {
    /// So many users, the nearest by Euclidean distance, have a say.
    pub neighbours: usize,
    /// What a basket weighs against the one after it in its group: the paper's r_b, above 0 and up to 1.
    pub within: f64,
    /// What a group weighs against the one after it: the paper's r_g, above 0 and up to 1.
    pub across: f64,
    /// Into so many groups, as even as can be, are a user's baskets parted; the later ones are the longer.
    pub groups: usize,
    /// The share of the user's own vector: the paper's alpha, 0 to 1. The neighbours' mean has the rest.
    pub own: f64,
}

impl Default for TifuKnn {
    fn default() -> Self {
        TifuKnn { neighbours: 300, within: 0.9, across: 0.7, groups: 7, own: 0.7 }
    }
}

impl TifuKnn {
    /// What each of so many baskets adds to the vector's places of its items: a group is the mean of its baskets, a user
    /// that of the groups.
    fn weights(&self, baskets: usize) -> Vec<f64> {
        let groups = self.groups.clamp(1, baskets.max(1));
        let mut weights = Vec::with_capacity(baskets);
        let mut of_group = 1.0 / groups as f64;
        for back in 0..groups {
            let size = baskets / groups + usize::from(back < baskets % groups);
            let mut weight = of_group / size as f64;
            for _ in 0..size {
                weights.push(weight);
                weight *= self.within;
            }
            of_group *= self.across;
        }
        weights.reverse();
        weights
    }
}

/// The users of a collection, by item. What it answers is a function of the users that are in it, to the last bit: in
/// whatever order they came, and whatever has been in it and is gone.
///
/// The nearest are exactly those of all users. Distances are |u|² + |v|² − 2 u·v: for users who share an item with the one
/// that is asked about, u·v is added up item by item; of those who share none the shortest vectors are the nearest, and
/// users are kept in order of length. So an answer goes through the users who share an item, and as many more as have a
/// say.
pub struct BasketIndex<U, I> {
    settings: TifuKnn,
    items: FxHashMap<I, u32>,
    /// Of each item, by its number.
    entries: Vec<Entry<I>>,
    /// Numbers whose items no user has any more.
    free_items: Vec<u32>,
    users: FxHashMap<U, u32>,
    slots: Vec<Slot<U>>,
    free_slots: Vec<u32>,
    /// The bits of each |v|², which is not below 0, with the user and the slot: the shortest first.
    lengths: BTreeSet<(u64, U, u32)>,
    scratch: Scratch,
}

struct Entry<I> {
    item: I,
    /// The slots of the users who have it, in order, with its weight for each.
    users: Vec<(u32, f64)>,
}

struct Slot<U> {
    user: U,
    /// |v|².
    square: f64,
    /// Items by number, in order of the items themselves, each with a weight above 0.
    vector: Vec<(u32, f64)>,
}

/// Room that every answer needs, as large as the index. It is as it was after each.
#[derive(Default)]
struct Scratch {
    /// Of each slot u·v; below 0 if its user shares no item.
    dots: Vec<f64>,
    /// Of each item the sum of its weights for the neighbours; 0 if none has it.
    sums: Vec<f64>,
}

/// A user's distance², |v|² and slot. Of those equally near, the shorter vector comes first, then the lesser user.
type Near = (f64, f64, u32);

impl<U: Key, I: Key> BasketIndex<U, I> {
    /// An index without users.
    pub fn new(settings: TifuKnn) -> Self {
        BasketIndex {
            settings,
            items: FxHashMap::default(),
            entries: Vec::new(),
            free_items: Vec::new(),
            users: FxHashMap::default(),
            slots: Vec::new(),
            free_slots: Vec::new(),
            lengths: BTreeSet::new(),
            scratch: Scratch::default(),
        }
    }

    /// How many users are in it.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether no user is in it.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// A row comes, or goes.
    pub fn change(&mut self, row: &Baskets<U, I>, comes: bool) {
        self.remove(&row.user);
        if comes {
            self.insert(row);
        }
    }

    fn insert(&mut self, row: &Baskets<U, I>) {
        let mut weights: BTreeMap<&I, f64> = BTreeMap::new();
        for (basket, weight) in row.baskets.iter().zip(self.settings.weights(row.baskets.len())) {
            basket.iter().for_each(|item| *weights.entry(item).or_default() += weight);
        }
        weights.retain(|_, weight| *weight > 0.0);
        let vector: Vec<(u32, f64)> = weights.into_iter().map(|(item, weight)| (self.number(item), weight)).collect();
        let square = vector.iter().map(|(_, weight)| weight * weight).sum();
        let user = row.user.clone();
        let filled = Slot { user: user.clone(), square, vector };
        let slot = match self.free_slots.pop() {
            Some(slot) => {
                self.slots[slot as usize] = filled;
                slot
            }
            None => {
                self.slots.push(filled);
                self.scratch.dots.push(-1.0);
                self.slots.len() as u32 - 1
            }
        };
        for (number, weight) in &self.slots[slot as usize].vector {
            let users = &mut self.entries[*number as usize].users;
            users.insert(users.partition_point(|(other, _)| *other < slot), (slot, *weight));
        }
        self.lengths.insert((square.to_bits(), user.clone(), slot));
        self.users.insert(user, slot);
    }

    fn remove(&mut self, user: &U) {
        let Some(slot) = self.users.remove(user) else { return };
        let Slot { user, square, vector } = &mut self.slots[slot as usize];
        self.lengths.remove(&(square.to_bits(), user.clone(), slot));
        for (number, _) in std::mem::take(vector) {
            let entry = &mut self.entries[number as usize];
            if let Ok(place) = entry.users.binary_search_by_key(&slot, |(other, _)| *other) {
                entry.users.remove(place);
            }
            if entry.users.is_empty() {
                self.items.remove(&entry.item);
                self.free_items.push(number);
            }
        }
        self.free_slots.push(slot);
    }

    fn number(&mut self, item: &I) -> u32 {
        if let Some(number) = self.items.get(item) {
            return *number;
        }
        let entry = Entry { item: item.clone(), users: Vec::new() };
        let number = match self.free_items.pop() {
            Some(number) => {
                self.entries[number as usize] = entry;
                number
            }
            None => {
                self.entries.push(entry);
                self.scratch.sums.push(0.0);
                self.entries.len() as u32 - 1
            }
        };
        self.items.insert(item.clone(), number);
        number
    }

    /// What a user's next basket may have. Of a user of whom no basket is known: nothing.
    pub fn next(&mut self, user: &U) -> Scores<I> {
        let Some(&own) = self.users.get(user) else { return Scores::new(Vec::new()) };
        let neighbours = self.nearest(own);
        let (sums, share) = (&mut self.scratch.sums, self.settings.own);
        let mut listed: Vec<u32> = Vec::new();
        for (number, weight) in neighbours.iter().flat_map(|near| &self.slots[near.2 as usize].vector) {
            let sum = &mut sums[*number as usize];
            if *sum == 0.0 {
                listed.push(*number);
            }
            *sum += weight;
        }
        let all = neighbours.len().max(1) as f64;
        let mut blend = |number: u32, weight: f64| {
            let mean = std::mem::take(&mut sums[number as usize]) / all;
            (self.entries[number as usize].item.clone(), share * weight + (1.0 - share) * mean)
        };
        let mut scores: Vec<(I, f64)> =
            self.slots[own as usize].vector.iter().map(|(number, weight)| blend(*number, *weight)).collect();
        // Those of the user's own have been taken out by now.
        scores.extend(listed.into_iter().map(|number| blend(number, 0.0)).filter(|(_, score)| *score > 0.0));
        Scores::new(scores)
    }

    /// The users nearest to one, without that one.
    fn nearest(&mut self, own: u32) -> Vec<Near> {
        let TifuKnn { neighbours, .. } = self.settings;
        let (slots, dots) = (&self.slots, &mut self.scratch.dots);
        let Slot { square, vector, .. } = &slots[own as usize];
        let mut sharing = Vec::new();
        // One user's items in their order: sums of floats depend on it.
        for (number, weight) in vector {
            for (slot, other) in &self.entries[*number as usize].users {
                let dot = &mut dots[*slot as usize];
                if *dot < 0.0 {
                    *dot = 0.0;
                    sharing.push(*slot);
                }
                *dot += weight * other;
            }
        }
        let near = |slot: u32, dot: f64| {
            let other = slots[slot as usize].square;
            (square + other - 2.0 * dot, other, slot)
        };
        let apart = self.lengths.iter().map(|(_, _, slot)| *slot).filter(|slot| dots[*slot as usize] < 0.0);
        let apart = apart.filter(|slot| *slot != own).take(neighbours).map(|slot| near(slot, 0.0));
        let mut nearest: Vec<Near> = apart.collect();
        for slot in sharing {
            let dot = std::mem::replace(&mut dots[slot as usize], -1.0);
            if slot != own {
                nearest.push(near(slot, dot));
            }
        }
        let nearest_first = |a: &Near, b: &Near| -> Ordering {
            let users = || slots[a.2 as usize].user.cmp(&slots[b.2 as usize].user);
            a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)).then_with(users)
        };
        if nearest.len() > neighbours {
            if neighbours > 0 {
                nearest.select_nth_unstable_by(neighbours - 1, nearest_first);
            }
            nearest.truncate(neighbours);
        }
        // Sums of floats depend on their order.
        nearest.sort_unstable_by(nearest_first);
        nearest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A user's vector, by the definition: (weight of the basket in its group / its size) in (weight of the group / groups).
    fn vector(settings: TifuKnn, baskets: &[Vec<u8>]) -> BTreeMap<u8, f64> {
        let groups = settings.groups.min(baskets.len());
        let (size, longer) = (baskets.len() / groups, baskets.len() % groups);
        let mut weights = vec![];
        for group in 1..=groups {
            let size = if group > groups - longer { size + 1 } else { size };
            let across = (group..groups).fold(1.0 / groups as f64, |weight, _| weight * settings.across);
            for place in 1..=size {
                weights.push((place..size).fold(across / size as f64, |weight, _| weight * settings.within));
            }
        }
        let mut vector = BTreeMap::new();
        for (basket, weight) in baskets.iter().zip(weights) {
            basket.iter().for_each(|item| *vector.entry(*item).or_insert(0.0) += weight);
        }
        vector
    }

    /// Through all users and all items.
    fn naive(settings: TifuKnn, rows: &BTreeMap<u16, Vec<Vec<u8>>>, user: u16) -> BTreeMap<u8, f64> {
        let Some(own) = rows.get(&user).map(|baskets| vector(settings, baskets)) else { return BTreeMap::new() };
        let square = |vector: &BTreeMap<u8, f64>| vector.values().map(|weight| weight * weight).sum::<f64>();
        let mut others: Vec<(f64, f64, u16, BTreeMap<u8, f64>)> = vec![];
        for (other, baskets) in rows.iter().filter(|(other, _)| **other != user) {
            let vector = vector(settings, baskets);
            let dot = own.iter().fold(0.0, |dot, (item, weight)| dot + weight * vector.get(item).unwrap_or(&0.0));
            others.push((square(&own) + square(&vector) - 2.0 * dot, square(&vector), *other, vector));
        }
        others.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
        others.truncate(settings.neighbours);
        let items: BTreeSet<u8> = own.keys().chain(others.iter().flat_map(|other| other.3.keys())).copied().collect();
        let score = |item: u8| {
            let sum = others.iter().fold(0.0, |sum, other| sum + other.3.get(&item).unwrap_or(&0.0));
            let mean = sum / others.len().max(1) as f64;
            (item, settings.own * own.get(&item).unwrap_or(&0.0) + (1.0 - settings.own) * mean)
        };
        items.into_iter().map(score).filter(|item| item.1 > 0.0).collect()
    }

    fn scored(index: &mut BasketIndex<u16, u8>, user: u16) -> BTreeMap<u8, f64> {
        index.next(&user).iter().copied().collect()
    }

    proptest! {
        #[test]
        fn answers_are_as_defined_whatever_has_come_and_gone(
            steps in prop::collection::vec(
                (0u16..12, prop::collection::vec(prop::collection::btree_set(0u8..14, 1..5), 1..9), prop::bool::weighted(0.3)),
                1..60,
            ),
            neighbours in 0usize..6, groups in 1usize..5, own in 0.0..=1.0,
        ) {
            let settings = TifuKnn { neighbours, groups, own, ..TifuKnn::default() };
            let (mut index, mut rows) = (BasketIndex::new(settings), BTreeMap::new());
            for (user, baskets, goes) in steps {
                let row = |baskets| Baskets { user, baskets };
                if let Some(old) = rows.remove(&user) {
                    index.change(&row(old), false);
                }
                if !goes {
                    let baskets: Vec<Vec<u8>> = baskets.into_iter().map(|items| items.into_iter().collect()).collect();
                    index.change(&row(baskets.clone()), true);
                    rows.insert(user, baskets);
                }
                prop_assert_eq!(index.len(), rows.len());
                let mut fresh = BasketIndex::new(settings);
                for (user, baskets) in rows.iter().rev() {
                    fresh.change(&Baskets { user: *user, baskets: baskets.clone() }, true);
                }
                for user in 0..13 {
                    let scores = scored(&mut index, user);
                    prop_assert_eq!(&scores, &scored(&mut fresh, user));
                    prop_assert_eq!(scores, naive(settings, &rows, user));
                }
            }
            for (user, baskets) in rows {
                index.change(&Baskets { user, baskets }, false);
            }
            prop_assert!(index.is_empty() && index.items.is_empty() && index.lengths.is_empty());
        }
    }

    #[test]
    fn who_shares_nothing_may_be_nearer_than_who_shares_little() {
        // User 1 shares an item and has many others: |v|² is 9, u·v is 1. User 2 shares none, and |v|² is 1.
        let mut index = BasketIndex::new(TifuKnn { neighbours: 1, own: 0.0, ..TifuKnn::default() });
        for (user, items) in [(0u16, vec![0u8]), (1, (0..9).collect()), (2, vec![20])] {
            index.change(&Baskets { user, baskets: vec![items] }, true);
        }
        assert_eq!(index.next(&0).top(5), [(20, 1.0)]);
    }
}
