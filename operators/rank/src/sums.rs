//! Sums that may fall as well as grow, and the items with the greatest.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::cmp::{Ordering, Reverse};
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::marker::PhantomData;
use tidemill::{Closing, Data, Emit, Epoch, Kernel, Key, Keys, Order, Record, Save, Saved, StateError, type_name};

/// An item's sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Summed<K, I> {
    /// The key.
    pub key: K,
    /// The item.
    pub item: I,
    /// The sum of its events' weights, above 0.
    pub sum: i64,
}

/// One key's sums.
#[derive(Clone, Serialize, Deserialize)]
#[serde(bound = "I: Data + Ord + Hash")]
struct Board<I> {
    /// Those that are not 0.
    sums: FxHashMap<I, i64>,
    /// Greatest first; of equal ones, the lesser item first.
    top: Vec<(i64, I)>,
}

impl<I> Default for Board<I> {
    fn default() -> Self {
        Board { sums: FxHashMap::default(), top: Vec::new() }
    }
}

impl<I: Data + Ord + Hash> Board<I> {
    /// Adds an epoch's weights, which are in order of their items, to the sums, and says what of the top has gone and what is
    /// new.
    fn add<K>(&mut self, weights: &[(K, I, i64)], n: usize, mut say: impl FnMut(&(i64, I), isize)) {
        let is_full = self.top.len() >= n;
        let (mut gone, mut new) = (Vec::new(), Vec::new());
        for of_item in weights.chunk_by(|a, b| a.1 == b.1) {
            let item = &of_item[0].1;
            let entry = self.sums.entry(item.clone());
            let before = match &entry {
                Entry::Occupied(sum) => *sum.get(),
                Entry::Vacant(_) => 0,
            };
            let sum = of_item.iter().fold(i128::from(before), |sum, (.., weight)| sum + i128::from(*weight));
            let now = sum.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
            match entry {
                _ if now == before => continue,
                Entry::Occupied(sum) if now == 0 => _ = sum.remove(),
                entry => _ = entry.insert_entry(now),
            }
            let last = self.top.last().filter(|_| is_full);
            // Whatever is before the last of a full top is in it.
            let reaches = |row: &(i64, I)| row.0 > 0 && last.map_or(!is_full, |last| best_first(row, last).is_le());
            gone.extend(Some((before, item.clone())).filter(reaches));
            new.extend(Some((now, item.clone())).filter(reaches));
        }
        if is_full && self.top.len() + new.len() < n + gone.len() {
            let now = self.best(n);
            differ(&std::mem::replace(&mut self.top, now), &self.top, say);
            return;
        }
        new.sort_unstable_by(best_first);
        new.truncate(n);
        gone.iter().for_each(|row| say(row, -1));
        gone.sort_unstable_by(best_first);
        let mut gone = gone.iter().peekable();
        if gone.peek().is_some() {
            self.top.retain(|row| gone.next_if_eq(&row).is_none());
        }
        for row in &new {
            let place = self.top.partition_point(|other| best_first(other, row).is_lt());
            self.top.insert(place, row.clone());
        }
        let rest = self.top.split_off(n.min(self.top.len()));
        let is_new = |row: &&(i64, I)| new.binary_search_by(|other| best_first(other, row)).is_ok();
        rest.iter().filter(|row| !is_new(row)).for_each(|row| say(row, -1));
        let stays = |row: &&(i64, I)| self.top.last().is_some_and(|last| best_first(row, last).is_le());
        new.iter().take_while(stays).for_each(|row| say(row, 1));
    }

    /// The top, from all sums.
    fn best(&self, n: usize) -> Vec<(i64, I)> {
        let above = self.sums.iter().filter(|(_, sum)| **sum > 0);
        let mut top: Vec<_> = above.map(|(item, sum)| (*sum, item.clone())).collect();
        if top.len() > n {
            top.select_nth_unstable_by(n, best_first);
            top.truncate(n);
        }
        top.sort_unstable_by(best_first);
        top.shrink_to_fit();
        top
    }
}

/// The sums of one worker's keys.
pub(crate) struct SumsKernel<K, T, I, F, G> {
    key: F,
    weighed: G,
    n: usize,
    keys: Keys<K, Board<I>>,
    /// What has come in this epoch.
    weights: Vec<(K, I, i64)>,
    events: PhantomData<fn(T)>,
}

impl<K, T, I, F, G> SumsKernel<K, T, I, F, G> {
    pub fn new(key: F, weighed: G, n: usize) -> Self {
        SumsKernel { key, weighed, n, keys: Keys::new(), weights: Vec::new(), events: PhantomData }
    }
}

fn best_first<I: Ord>(a: &(i64, I), b: &(i64, I)) -> Ordering {
    (Reverse(a.0), &a.1).cmp(&(Reverse(b.0), &b.1))
}

/// Says what of a top has gone, and what is new.
fn differ<I: Ord>(before: &[(i64, I)], now: &[(i64, I)], mut say: impl FnMut(&(i64, I), isize)) {
    let (mut before, mut now) = (before.iter().peekable(), now.iter().peekable());
    loop {
        let first = match (before.peek(), now.peek()) {
            (Some(gone), Some(new)) => best_first(gone, new),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return,
        };
        if first.is_le()
            && let Some(gone) = before.next()
            && first.is_lt()
        {
            say(gone, -1);
        }
        if first.is_ge()
            && let Some(new) = now.next()
            && first.is_gt()
        {
            say(new, 1);
        }
    }
}

