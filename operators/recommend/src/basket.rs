//! Users' last baskets as rows.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;
use tidemill::time::BEGINNING;
use tidemill::{Key, Maintain, Millis, Order, Record, Update};

use crate::touch::{Touch, Touches, change};

/// What a user bought last, basket by basket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Baskets<U, I> {
    /// Who.
    pub user: U,
    /// The last baskets, the latest last. In each every item once, the least first.
    pub baskets: Vec<Vec<I>>,
}

/// Keeps of each user the last baskets, as one [`Baskets`].
///
/// What a user touches is a basket and an item in it: an order's lines need not have the same time. Baskets are in order of
/// their first touch that holds, so a basket of which every line is cancelled was never there. Of each the first `cap`
/// different items by time count, as for [`Linked::beside`](crate::Linked::beside).
///
/// State: the touches that hold.
pub struct LastBaskets<U, B, I> {
    n: usize,
    cap: usize,
    touches: PhantomData<fn(U, B, I)>,
}

impl<U, B, I> LastBaskets<U, B, I> {
    /// The last `n`, of up to `cap` items each.
    pub fn new(n: usize, cap: usize) -> Self {
        LastBaskets { n, cap, touches: PhantomData }
    }
}

impl<U: Key, B: Key, I: Key> Maintain for LastBaskets<U, B, I> {
    type Key = U;
    type In = Update<Touch<U, (B, I)>>;
    type State = Touches<(B, I)>;
    type Row = Baskets<U, I>;

    const ORDER: Order = Order::Any;

    fn update(&self, _: &U, touches: &mut Self::State, changes: &mut Vec<Record<Self::In>>) {
        change(touches, changes);
    }

    fn rows(&self, user: &U, touches: &Self::State, rows: &mut Vec<Self::Row>) {
        let mut places: FxHashMap<&B, usize> = FxHashMap::default();
        let mut baskets: Vec<Vec<&I>> = Vec::new();
        for (_, _, (basket, item)) in touches {
            let place = *places.entry(basket).or_insert(baskets.len());
            if place == baskets.len() {
                baskets.push(Vec::new());
            }
            let items = &mut baskets[place];
            if items.len() < self.cap && !items.contains(&item) {
                items.push(item);
            }
        }
        let mut baskets = baskets.split_off(baskets.len().saturating_sub(self.n));
        baskets.iter_mut().for_each(|items| items.sort_unstable());
        if !baskets.is_empty() {
            let baskets = baskets.into_iter().map(|items| items.into_iter().cloned().collect()).collect();
            rows.push(Baskets { user: user.clone(), baskets });
        }
    }

    /// Whoever has no touch is not kept.
    fn expires(&self, _: &U, touches: &Self::State) -> Option<Millis> {
        touches.is_empty().then_some(BEGINNING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use tidemill::Seq;
    use tidemill::harness::Harness;

    /// The basket and the item of a user's touch, by its time and number.
    type Held = BTreeMap<(u8, i64, u64), (u8, u8)>;

    /// By the definition.
    fn baskets(held: &Held, n: usize, cap: usize) -> BTreeMap<Baskets<u8, u8>, isize> {
        let all: Vec<_> = held.iter().collect();
        let of_user = |touches: &[(&(u8, i64, u64), &(u8, u8))]| {
            let mut baskets: Vec<(u8, Vec<u8>)> = vec![];
            for (_, (basket, item)) in touches {
                if !baskets.iter().any(|other| other.0 == *basket) {
                    baskets.push((*basket, vec![]));
                }
                let items = &mut baskets.iter_mut().find(|other| other.0 == *basket).unwrap().1;
                if !items.contains(item) && items.len() < cap {
                    items.push(*item);
                }
            }
            let mut last: Vec<Vec<u8>> = baskets.into_iter().rev().take(n).map(|basket| basket.1).collect();
            last.reverse();
            last.iter_mut().for_each(|items| items.sort());
            (Baskets { user: touches[0].0.0, baskets: last }, 1)
        };
        all.chunk_by(|a, b| a.0.0 == b.0.0).map(of_user).collect()
    }

    proptest! {
        #[test]
        fn rows_are_the_baskets_of_the_touches_that_hold(
            epochs in prop::collection::vec(
                prop::collection::vec((0u8..3, 0i64..40, 0u8..5, 0u8..7, prop::bool::weighted(0.3)), 0..12), 1..10,
            ),
            n in 1usize..4, cap in 1usize..5, workers in 1usize..4, cut in 0usize..10, after in 1usize..4,
        ) {
            let user = |change: &Update<Touch<u8, (u8, u8)>>| change.row.owner;
            let mut harness = Harness::maintain(workers, user, move || LastBaskets::new(n, cap));
            let (mut held, mut rows, mut number) = (Held::new(), BTreeMap::new(), 0);
            let touch = |(owner, time, number): (u8, i64, u64), item, diff| {
                (time, Update { row: Touch { owner, time, seq: Seq::new(0, number), item }, diff })
            };
            for (epoch, changes) in epochs.into_iter().enumerate() {
                for (user, time, basket, item, gone) in changes {
                    if !gone {
                        held.insert((user, time, number), (basket, item));
                        let (time, change) = touch((user, time, number), (basket, item), 1);
                        harness.push(time, change);
                        number += 1;
                    } else if let Some(key) = held.range((user, time, 0)..).next().map(|(key, _)| *key) {
                        let (time, change) = touch(key, held.remove(&key).unwrap(), -1);
                        harness.push(time, change);
                    }
                }
                harness.close_epoch();
                for (_, row, diff) in harness.changes() {
                    *rows.entry(row).or_insert(0) += diff;
                }
                rows.retain(|_, count| *count != 0);
                prop_assert_eq!(&rows, &baskets(&held, n, cap));
                if epoch == cut {
                    let again: BTreeMap<_, _> =
                        harness.restore(after).unwrap().into_iter().map(|(row, _, diff)| (row, diff)).collect();
                    prop_assert_eq!(&again, &rows);
                }
            }
            for (key, item) in held {
                let (time, change) = touch(key, item, -1);
                harness.push(time, change);
            }
            harness.watermark(100);
            prop_assert!(harness.is_empty(), "users without touches are kept");
        }
    }
}
