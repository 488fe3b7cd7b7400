//! Which items follow which: an owner's touches as pairs, the nearer the heavier.

use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};
use tidemill::{
    Closing, Emit, Kernel, Key, Keyed, Keys, Order, Record, Result, Save, Saved, StateError, Stream, Update, type_name,
};

use crate::touch::{Same, Touch, Touches, change};

/// By how much the weight of an item after another changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Link<I> {
    /// The item that comes first.
    pub from: I,
    /// The one that comes after it.
    pub to: I,
    /// What is added to the weight of the pair, or taken from it.
    pub weight: i64,
}

/// What two touches of an owner, one right after the other, weigh. It is divided without remainder by every distance up to
/// 10, so that sums are exact and what is taken back leaves nothing.
pub const WEIGHT: i64 = 2_520;

/// Links of touches.
pub trait Linked<'s, U: Key, I: Key> {
    /// Of each two touches of an owner that are at most `reach` places apart: [`WEIGHT`] divided by how many, as the weight of
    /// the later item after the earlier one. An item does not follow itself. What it gives are changes: a touch that comes
    /// late, or is taken back, takes back the weights that are no longer so. Each two touches are a change of their own, also
    /// where others of the owner have the same two items. By item, the sums are `tidemill-rank`'s `top_sums`.
    ///
    /// State: the touches that hold.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`](tidemill::Error::Graph) if the name is taken.
    fn links(self, name: &str, reach: usize) -> Result<Stream<'s, Link<I>>>;

    /// Of each two different items of an owner, in whatever order: 1 as the weight of either beside the other. So the owner is
    /// a basket, and the sums say in how many baskets both are. Only an owner's first `cap` items by time are paired, for a
    /// basket of a thousand would be a million pairs. An item with itself has weight 1: the sums say in how many
    /// baskets it is.
    ///
    /// State: the touches that hold.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`](tidemill::Error::Graph) if the name is taken.
    fn beside(self, name: &str, cap: usize) -> Result<Stream<'s, Link<I>>>;
}

impl<'s, U, I, F> Linked<'s, U, I> for Keyed<'s, Update<Touch<U, I>>, F>
where
    U: Key,
    I: Key,
    F: Fn(&Update<Touch<U, I>>) -> U + Clone + 'static,
{
    fn links(self, name: &str, reach: usize) -> Result<Stream<'s, Link<I>>> {
        Ok(self.kernel(name, LinksKernel::new(After { reach }))?.0)
    }

    fn beside(self, name: &str, cap: usize) -> Result<Stream<'s, Link<I>>> {
        Ok(self.kernel(name, LinksKernel::new(Beside { cap }))?.0)
    }
}

/// Which pairs an owner's touches make.
pub(crate) trait Pairs: 'static {
    /// How it is called.
    fn kind(&self) -> String;

    /// Adds the pairs of the touches as they are `now`, and takes away those of `before`; pairs that both make, and that can
    /// be told by what is the `same`, may be left out of both.
    fn differ<I: Key>(&self, before: &Touches<I>, now: &Touches<I>, same: Same, links: &mut Vec<Link<I>>);
}

/// See [`Linked::links`].
pub(crate) struct After {
    pub reach: usize,
}

impl After {
    fn add<I: Key>(&self, touches: &Touches<I>, same: Same, diff: i64, links: &mut Vec<Link<I>>) {
        // Two touches that are both before the change, or both behind it, are as far apart as they were.
        let behind = touches.len() - same.end;
        let last = touches.len().min(behind + self.reach);
        for later in same.start..last {
            let to = &touches[later].2;
            let earlier = (1..).zip(touches[..later].iter().rev()).take(self.reach);
            for (apart, (_, _, from)) in earlier.skip(later.saturating_sub(behind)) {
                if from != to {
                    links.push(Link { from: from.clone(), to: to.clone(), weight: diff * (WEIGHT / apart) });
                }
            }
        }
    }
}

impl Pairs for After {
    fn kind(&self) -> String {
        format!("links {} touches far", self.reach)
    }

    fn differ<I: Key>(&self, before: &Touches<I>, now: &Touches<I>, same: Same, links: &mut Vec<Link<I>>) {
        self.add(before, same, -1, links);
        self.add(now, same, 1, links);
    }
}

/// See [`Linked::beside`].
pub(crate) struct Beside {
    pub cap: usize,
}