impl<K, T, I, F, G> Kernel for SumsKernel<K, T, I, F, G>
where
    K: Key,
    T: Data,
    I: Data + Ord + Hash,
    F: Fn(&T) -> K + 'static,
    G: Fn(&T) -> (I, i64) + 'static,
{
    type In = T;
    type Out = (Summed<K, I>, Epoch, isize);

    fn kind(&self) -> String {
        format!("top {} sums", self.n)
    }

    fn state(&self) -> String {
        type_name::<Board<I>>()
    }

    fn order(&self) -> Order {
        Order::Any
    }

    fn records(&mut self, _: Closing, records: &mut Vec<Record<T>>, _: &mut Emit<T, Self::Out>) {
        self.weights.extend(records.drain(..).map(|Record { value, .. }| {
            let (item, weight) = (self.weighed)(&value);
            ((self.key)(&value), item, weight)
        }));
    }

    fn settle(&mut self, at: Closing, emit: &mut Emit<T, Self::Out>) {
        // One key after the other: what is known of a key is read once, and lies in the cache then.
        self.weights.sort_unstable();
        for of_key in self.weights.chunk_by(|a, b| a.0 == b.0) {
            let key = &of_key[0].0;
            let board = self.keys.get_or_default(key.clone());
            let first = emit.out.len();
            board.add(of_key, self.n, |(sum, item), diff| {
                emit.out.push((Summed { key: key.clone(), item: item.clone(), sum: *sum }, at.epoch, diff));
            });
            // In order: whoever follows sorts them.
            emit.out[first..].sort_unstable();
            if board.sums.is_empty() {
                self.keys.remove(key);
            }
        }
        self.weights.clear();
    }

    fn save(&mut self, save: &mut Save) {
        self.keys.save(save);
    }

    fn load(&mut self, at: Closing, entry: Saved<'_>, emit: &mut Emit<T, Self::Out>) -> Result<(), StateError> {
        let (key, board) = self.keys.load(entry)?;
        let row = |(sum, item): &(i64, I)| Summed { key: key.clone(), item: item.clone(), sum: *sum };
        emit.out.extend(board.top.iter().map(|of| (row(of), at.epoch, 1)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};
    use tidemill::harness::Harness;

    proptest! {
        #[test]
        fn the_top_is_what_adding_up_and_sorting_gives_after_every_epoch(
            epochs in prop::collection::vec(prop::collection::vec((0u8..3, 0u16..9, -3i64..5), 0..30), 1..12),
            n in 0usize..5, workers in 1usize..5, cut in 0usize..12, after in 1usize..5,
        ) {
            type Event = (u8, u16, i64);
            let key = |event: &Event| event.0;
            let make = move || SumsKernel::new(key, |event: &Event| (event.1, event.2), n);
            let mut harness = Harness::kernel(workers, key, make);
            let (mut sums, mut rows) = (BTreeMap::<_, i64>::new(), BTreeMap::<_, isize>::new());
            for (number, epoch) in epochs.into_iter().enumerate() {
                for event in epoch {
                    harness.push(0, event);
                    *sums.entry((event.0, event.1)).or_default() += event.2;
                }
                harness.close_epoch();
                let changes = harness.changes();
                let changed: BTreeSet<_> = changes.iter().map(|(_, row, _)| row).collect();
                prop_assert_eq!(changed.len(), changes.len(), "a row is said twice: {:?}", &changes);
                for (_, row, diff) in changes {
                    *rows.entry(row).or_default() += diff;
                }
                rows.retain(|_, count| *count != 0);
                let mut all: Vec<_> = sums.iter().filter(|(_, sum)| **sum > 0).collect();
                all.sort_by_key(|((key, item), sum)| (*key, Reverse(**sum), *item));
                let tops = all.chunk_by(|a, b| a.0.0 == b.0.0).flat_map(|key| key.iter().take(n));
                let tops: BTreeMap<_, _> =
                    tops.map(|((key, item), sum)| (Summed { key: *key, item: *item, sum: **sum }, 1)).collect();
                prop_assert_eq!(&rows, &tops);
                if number == cut {
                    let again = harness.restore(after).unwrap();
                    let again: BTreeMap<_, _> = again.into_iter().map(|(row, _, diff)| (row, diff)).collect();
                    prop_assert_eq!(&again, &rows);
                }
            }
            for ((key, item), sum) in sums {
                harness.push(0, (key, item, -sum));
            }
            harness.close_epoch();
            prop_assert!(harness.is_empty(), "sums of 0 are kept");
        }
    }

    #[test]
    fn a_sum_stops_at_what_its_number_holds_and_what_cancels_out_changes_nothing() {
        type Event = (u8, u16, i64);
        let key = |event: &Event| event.0;
        let mut harness = Harness::kernel(1, key, move || SumsKernel::new(key, |event: &Event| (event.1, event.2), 1));
        let mut sums = |weights: &[i64]| -> Vec<(i64, isize)> {
            weights.iter().for_each(|weight| harness.push(0, (0, 1, *weight)));
            harness.close_epoch();
            harness.changes().into_iter().map(|(_, row, diff)| (row.sum, diff)).collect()
        };
        assert_eq!(sums(&[5, -5]), []);
        assert_eq!(sums(&[i64::MAX, 9, -11]), [(i64::MAX - 2, 1)]);
        assert_eq!(sums(&[9]), [(i64::MAX - 2, -1), (i64::MAX, 1)]);
        assert_eq!(sums(&[-1, 1]), []);
    }
}
