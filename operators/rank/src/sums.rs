//! Sums that may fall as well as grow, and the items with the greatest.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::cmp::{Ordering, Reverse};
use std::hash::Hash;
use std::marker::PhantomData;
use tidemill::differential_dataflow::consolidation::consolidate;
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

/// One key's sums, none of which is 0.
#[derive(Clone, Serialize, Deserialize)]
#[serde(bound = "I: Data + Ord + Hash")]
struct Board<I> {
    /// The items with the greatest, in order of items.
    top: Vec<(I, i64)>,
    /// All others.
    rest: FxHashMap<I, i64>,
    /// The last row of a full top. None if there is none, or if it has to be looked for.
    #[serde(skip)]
    last: Option<(i64, I)>,
}

impl<I> Default for Board<I> {
    fn default() -> Self {
        Board { top: Vec::new(), rest: FxHashMap::default(), last: None }
    }
}

impl<I: Data + Ord + Hash> Board<I> {
    /// Adds an epoch's weights, which are in order of their items, to the sums, and says what of the top has gone and what is
    /// new. A row may be said to be new and gone again.
    fn add<K>(&mut self, weights: &[(K, I, i64)], n: usize, mut say: impl FnMut(&I, i64, isize)) {
        let is_full = self.top.len() >= n;
        let last = self.last.take().or_else(|| is_full.then(|| self.find_last()).flatten());
        let reaches = |item: &I, sum: i64| match &last {
            Some((least, last)) => sum > 0 && best_first((sum, item), (*least, last)).is_le(),
            None => sum > 0 && !is_full,
        };
        let (mut place, mut last_changes, mut some_fall, mut rise) = (0, false, false, Vec::new());
        for of_item in weights.chunk_by(|a, b| a.1 == b.1) {
            let item = &of_item[0].1;
            place += self.top[place..].partition_point(|row| row.0 < *item);
            let in_top = self.top.get_mut(place).filter(|row| row.0 == *item).map(|row| &mut row.1);
            let before = match &in_top {
                Some(sum) => **sum,
                None => self.rest.get(item).copied().unwrap_or_default(),
            };
            let sum = of_item.iter().fold(i128::from(before), |sum, (.., weight)| sum + i128::from(*weight));
            let now = sum.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
            if now == before {
                continue;
            }
            match in_top {
                Some(sum) if reaches(item, now) => {
                    *sum = now;
                    say(item, before, -1);
                    say(item, now, 1);
                    last_changes |= last.as_ref().is_some_and(|last| last.1 == *item);
                    continue;
                }
                Some(sum) => {
                    // It is dropped from the top below.
                    *sum = 0;
                    say(item, before, -1);
                    some_fall = true;
                }
                None => rise.extend(reaches(item, now).then(|| (now, item.clone()))),
            }
            match now {
                0 => _ = self.rest.remove(item),
                now => _ = self.rest.insert(item.clone(), now),
            }
        }
        if some_fall {
            self.top.retain(|row| row.1 != 0);
            // Whoever has risen is before all others that may take their places.
            let free = n.saturating_sub(self.top.len());
            if rise.len() < free {
                rise = self.best_of_rest(free);
            }
        }
        if !some_fall && !last_changes && rise.is_empty() {
            self.last = last;
        }
        self.enter(rise, n, &mut say);
    }

    /// Makes the top one of `n` rows, whatever it was before.
    fn fit(&mut self, n: usize) {
        let others = self.best_of_rest(n.saturating_sub(self.top.len()));
        self.enter(others, n, &mut |_, _, _| ());
    }

    /// Takes others into the top, and leaves its `n` best there.
    fn enter(&mut self, mut others: Vec<(i64, I)>, n: usize, say: &mut impl FnMut(&I, i64, isize)) {
        if others.len() > n {
            others.select_nth_unstable_by(n, |a, b| best_first((a.0, &a.1), (b.0, &b.1)));
            others.truncate(n);
        }
        if !others.is_empty() {
            for (sum, item) in others {
                self.rest.remove(&item);
                say(&item, sum, 1);
                self.top.push((item, sum));
            }
            self.top.sort_by(|a, b| a.0.cmp(&b.0)); // all but the last ones are in order
        }
        if self.top.len() > n {
            let mut rows: Vec<(i64, &I)> = self.top.iter().map(|(item, sum)| (*sum, item)).collect();
            rows.select_nth_unstable_by(n, |a, b| best_first(*a, *b));
            let mut surplus: Vec<(I, i64)> = rows.drain(n..).map(|(sum, item)| (item.clone(), sum)).collect();
            surplus.sort_unstable();
            let mut gone = surplus.iter().peekable();
            self.top.retain(|row| gone.next_if_eq(&row).is_none());
            for (item, sum) in surplus {
                say(&item, sum, -1);
                self.rest.insert(item, sum);
            }
        }
    }

    /// The last row of the top.
    fn find_last(&self) -> Option<(i64, I)> {
        let last = self.top.iter().max_by(|a, b| best_first((a.1, &a.0), (b.1, &b.0)));
        last.map(|(item, sum)| (*sum, item.clone()))
    }