impl Beside {
    /// What is in the basket.
    fn items<'a, I: Key>(&self, touches: &'a Touches<I>) -> FxHashSet<&'a I> {
        let mut items = FxHashSet::default();
        for (_, _, item) in touches {
            if items.len() == self.cap {
                break;
            }
            items.insert(item);
        }
        items
    }

    /// Adds the pairs of which one is among `some`; all of these are among `items`.
    fn add<I: Key>(items: &FxHashSet<&I>, some: &[&I], diff: i64, links: &mut Vec<Link<I>>) {
        let chosen: FxHashSet<&I> = some.iter().copied().collect();
        let mut items: Vec<&I> = items.iter().copied().collect();
        items.sort_unstable();
        let link = |from: &I, to: &I| Link { from: from.clone(), to: to.clone(), weight: diff };
        for one in some {
            for other in &items {
                links.push(link(one, other));
                if !chosen.contains(other) {
                    links.push(link(other, one));
                }
            }
        }
    }
}

impl Pairs for Beside {
    fn kind(&self) -> String {
        format!("pairs of {} items", self.cap)
    }

    fn differ<I: Key>(&self, before: &Touches<I>, now: &Touches<I>, _: Same, links: &mut Vec<Link<I>>) {
        let (before, now) = (self.items(before), self.items(now));
        let [mut gone, mut new]: [Vec<&I>; 2] =
            [before.difference(&now), now.difference(&before)].map(|items| items.copied().collect());
        gone.sort_unstable();
        new.sort_unstable();
        Self::add(&before, &gone, -1, links);
        Self::add(&now, &new, 1, links);
    }
}

/// One worker's owners.
pub(crate) struct LinksKernel<U, I, P> {
    pairs: P,
    owners: Keys<U, Touches<I>>,
    epoch: FxHashMap<U, Vec<Record<Update<Touch<U, I>>>>>,
    links: Vec<Link<I>>,
}

impl<U: Key, I: Key, P: Pairs> LinksKernel<U, I, P> {
    pub fn new(pairs: P) -> Self {
        LinksKernel { pairs, owners: Keys::new(), epoch: FxHashMap::default(), links: Vec::new() }
    }
}

impl<U: Key, I: Key, P: Pairs> Kernel for LinksKernel<U, I, P> {
    type In = Update<Touch<U, I>>;
    type Out = Record<Link<I>>;

    fn kind(&self) -> String {
        self.pairs.kind()
    }

    fn state(&self) -> String {
        type_name::<Touches<I>>()
    }

    fn order(&self) -> Order {
        Order::Any
    }

    fn records(&mut self, _: Closing, records: &mut Vec<Record<Self::In>>, _: &mut Emit<Self::In, Self::Out>) {
        for record in records.drain(..) {
            self.epoch.entry(record.value.row.owner.clone()).or_default().push(record);
        }
    }

    fn settle(&mut self, _: Closing, emit: &mut Emit<Self::In, Self::Out>) {
        for (owner, mut changes) in self.epoch.drain() {
            let Some(first) = changes.iter().map(|change| (change.time, change.seq)).min() else { continue };
            let touches = self.owners.get_or_default(owner.clone());
            let before = touches.clone();
            let same = change(touches, &mut changes);
            self.pairs.differ(&before, touches, same, &mut self.links);
            if touches.is_empty() {
                self.owners.remove(&owner);
            }
            let (time, seq) = first;
            let record = |(nth, value)| Record { time, seq: seq.child(nth), value };
            emit.out.extend(self.links.drain(..).enumerate().map(record));
        }
    }

    fn save(&mut self, save: &mut Save) {
        self.owners.save(save);
    }

