//! Sums that may fall as well as grow, and the items with the greatest.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::cmp::{Ordering, Reverse};
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
    /// Whose sums have changed in this epoch, some more than once.
    #[serde(skip)]
    touched: Vec<I>,
}

impl<I> Default for Board<I> {
    fn default() -> Self {
        Board { sums: FxHashMap::default(), top: Vec::new(), touched: Vec::new() }
    }
}

impl<I: Data + Ord + Hash> Board<I> {
    /// Adds to an item's sum; says whether this is the epoch's first change.
    fn add(&mut self, item: I, weight: i64) -> bool {
        let sum = self.sums.entry(item.clone()).or_default();
        *sum = sum.saturating_add(weight);
        if *sum == 0 {
            self.sums.remove(&item);
        }
        let first = self.touched.is_empty();
        self.touched.push(item);
        first
    }

    /// Makes the top what it is now, and says what of it has gone and what is new.
    fn settle(&mut self, n: usize, mut say: impl FnMut(&(i64, I), isize)) {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        if touched.len() > FEW || !self.move_few(&touched, n, &mut say) {
            let now = self.sorted(&touched, n);
            differ(&std::mem::replace(&mut self.top, now), &self.top, say);
        }
    }

    /// Moves the touched within the top. Not if it would have to be known who comes next: then it does nothing.
    fn move_few(&mut self, touched: &[I], n: usize, say: &mut impl FnMut(&(i64, I), isize)) -> bool {
        let sum = |item: &I| self.sums.get(item).copied().filter(|sum| *sum > 0);
        let mut moved: Vec<(Option<(i64, I)>, Option<(i64, I)>)> = Vec::with_capacity(touched.len());
        for item in touched {
            let before = self.top.iter().find(|(_, other)| other == item);
            let now = sum(item).map(|sum| (sum, item.clone()));
            if self.top.len() >= n && before.is_some_and(|before| now.as_ref().is_none_or(|now| now.0 < before.0)) {
                return false;
            }
            if before != now.as_ref() {
                moved.push((before.cloned(), now));
            }
        }
        let place = |top: &[(i64, I)], row: &(i64, I)| top.partition_point(|other| best_first(other, row).is_lt());
        for row in moved.iter().filter_map(|(before, _)| before.as_ref()) {
            self.top.remove(place(&self.top, row));
            say(row, -1);
        }
        for row in moved.iter().filter_map(|(_, now)| now.as_ref()) {
            self.top.insert(place(&self.top, row), row.clone());
        }
        let rest = self.top.split_off(n.min(self.top.len()));
        let is_new = |row: &(i64, I)| moved.iter().any(|(_, now)| now.as_ref() == Some(row));
        rest.iter().filter(|row| !is_new(row)).for_each(|row| say(row, -1));
        let new = moved.iter().filter_map(|(_, now)| now.as_ref());
        new.filter(|row| !rest.contains(row)).for_each(|row| say(row, 1));
        true
    }

    /// The top as it is now.
    fn sorted(&self, touched: &[I], n: usize) -> Vec<(i64, I)> {
        let is_touched = |item: &I| touched.binary_search(item).is_ok();
        let sum = |item: &I| self.sums.get(item).copied().filter(|sum| *sum > 0);
        let fell = |(before, item): &(i64, I)| is_touched(item) && sum(item).is_none_or(|now| now < *before);
        let place = |(item, sum): (&I, &i64)| (*sum > 0).then(|| (*sum, item.clone()));
        // Whoever is neither in the top nor touched comes into it only where one of it falls.
        let mut top: Vec<(i64, I)> = if self.top.len() >= n && self.top.iter().any(fell) {
            self.sums.iter().filter_map(place).collect()
        } else {
            let stay = self.top.iter().map(|(_, item)| item).filter(|item| !is_touched(item));
            stay.chain(touched).filter_map(|item| Some((sum(item)?, item.clone()))).collect()
        };
        if top.len() > n {
            top.select_nth_unstable_by(n, best_first);
            top.truncate(n);
        }
        top.sort_unstable_by(best_first);
        top.shrink_to_fit();
        top
    }
}

/// So many items are moved one by one.
const FEW: usize = 4;

/// The sums of one worker's keys.
pub(crate) struct SumsKernel<K, T, I, F, G> {
    key: F,
    weighed: G,
    n: usize,
    keys: Keys<K, Board<I>>,
    /// The keys with sums that have changed in this epoch.
    changed: Vec<K>,
    events: PhantomData<fn(T)>,
}

impl<K, T, I, F, G> SumsKernel<K, T, I, F, G> {
    pub fn new(key: F, weighed: G, n: usize) -> Self {
        SumsKernel { key, weighed, n, keys: Keys::new(), changed: Vec::new(), events: PhantomData }
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
        for Record { value, .. } in records.drain(..) {
            let key = (self.key)(&value);
            let (item, weight) = (self.weighed)(&value);
            let first = match self.keys.get_mut(&key) {
                Some(board) => board.add(item, weight),
                None => self.keys.get_or_default(key.clone()).add(item, weight),
            };
            if first {
                self.changed.push(key);
            }
        }
    }

    fn settle(&mut self, at: Closing, emit: &mut Emit<T, Self::Out>) {
        for key in self.changed.drain(..) {
            let Some(board) = self.keys.get_mut(&key) else { continue };
            board.settle(self.n, |(sum, item), diff| {
                emit.out.push((Summed { key: key.clone(), item: item.clone(), sum: *sum }, at.epoch, diff));
            });
            if board.sums.is_empty() {
                self.keys.remove(&key);
            }
        }
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
    use std::collections::BTreeMap;
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
                for (_, row, diff) in harness.changes() {
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
}
