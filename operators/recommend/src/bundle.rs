//! What is bought together: pairs of items, how many baskets have both, and what that says.

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::marker::PhantomData;
use tidemill::time::BEGINNING;
use tidemill::{Collection, Key, Keyed, Maintain, Millis, Order, Record, Result, Update};

use crate::items::{ItemIndex, ItemRow, WithItems};
use crate::scores::Scores;
use crate::touch::Touch;

/// Two items that are in baskets together, as counts. What is made of them is computed when it is asked for: kept, a share of
/// all baskets would change for all pairs with each basket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Bundle<I> {
    /// The item that is asked about.
    pub item: I,
    /// The other.
    pub with: I,
    /// How many baskets have both.
    pub both: i64,
    /// How many have the item.
    pub item_in: i64,
    /// How many have the other.
    pub with_in: i64,
    /// How many there are.
    pub baskets: i64,
}

impl<I> Bundle<I> {
    /// The share of all baskets that have both (Agrawal, Imielinski, Swami: "Mining Association Rules between Sets of Items in
    /// Large Databases", SIGMOD 1993).
    pub fn support(&self) -> f64 {
        self.both as f64 / self.baskets as f64
    }

    /// The share of the item's baskets that have the other as well (Agrawal et al. 1993).
    pub fn confidence(&self) -> f64 {
        self.both as f64 / self.item_in as f64
    }

    /// How many times more baskets have both than if neither had to do with the other (Brin, Motwani, Ullman, Tsur: "Dynamic
    /// Itemset Counting and Implication Rules for Market Basket Data", SIGMOD 1997, where it is called interest).
    pub fn lift(&self) -> f64 {
        self.both as f64 * self.baskets as f64 / (self.item_in as f64 * self.with_in as f64)
    }

    /// How many baskets have both, divided by the geometric mean of how many have either.
    pub fn cosine(&self) -> f64 {
        self.both as f64 / (self.item_in as f64 * self.with_in as f64).sqrt()
    }

    /// The one that is chosen.
    pub fn measured(&self, by: Measure) -> f64 {
        match by {
            Measure::Support => self.support(),
            Measure::Confidence => self.confidence(),
            Measure::Lift => self.lift(),
            Measure::Cosine => self.cosine(),
        }
    }
}

/// How strong a [`Bundle`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// [`Bundle::support`].
    Support,
    /// [`Bundle::confidence`]: the only one that depends on which item is asked about.
    Confidence,
    /// [`Bundle::lift`]: great by chance where few baskets have either.
    Lift,
    /// [`Bundle::cosine`].
    Cosine,
}

/// Which bundles, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Strongest {
    /// The greatest come first; of those as great, those in more baskets, then the lesser items.
    pub by: Measure,
    /// At least so many baskets have both.
    pub least: i64,
    /// So many bundles at most.
    pub n: usize,
}

impl Strongest {
    fn of<I: Key>(self, mut bundles: Vec<Bundle<I>>) -> Vec<Bundle<I>> {
        let Strongest { by, n, .. } = self;
        let strongest_first = |a: &Bundle<I>, b: &Bundle<I>| -> Ordering {
            let items = || (&a.item, &a.with).cmp(&(&b.item, &b.with));
            b.measured(by).total_cmp(&a.measured(by)).then(b.both.cmp(&a.both)).then_with(items)
        };
        if bundles.len() > n && n > 0 {
            bundles.select_nth_unstable_by(n - 1, strongest_first);
        }
        bundles.truncate(n);
        bundles.sort_unstable_by(strongest_first);
        bundles
    }
}

/// What is known of bundles, as rows of a collection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BundleRow<I> {
    /// How many baskets have an item, or both of two: see [`WithItems::companions`].
    Item(ItemRow<I>),
    /// How many there are: one row, and none if there are none.
    Baskets {
        /// So many.
        count: i64,
    },
}

