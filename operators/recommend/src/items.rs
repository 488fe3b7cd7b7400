//! What goes with items: scores from their links.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use tidemill::{Collection, Key, Keyed, Result, Update};
use tidemill_rank::Ranks;

use crate::links::{Link, Linked};
use crate::scores::Scores;
use crate::touch::Touch;

/// What goes with items, as rows.
pub trait WithItems<'s, U: Key, I: Key> {
    /// Of each item the `keep` items that follow it most, by the weights of [`Linked::links`], and how often each is touched.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`](tidemill::Error::Graph) if the name is taken: this takes `name`, and others that begin with it.
    fn followers(self, name: &str, reach: usize, keep: usize) -> Result<Collection<'s, ItemRow<I>>>;

    /// Of each item the `keep` items that are in most baskets with it, by [`Linked::beside`], and in how many each is.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`](tidemill::Error::Graph) if the name is taken: this takes `name`, and others that begin with it.
    fn companions(self, name: &str, cap: usize, keep: usize) -> Result<Collection<'s, ItemRow<I>>>;
}

impl<'s, U, I, F> WithItems<'s, U, I> for Keyed<'s, Update<Touch<U, I>>, F>
where
    U: Key,
    I: Key,
    F: Fn(&Update<Touch<U, I>>) -> U + Clone + 'static,
{
    fn followers(self, name: &str, reach: usize, keep: usize) -> Result<Collection<'s, ItemRow<I>>> {
        let touched =
            self.stream().clone().map(|touch| (touch.row.item, touch.diff as i64)).key_by(|touch| touch.0.clone());
        let counts = touched.top_sums(&format!("{name}: how often"), 1, |touch| ((), touch.1))?;
        let links = self.links(&format!("{name}: links"), reach)?.key_by(|link| link.from.clone());
        let linked = links.top_sums(name, keep, |link| (link.to.clone(), link.weight))?;
        let linked = linked.map(|row| ItemRow::Linked { from: row.key, to: row.item, weight: row.sum });
        Ok(linked.union(counts.map(|row| ItemRow::Counted { item: row.key, count: row.sum })))
    }

    fn companions(self, name: &str, cap: usize, keep: usize) -> Result<Collection<'s, ItemRow<I>>> {
        let pairs = self.beside(&format!("{name}: pairs"), cap)?;
        let (counts, pairs) = pairs.branch(|pair: &Link<I>| pair.from == pair.to);
        let counts =
            counts.key_by(|one| one.from.clone()).top_sums(&format!("{name}: baskets"), 1, |one| ((), one.weight))?;
        let pairs = pairs.key_by(|pair| pair.from.clone());
        let linked = pairs.top_sums(name, keep, |pair| (pair.to.clone(), pair.weight))?;
        let linked = linked.map(|row| ItemRow::Linked { from: row.key, to: row.item, weight: row.sum });
        Ok(linked.union(counts.map(|row| ItemRow::Counted { item: row.key, count: row.sum })))
    }
}

/// What is known of items, as rows of a collection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ItemRow<I> {
    /// So much is the weight of an item after, or beside, another.
    Linked {
        /// The other.
        from: I,
        /// The item.
        to: I,
        /// The sum of the weights of such links.
        weight: i64,
    },
    /// So often was an item touched, or so many baskets had it.
    Counted {
        /// The item.
        item: I,
        /// How often.
        count: i64,
    },
}

/// Items by what they are linked with. What it answers is a function of the rows that are in it, to the last bit.
#[derive(Clone, Debug)]
pub struct ItemIndex<I> {
    pub(crate) links: FxHashMap<I, FxHashMap<I, i64>>,
    pub(crate) counts: FxHashMap<I, i64>,
}

impl<I: Key> Default for ItemIndex<I> {
    fn default() -> Self {
        Self::new()
    }
}

impl<I: Key> ItemIndex<I> {
    /// An index without items.
    pub fn new() -> Self {
        ItemIndex { links: FxHashMap::default(), counts: FxHashMap::default() }
    }

    /// A row comes, or goes.
    pub fn change(&mut self, row: ItemRow<I>, comes: bool) {
        match (row, comes) {
            (ItemRow::Linked { from, to, weight }, true) => {
                self.links.entry(from).or_default().insert(to, weight);
            }
            (ItemRow::Linked { from, to, .. }, false) => {
                if let Some(linked) = self.links.get_mut(&from) {
                    linked.remove(&to);
                    if linked.is_empty() {
                        self.links.remove(&from);
                    }
                }
            }
            (ItemRow::Counted { item, count }, true) => _ = self.counts.insert(item, count),
            (ItemRow::Counted { item, .. }, false) => _ = self.counts.remove(&item),
        }
    }

    /// As a divisor: an item that nothing is known of counts once.
    fn count(&self, item: &I) -> f64 {
        self.counts.get(item).copied().unwrap_or(0).max(1) as f64
    }

    /// What follows a history, its last item last: the weights after each of its items, each divided by the square root of
    /// how often that item was touched, the last counting whole, the one before half, the third last a third.
    pub fn next(&self, history: &[I]) -> Scores<I> {
        let mut scores: FxHashMap<&I, f64> = FxHashMap::default();
        // One history's items in their order: sums of floats depend on it.
        for (back, item) in (1u32..).zip(history.iter().rev()) {
            let share = 1.0 / (f64::from(back) * self.count(item).sqrt());
            for (to, weight) in self.links.get(item).into_iter().flatten() {
                *scores.entry(to).or_default() += *weight as f64 * share;
            }
        }
        Scores::new(scores.into_iter().map(|(item, score)| (item.clone(), score)).collect())
    }

    /// The item of a history for which [`ItemIndex::next`] says `to` most.
    pub fn led_to<'a>(&self, history: &'a [I], to: &I) -> Option<&'a I> {
        let said = |(back, from): (u32, &'a I)| {
            let weight = *self.links.get(from)?.get(to)?;
            Some((weight as f64 / (f64::from(back) * self.count(from).sqrt()), from))
        };
        (1u32..).zip(history.iter().rev()).filter_map(said).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, from)| from)
    }

    /// The item of a basket for which [`ItemIndex::together`] says `to` most.
    pub fn goes_with<'a>(&self, basket: &'a [I], to: &I) -> Option<&'a I> {
        let said = |one: &'a I| {
            let both = *self.links.get(one)?.get(to)? as f64;
            Some((both * both / self.count(one), one))
        };
        basket.iter().filter_map(said).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, one)| one)
    }

    /// What completes a basket: the squares of the cosines of each item of it with others, added up, so that one close
    /// companion outweighs several distant ones. The cosine of two items is how many baskets have both, divided by the
    /// geometric mean of how many have either.
    pub fn together(&self, basket: &[I]) -> Scores<I> {
        let mut scores: FxHashMap<&I, f64> = FxHashMap::default();
        for item in basket {
            let have = self.count(item);
            for (to, both) in self.links.get(item).into_iter().flatten().filter(|(to, _)| *to != item) {
                let both = *both as f64;
                *scores.entry(to).or_default() += both * both / (have * self.count(to));
            }
        }
        Scores::new(scores.into_iter().map(|(item, score)| (item.clone(), score)).collect())
    }
}