    /// Of the items that are not in the top the `n` best.
    fn best_of_rest(&self, n: usize) -> Vec<(i64, I)> {
        let above = self.rest.iter().filter(|(_, sum)| **sum > 0);
        let mut best: Vec<(i64, &I)> = above.map(|(item, sum)| (*sum, item)).collect();
        if best.len() > n {
            best.select_nth_unstable_by(n, |a, b| best_first(*a, *b));
            best.truncate(n);
        }
        best.into_iter().map(|(sum, item)| (sum, item.clone())).collect()
    }

    /// The same sums, as the first version of this kept them: all of them, and of those in the top the rows again.
    fn of_first_version(mut rest: FxHashMap<I, i64>, top: Vec<(i64, I)>) -> Self {
        let mut top: Vec<(I, i64)> = top.into_iter().map(|(sum, item)| (item, sum)).collect();
        top.sort_unstable();
        top.iter().for_each(|(item, _)| _ = rest.remove(item));
        Board { top, rest, last: None }
    }
}

/// How sums are written down: the second way.
const VERSION: u32 = 1;

/// The sums of one worker's keys.
pub(crate) struct SumsKernel<K, T, I, F, G> {
    key: F,
    weighed: G,
    n: usize,
    keys: Keys<K, Board<I>>,
    /// What has come in this epoch.
    weights: Vec<(K, I, i64)>,
    /// What has changed of one key.
    rows: Vec<(Summed<K, I>, isize)>,
    events: PhantomData<fn(T)>,
}

impl<K, T, I, F, G> SumsKernel<K, T, I, F, G> {
    pub fn new(key: F, weighed: G, n: usize) -> Self {
        SumsKernel { key, weighed, n, keys: Keys::new(), weights: Vec::new(), rows: Vec::new(), events: PhantomData }
    }
}

/// The order of sums and their items: the greatest first, of equal ones the lesser item.
fn best_first<I: Ord>(a: (i64, &I), b: (i64, &I)) -> Ordering {
    (Reverse(a.0), a.1).cmp(&(Reverse(b.0), b.1))
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

    fn version(&self) -> u32 {
        VERSION
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
            board.add(of_key, self.n, |item, sum, diff| {
                self.rows.push((Summed { key: key.clone(), item: item.clone(), sum }, diff));
            });
            if board.top.is_empty() && board.rest.is_empty() {
                self.keys.remove(key);
            }
            consolidate(&mut self.rows);
            emit.out.extend(self.rows.drain(..).map(|(row, diff)| (row, at.epoch, diff)));
        }
        self.weights.clear();
    }

    fn save(&mut self, save: &mut Save) {
        self.keys.save(save);
    }

    fn load(&mut self, at: Closing, entry: Saved<'_>, emit: &mut Emit<T, Self::Out>) -> Result<(), StateError> {
        let (key, board) = self.keys.load_by(entry, VERSION, |old| match entry.version {
            VERSION => old.read(),
            _ => Ok(Board::of_first_version(old.read()?, old.read()?)),
        })?;
        // Another number of rows may have been asked for then.
        board.fit(self.n);
        let row = |(item, sum): &(I, i64)| Summed { key: key.clone(), item: item.clone(), sum: *sum };
        emit.out.extend(board.top.iter().map(|of| (row(of), at.epoch, 1)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};
    use tidemill::Seq;
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

    #[test]
    fn sums_that_the_first_version_wrote_down_go_on_with_as_many_rows_as_are_asked_for_now() {
        type Event = (u8, u16, i64);
        let sums = FxHashMap::from_iter([(1u16, 5i64), (2, 7), (3, -1), (4, 6)]);
        let state = postcard::to_stdvec(&(sums, vec![(7i64, 2u16)])).unwrap();
        let rows = |n: usize| -> (Vec<(u16, i64)>, Vec<(u16, i64, isize)>) {
            let key = |event: &Event| event.0;
            let mut kernel = SumsKernel::new(key, |event: &Event| (event.1, event.2), n);
            let (at, mut emit) = (Closing { epoch: 1, before: 0, after: 0 }, Emit::default());
            kernel.load(at, Saved { version: 0, key: &[9], value: &state }, &mut emit).unwrap();
            let loaded = emit.out.drain(..).map(|(row, ..)| (row.item, row.sum)).collect();
            kernel.records(at, &mut vec![Record { time: 0, seq: Seq::new(0, 0), value: (9, 2, -4) }], &mut emit);
            kernel.settle(at, &mut emit);
            (loaded, emit.out.into_iter().map(|(row, _, diff)| (row.item, row.sum, diff)).collect())
        };
        assert_eq!(rows(1), (vec![(2, 7)], vec![(2, 7, -1), (4, 6, 1)]));
        assert_eq!(rows(2), (vec![(2, 7), (4, 6)], vec![(1, 5, 1), (2, 7, -1)]));
        assert_eq!(rows(0), (vec![], vec![]));
        assert_eq!(rows(usize::MAX), (vec![(1, 5), (2, 7), (4, 6)], vec![(2, 3, 1), (2, 7, -1)]));
    }
}