/// Baskets as bundles.
pub trait WithBundles<'s, B: Key, I: Key> {
    /// Of each item the `keep` items that are in most baskets with it, in how many each is, and how many baskets there are: a
    /// basket is an owner with a touch. Of each the first `cap` items by time are paired. No row but one changes with the
    /// number of all baskets.
    ///
    /// State: the touches that hold, and of each basket how many there are.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`](tidemill::Error::Graph) if the name is taken: this takes `name`, and others that begin with it.
    fn bundles(self, name: &str, cap: usize, keep: usize) -> Result<Collection<'s, BundleRow<I>>>;
}

impl<'s, B, I, F> WithBundles<'s, B, I> for Keyed<'s, Update<Touch<B, I>>, F>
where
    B: Key,
    I: Key,
    F: Fn(&Update<Touch<B, I>>) -> B + Clone + 'static,
{
    fn bundles(self, name: &str, cap: usize, keep: usize) -> Result<Collection<'s, BundleRow<I>>> {
        let baskets = self.clone().maintain(&format!("{name}: all baskets"), EachBasket(PhantomData))?;
        // Each worker's changes of an epoch are one by now.
        let baskets = baskets.then(|baskets| baskets.count());
        let baskets = baskets.map(|((), count)| BundleRow::Baskets { count: count as i64 });
        Ok(self.companions(name, cap, keep)?.map(BundleRow::Item).union(baskets))
    }
}

/// The same row for each owner that has a touch.
struct EachBasket<B, I>(PhantomData<fn(B, I)>);

impl<B: Key, I: Key> Maintain for EachBasket<B, I> {
    type Key = B;
    type In = Update<Touch<B, I>>;
    type State = i64;
    type Row = ();

    const ORDER: Order = Order::Any;

    fn update(&self, _: &B, touches: &mut i64, changes: &mut Vec<Record<Self::In>>) {
        *touches += changes.drain(..).map(|change| change.value.diff as i64).sum::<i64>();
    }

    fn rows(&self, _: &B, touches: &i64, rows: &mut Vec<()>) {
        rows.extend((*touches > 0).then_some(()));
    }

    fn expires(&self, _: &B, touches: &i64) -> Option<Millis> {
        (*touches == 0).then_some(BEGINNING)
    }
}

/// Bundles by item. What it answers is a function of the rows that are in it, to the last bit. It knows of each item those
/// `keep` others that [`WithBundles::bundles`] was told to keep.
#[derive(Clone, Debug)]
pub struct BundleIndex<I> {
    items: ItemIndex<I>,
    baskets: i64,
}

impl<I: Key> Default for BundleIndex<I> {
    fn default() -> Self {
        Self::new()
    }
}

impl<I: Key> BundleIndex<I> {
    /// An index without items.
    pub fn new() -> Self {
        BundleIndex { items: ItemIndex::new(), baskets: 0 }
    }

    /// A row comes, or goes: of an epoch's changes those that go come first.
    pub fn change(&mut self, row: BundleRow<I>, comes: bool) {
        match row {
            BundleRow::Item(row) => self.items.change(row, comes),
            BundleRow::Baskets { count } => self.baskets = if comes { count } else { 0 },
        }
    }

    /// How many baskets there are.
    pub fn baskets(&self) -> i64 {
        self.baskets
    }

    fn bundle(&self, item: &I, with: &I, both: i64) -> Bundle<I> {
        let (item_in, with_in, baskets) = (self.items.counted(item), self.items.counted(with), self.baskets);
        Bundle { item: item.clone(), with: with.clone(), both, item_in, with_in, baskets }
    }

    /// The strongest bundles of an item.
    pub fn of(&self, item: &I, which: Strongest) -> Vec<Bundle<I>> {
        let with = self.items.links(item).filter(|(_, both)| *both >= which.least);
        which.of(with.map(|(with, both)| self.bundle(item, with, both)).collect())
    }