    fn load(&mut self, _: Closing, entry: Saved<'_>, _: &mut Emit<Self::In, Self::Out>) -> Result<(), StateError> {
        self.owners.load(entry).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use tidemill::Seq;
    use tidemill::harness::Harness;

    type Held = BTreeMap<(u8, i64, u64), u8>;

    /// By the definitions.
    fn after(held: &Held, reach: usize) -> BTreeMap<(u8, u8), i64> {
        let mut weights = BTreeMap::new();
        let all: Vec<_> = held.iter().collect();
        for owner in all.chunk_by(|a, b| a.0.0 == b.0.0) {
            for (later, (_, to)) in owner.iter().enumerate() {
                for (earlier, (_, from)) in owner.iter().enumerate().take(later) {
                    if later - earlier <= reach && from != to {
                        *weights.entry((**from, **to)).or_default() += WEIGHT / (later - earlier) as i64;
                    }
                }
            }
        }
        weights
    }

    fn beside(held: &Held, cap: usize) -> BTreeMap<(u8, u8), i64> {
        let mut weights = BTreeMap::new();
        let all: Vec<_> = held.iter().collect();
        for owner in all.chunk_by(|a, b| a.0.0 == b.0.0) {
            let mut items = vec![];
            for (_, item) in owner {
                if !items.contains(item) && items.len() < cap {
                    items.push(item);
                }
            }
            for one in &items {
                for other in &items {
                    *weights.entry((**one, **other)).or_default() += 1;
                }
            }
        }
        weights
    }

    /// Touches that come, late or not, and are taken back, some all at once, some in the epoch they come in.
    fn run<P: Pairs>(
        epochs: Vec<Vec<(u8, i64, u8, bool)>>,
        (workers, cut, after): (usize, usize, usize),
        make: impl Fn() -> P + 'static,
        expected: impl Fn(&Held) -> BTreeMap<(u8, u8), i64>,
    ) -> Result<(), TestCaseError> {
        let owner = |change: &Update<Touch<u8, u8>>| change.row.owner;
        let mut harness = Harness::kernel(workers, owner, move || LinksKernel::new(make()));
        let (mut held, mut sums, mut number) = (Held::new(), BTreeMap::<(u8, u8), i64>::new(), 0);
        let touch = |(owner, time, number): (u8, i64, u64), item, diff| {
            (time, Update { row: Touch { owner, time, seq: Seq::new(0, number), item }, diff })
        };
        for (epoch, changes) in epochs.into_iter().enumerate() {
            for (owner, time, item, gone) in changes {
                if !gone && item == 7 {
                    // One is taken back and comes again.
                    if let Some((key, item)) = held.range((owner, time, 0)..).next() {
                        for diff in [-1, 1] {
                            let (time, change) = touch(*key, *item, diff);
                            harness.push(time, change);
                        }
                    }
                } else if gone && item == 0 {
                    // The owner is forgotten.
                    let all: Vec<_> = held.keys().filter(|key| key.0 == owner).copied().collect();
                    for key in all {
                        let (time, change) = touch(key, held.remove(&key).unwrap(), -1);
                        harness.push(time, change);
                    }
                } else if gone {
                    // Some touch is taken back, if there is one that late.
                    if let Some(key) = held.range((owner, time, 0)..).next().map(|(key, _)| *key) {
                        let (time, change) = touch(key, held.remove(&key).unwrap(), -1);
                        harness.push(time, change);
                    }
                } else {
                    let key = (owner, time, number);
                    number += 1;
                    held.insert(key, item);
                    let (time, change) = touch(key, item, 1);
                    harness.push(time, change);
                }
            }
            harness.close_epoch();
            for Link { from, to, weight } in harness.out() {
                prop_assert!(weight != 0);
                *sums.entry((from, to)).or_default() += weight;
            }
            sums.retain(|_, weight| *weight != 0);
            prop_assert_eq!(&sums, &expected(&held));
            if epoch == cut {
                prop_assert_eq!(harness.restore(after).unwrap(), vec![]);
            }
        }
        for (key, item) in held {
            let (time, change) = touch(key, item, -1);
            harness.push(time, change);
        }
        harness.close_epoch();
        prop_assert!(harness.is_empty(), "owners without touches are kept");
        Ok(())
    }

    fn epochs() -> impl Strategy<Value = Vec<Vec<(u8, i64, u8, bool)>>> {
        prop::collection::vec(
            prop::collection::vec((0u8..3, 0i64..40, 0u8..8, prop::bool::weighted(0.3)), 0..12),
            1..10,
        )
    }

    proptest! {
        #[test]
        fn links_are_those_of_the_touches_that_hold(
            epochs in epochs(), reach in 1usize..6, workers in 1usize..4, cut in 0usize..10, after_cut in 1usize..4,
        ) {
            run(epochs, (workers, cut, after_cut), move || After { reach }, |held| after(held, reach))?;
        }

        #[test]
        fn pairs_are_those_of_the_baskets_as_they_are(
            epochs in epochs(), cap in 1usize..6, workers in 1usize..4, cut in 0usize..10, after_cut in 1usize..4,
        ) {
            run(epochs, (workers, cut, after_cut), move || Beside { cap }, |held| beside(held, cap))?;
        }
    }
}