    /// The strongest of all bundles: it goes through all of them. Two items that are known from both sides are there twice by
    /// confidence, and by the other measures once, the lesser item first.
    pub fn strongest(&self, which: Strongest) -> Vec<Bundle<I>> {
        let is_known = |item: &I, with: &I| self.items.weight(item, with).is_some();
        let mut bundles = Vec::new();
        for item in self.items.items() {
            for (with, both) in self.items.links(item).filter(|(_, both)| *both >= which.least) {
                if which.by == Measure::Confidence || item < with || !is_known(with, item) {
                    bundles.push(self.bundle(item, with, both));
                }
            }
        }
        which.of(bundles)
    }

    /// What completes a basket: see [`ItemIndex::together`]. What is in it already does not.
    pub fn completes(&mut self, basket: &[I]) -> Scores<I> {
        let mut scores = self.items.together(basket);
        scores.retain(|item| !basket.contains(item));
        scores
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};
    use tidemill::harness::Harness;
    use tidemill::{Config, Events, Memory, Seq, Timing, execute};

    /// Number, basket, item, and 1 or -1.
    type Change = (u64, u8, u8, isize);

    /// What holds after changes, as rows, by plain loops.
    fn expected(changes: &[Change]) -> BTreeSet<BundleRow<u8>> {
        let mut baskets: BTreeMap<u8, BTreeMap<u64, u8>> = BTreeMap::new();
        for (number, basket, item, diff) in changes {
            let basket = baskets.entry(*basket).or_default();
            if *diff > 0 {
                basket.insert(*number, *item)
            } else {
                basket.remove(number)
            };
        }
        baskets.retain(|_, items| !items.is_empty());
        let mut both: BTreeMap<(u8, u8), i64> = BTreeMap::new();
        for items in baskets.values() {
            let items: BTreeSet<u8> = items.values().copied().collect();
            for one in &items {
                items.iter().for_each(|other| *both.entry((*one, *other)).or_default() += 1);
            }
        }
        let row = |((from, to), weight): ((u8, u8), i64)| {
            BundleRow::Item(match from == to {
                true => ItemRow::Counted { item: from, count: weight },
                false => ItemRow::Linked { from, to, weight },
            })
        };
        let all = (!baskets.is_empty()).then_some(BundleRow::Baskets { count: baskets.len() as i64 });
        both.into_iter().map(row).chain(all).collect()
    }

    /// Events that take back what is there every so often.
    fn changes() -> impl Strategy<Value = Vec<Change>> {
        prop::collection::vec((0u8..5, 0u8..6, any::<prop::sample::Index>(), prop::bool::weighted(0.35)), 1..60)
            .prop_map(|steps| {
                let (mut held, mut changes) = (Vec::new(), Vec::new());
                for (number, (basket, item, which, goes)) in (0..).zip(steps) {
                    if goes && !held.is_empty() {
                        let (number, basket, item) = held.remove(which.index(held.len()));
                        changes.push((number, basket, item, -1));
                    } else {
                        held.push((number, basket, item));
                        changes.push((number, basket, item, 1));
                    }
                }
                changes
            })
    }

    fn update((number, owner, item, diff): Change) -> Update<Touch<u8, u8>> {
        Update { row: Touch { owner, time: 0, seq: Seq::new(0, number), item }, diff }
    }

    /// The rows that a job leaves.
    fn rows(changes: &[Change], workers: usize) -> BTreeSet<BundleRow<u8>> {
        let (input, out) = (Events::new(changes.to_vec()), Memory::new());
        let to_out = out.clone();
        execute(Config { epoch_records: 5, ..Config::workers(workers) }, move |job| {
            let changes = job.source("changes", input.clone(), Timing::by(|_: &Change| 0))?;
            let touches = changes.map(update).key_by(|touch| touch.row.owner);
            touches.bundles("bundles", 100, 100)?.sink("out", to_out.clone())
        })
        .unwrap();
        let rows = out.rows();
        assert!(rows.iter().all(|(_, count)| *count == 1), "{rows:?}");
        rows.into_iter().map(|(row, _)| row).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn rows_are_those_of_the_baskets_that_hold(changes in changes()) {
            for workers in [1, 2, 4] {
                prop_assert_eq!(rows(&changes, workers), expected(&changes), "{} workers", workers);
            }
        }
    }

    proptest! {
        #[test]
        fn each_basket_that_has_a_touch_is_counted(
            changes in changes(), workers in 1usize..4, cut in 0usize..12, after in 1usize..4,
        ) {
            let basket = |change: &Update<Touch<u8, u8>>| change.row.owner;
            let mut harness = Harness::maintain(workers, basket, || EachBasket(PhantomData));
            let (mut counted, mut made) = (0, 0);
            for (epoch, changes_of) in changes.chunks(5).enumerate() {
                changes_of.iter().for_each(|change| harness.push(0, update(*change)));
                harness.close_epoch();
                counted += harness.changes().into_iter().map(|(_, (), diff)| diff).sum::<isize>();
                made += changes_of.len();
                let all = |row: &BundleRow<u8>| matches!(row, BundleRow::Baskets { count } if *count == counted as i64);
                prop_assert!(counted == 0 || expected(&changes[..made]).iter().any(all), "{}", counted);
                if epoch == cut {
                    let again: isize = harness.restore(after).unwrap().into_iter().map(|((), _, diff)| diff).sum();
                    prop_assert_eq!(again, counted);
                }
            }
            let mut left: BTreeMap<(u64, u8, u8), isize> = BTreeMap::new();
            changes.iter().for_each(|(number, basket, item, diff)| *left.entry((*number, *basket, *item)).or_default() -= diff);
            left.into_iter().for_each(|((number, basket, item), diff)| harness.push(0, update((number, basket, item, diff))));
            harness.watermark(1);
            prop_assert!(harness.is_empty(), "baskets without touches are kept");
        }
    }

    proptest! {
        #[test]
        fn answers_are_functions_of_the_rows(
            changes in changes(), item in 0u8..7, least in 1i64..3, n in 0usize..9,
            by in prop::sample::select(vec![Measure::Support, Measure::Confidence, Measure::Lift, Measure::Cosine]),
        ) {
            let mut index = BundleIndex::new();
            let mut before = BTreeSet::new();
            for now in (1..=changes.len()).map(|so_many| expected(&changes[..so_many])) {
                before.difference(&now).for_each(|row: &BundleRow<u8>| index.change(row.clone(), false));
                now.difference(&before).for_each(|row| index.change(row.clone(), true));
                before = now;
            }
            let mut fresh = BundleIndex::new();
            before.iter().rev().for_each(|row| fresh.change(row.clone(), true));
            let which = Strongest { by, least, n };
            prop_assert_eq!(index.of(&item, which), fresh.of(&item, which));
            prop_assert_eq!(index.strongest(which), fresh.strongest(which));
            prop_assert_eq!(index.completes(&[item, 1]).top(9), fresh.completes(&[item, 1]).top(9));
            // By the definitions.
            let pairs = before.iter().filter_map(|row| match row {
                BundleRow::Item(ItemRow::Linked { from, to, weight }) if weight >= &least => Some((*from, *to, *weight)),
                _ => None,
            });
            let count = |item: u8| before.iter().find_map(|row| match row {
                BundleRow::Item(ItemRow::Counted { item: other, count }) if *other == item => Some(*count as f64),
                _ => None,
            }).unwrap();
            let all = index.baskets() as f64;
            let mut expected: Vec<(u8, u8, f64, i64)> = pairs.filter(|pair| pair.0 == item).map(|(from, to, both)| {
                let (of_from, of_to, with) = (count(from), count(to), both as f64);
                let measured = match by {
                    Measure::Support => with / all,
                    Measure::Confidence => with / of_from,
                    Measure::Lift => with * all / (of_from * of_to),
                    Measure::Cosine => with / (of_from * of_to).sqrt(),
                };
                (from, to, measured, both)
            }).collect();
            expected.sort_by(|a, b| b.2.total_cmp(&a.2).then(b.3.cmp(&a.3)).then(a.1.cmp(&b.1)));
            expected.truncate(n);
            let told = index.of(&item, which);
            prop_assert_eq!(told.iter().map(|b| (b.item, b.with, b.measured(by), b.both)).collect::<Vec<_>>(), expected);
        }
    }
}
