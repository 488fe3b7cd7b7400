//! What goes with items: scores from their links.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use tidemill::{Collection, Key, Keyed, Result, Update};
use tidemill_rank::Ranks;

use crate::links::{Link, Linked};
use crate::scores::{Scores, best_of};
use crate::suggest::Suggestion;
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
    numbers: FxHashMap<I, u32>,
    /// By number.
    entries: Vec<Entry<I>>,
    /// Of each item, by number, how often it was touched, or how many baskets have it; 0 if that is not known.
    counts: Vec<i64>,
    /// Numbers of items that nothing is known of any more.
    free: Vec<u32>,
    /// Of each item, by number, its score while an answer is made.
    scores: Vec<Score>,
    scored: Vec<u32>,
}

/// What is said of an item; a sum of 0 where nothing is.
#[derive(Clone, Copy, Debug, Default)]
struct Score {
    sum: f64,
    /// The greatest part of the sum, and which item of those asked about, by its place, says so.
    most: f64,
    because: u32,
}

/// What is known of an item.
#[derive(Clone, Debug)]
struct Entry<I> {
    item: I,
    /// The numbers of those that are linked with it, in order, and what these links weigh.
    links: Vec<(u32, i64)>,
    /// How many items it is linked with the other way around.
    linked_from: u32,
}

impl<I: Key> Default for ItemIndex<I> {
    fn default() -> Self {
        Self::new()
    }
}

impl<I: Key> ItemIndex<I> {
    /// An index without items.
    pub fn new() -> Self {
        ItemIndex {
            numbers: FxHashMap::default(),
            entries: Vec::new(),
            counts: Vec::new(),
            free: Vec::new(),
            scores: Vec::new(),
            scored: Vec::new(),
        }
    }

    /// A row comes, or goes.
    pub fn change(&mut self, row: ItemRow<I>, comes: bool) {
        self.change_all(&[(row, if comes { 1 } else { -1 })]);
    }

    /// Rows come (above 0) and go, each once, and of a link one at most that comes. It is fastest if they are in order: what a link
    /// weighed is next to what it weighs now.
    pub fn change_all(&mut self, changes: &[(ItemRow<I>, isize)]) {
        fn from<I>(row: &ItemRow<I>) -> Option<&I> {
            match row {
                ItemRow::Linked { from, .. } => Some(from),
                ItemRow::Counted { .. } => None,
            }
        }
        for some in changes.chunk_by(|(a, _), (b, _)| from(a).is_some() && from(a) == from(b)) {
            match &some[0] {
                (ItemRow::Linked { from, .. }, _) => self.change_links(from, some),
                (ItemRow::Counted { item, count }, diff) => self.change_count(item, *count, *diff > 0),
            }
        }
    }

    fn change_count(&mut self, item: &I, count: i64, comes: bool) {
        if comes {
            let number = self.number(item);
            self.counts[number as usize] = count;
        } else if let Some(&number) = self.numbers.get(item) {
            let known = &mut self.counts[number as usize];
            if *known == count {
                *known = 0;
                self.forget_unknown(number);
            }
        }
    }

    /// Links of one item come and go.
    fn change_links(&mut self, from: &I, changes: &[(ItemRow<I>, isize)]) {
        // By number, and of each what goes before what comes.
        let mut changed: Vec<(u32, bool, i64)> = Vec::with_capacity(changes.len());
        for (row, diff) in changes {
            // What weighs nothing says nothing.
            let ItemRow::Linked { to, weight: weight @ 1.., .. } = row else { continue };
            let number = if *diff > 0 { Some(self.number(to)) } else { self.numbers.get(to).copied() };
            changed.extend(number.map(|number| (number, *diff > 0, *weight)));
        }
        changed.sort_unstable();
        let some_come = changed.iter().any(|(_, comes, _)| *comes);
        let number = if some_come { Some(self.number(from)) } else { self.numbers.get(from).copied() };
        let Some(from) = number else { return };
        let mut links = std::mem::take(&mut self.entries[from as usize].links);
        let (known, mut place, mut gone) = (links.len(), 0, Vec::new());
        for of_one in changed.chunk_by(|a, b| a.0 == b.0) {
            let (to, comes, weight) = of_one[of_one.len() - 1];
            place += links[place..known].partition_point(|link| link.0 < to);
            let is_known = place < known && links[place].0 == to;
            if is_known && comes {
                links[place].1 = weight;
            } else if is_known && of_one.iter().any(|(_, _, weight)| *weight == links[place].1) {
                links[place].1 = 0;
                gone.push(to);
            } else if comes {
                links.push((to, weight));
                self.entries[to as usize].linked_from += 1;
            }
        }
        let has_new = links.len() > known;
        if !gone.is_empty() {
            links.retain(|link| link.1 > 0);
        }
        if has_new {
            links.sort_by_key(|link| link.0); // those known and those new are each in order
        }
        self.entries[from as usize].links = links;
        for to in &gone {
            self.entries[*to as usize].linked_from -= 1;
            if *to != from {
                self.forget_unknown(*to);
            }
        }
        if !gone.is_empty() {
            self.forget_unknown(from);
        }
    }

    fn number(&mut self, item: &I) -> u32 {
        if let Some(number) = self.numbers.get(item) {
            return *number;
        }
        let entry = Entry { item: item.clone(), links: Vec::new(), linked_from: 0 };
        let number = match self.free.pop() {
            Some(number) => {
                self.entries[number as usize] = entry;
                number
            }
            None => {
                self.entries.push(entry);
                self.counts.push(0);
                self.scores.push(Score::default());
                self.entries.len() as u32 - 1
            }
        };
        self.numbers.insert(item.clone(), number);
        number
    }

    fn forget_unknown(&mut self, number: u32) {
        let entry = &self.entries[number as usize];
        if entry.linked_from == 0 && entry.links.is_empty() && self.counts[number as usize] == 0 {
            self.numbers.remove(&entry.item);
            self.free.push(number);
        }
    }

    fn entry(&self, item: &I) -> Option<&Entry<I>> {
        self.numbers.get(item).map(|number| &self.entries[*number as usize])
    }

    /// How often an item was touched, or how many baskets have it.
    pub(crate) fn counted(&self, item: &I) -> i64 {
        self.numbers.get(item).map_or(0, |number| self.counts[*number as usize])
    }

    /// What the link of an item with another weighs, if there is one.
    pub(crate) fn weight(&self, from: &I, to: &I) -> Option<i64> {
        let links = &self.entry(from)?.links;
        let place = links.binary_search_by_key(self.numbers.get(to)?, |link| link.0).ok()?;
        Some(links[place].1)
    }

    /// The items that are linked with one, and what these links weigh.
    pub(crate) fn links(&self, from: &I) -> impl Iterator<Item = (&I, i64)> {
        let links = self.entry(from).into_iter().flat_map(|entry| &entry.links);
        links.map(|(to, weight)| (&self.entries[*to as usize].item, *weight))
    }

    /// The items that others are linked with.
    pub(crate) fn items(&self) -> impl Iterator<Item = &I> {
        self.numbers.keys()
    }

    /// How often, as a divisor: an item that nothing is known of counts once.
    fn divisor(&self, number: u32) -> f64 {
        self.counts[number as usize].max(1) as f64
    }

    fn add(&mut self, to: u32, score: f64, because: usize) {
        let said = &mut self.scores[to as usize];
        if said.sum == 0.0 {
            self.scored.push(to);
        }
        said.sum += score;
        if score >= said.most {
            (said.most, said.because) = (score, because as u32);
        }
    }

    fn add_next(&mut self, history: &[I]) {
        for (place, item) in history.iter().enumerate().rev() {
            let Some(&number) = self.numbers.get(item) else { continue };
            let links = std::mem::take(&mut self.entries[number as usize].links);
            let share = 1.0 / ((history.len() - place) as f64 * self.divisor(number).sqrt());
            links.iter().for_each(|(to, weight)| self.add(*to, *weight as f64 * share, place));
            self.entries[number as usize].links = links;
        }
    }

    fn add_together(&mut self, basket: &[I]) {
        for (place, item) in basket.iter().enumerate() {
            let Some(&number) = self.numbers.get(item) else { continue };
            let (links, have) = (std::mem::take(&mut self.entries[number as usize].links), self.divisor(number));
            for (to, both) in links.iter().filter(|(to, _)| *to != number) {
                let both = *both as f64;
                self.add(*to, both * both / (have * self.divisor(*to)), place);
            }
            self.entries[number as usize].links = links;
        }
    }

    fn take_scores(&mut self) -> Scores<I> {
        let ItemIndex { entries, scores, scored, .. } = self;
        let score =
            |number: u32| (entries[number as usize].item.clone(), std::mem::take(&mut scores[number as usize]).sum);
        Scores::new(scored.drain(..).map(score).collect())
    }

    /// The `n` best that are not in `had`, with their reasons: of the items that were asked about the one that says most.
    fn take_best(&mut self, asked: &[I], had: &[I], n: usize) -> Vec<Suggestion<I>> {
        for number in had.iter().filter_map(|item| self.numbers.get(item)) {
            self.scores[*number as usize].sum = 0.0;
        }
        let ItemIndex { entries, scores, scored, .. } = self;
        let item = |number: u32| &entries[number as usize].item;
        let sums = scored.iter().map(|number| (scores[*number as usize].sum, *number));
        let best = best_of(sums.filter(|(sum, _)| *sum > 0.0).collect(), n, item);
        let because = |number: u32| asked.get(scores[number as usize].because as usize).cloned();
        let suggestion = |(score, number)| Suggestion { item: item(number).clone(), score, because: because(number) };
        let best = best.into_iter().map(suggestion).collect();
        scored.drain(..).for_each(|number| scores[number as usize] = Score::default());
        best
    }

    /// What follows a history, its last item last: the weights after each of its items, each divided by the square root of
    /// how often that item was touched, the last counting whole, the one before half, the third last a third.
    pub fn next(&mut self, history: &[I]) -> Scores<I> {
        self.add_next(history);
        self.take_scores()
    }

    /// The `n` items that follow the end of a history most, by [`ItemIndex::next`], but those the user `had`; each with the
    /// item that says so most.
    pub fn best_next(&mut self, last: &[I], had: &[I], n: usize) -> Vec<Suggestion<I>> {
        self.add_next(last);
        self.take_best(last, had, n)
    }

    /// What completes a basket: the squares of the cosines of each item of it with others, added up, so that one close
    /// companion outweighs several distant ones. The cosine of two items is how many baskets have both, divided by the
    /// geometric mean of how many have either.
    pub fn together(&mut self, basket: &[I]) -> Scores<I> {
        self.add_together(basket);
        self.take_scores()
    }

    /// The `n` items that complete a basket best, by [`ItemIndex::together`], but those the user `had`; each with the item that
    /// says so most.
    pub fn best_together(&mut self, basket: &[I], had: &[I], n: usize) -> Vec<Suggestion<I>> {
        self.add_together(basket);
        self.take_best(basket, had, n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    proptest! {
        #[test]
        fn answers_are_as_defined_whatever_rows_have_come_and_gone(
            epochs in prop::collection::vec(prop::collection::vec((0u8..7, 0u8..7, 0i64..9), 0..20), 0..8), at_once in any::<bool>(),
            asked in prop::collection::vec(0u8..9, 0..6), had in prop::collection::vec(0u8..9, 0..3), n in 0usize..5,
        ) {
            // Weights, and counts where both are the same item.
            let (mut index, mut known) = (ItemIndex::new(), BTreeMap::new());
            let row = |((from, to), weight): (&(u8, u8), &i64)| match from == to {
                true => ItemRow::Counted { item: *from, count: *weight },
                false => ItemRow::Linked { from: *from, to: *to, weight: *weight },
            };
            for epoch in epochs {
                let before: BTreeSet<_> = known.iter().map(row).collect();
                // What is said of the same anew; 0: it is gone.
                known.extend(epoch.into_iter().map(|(from, to, weight)| ((from, to), weight)));
                known.retain(|_, weight| *weight > 0);
                let now: BTreeSet<_> = known.iter().map(row).collect();
                let gone = before.difference(&now).map(|row| (row.clone(), -1));
                let mut changes: Vec<_> = gone.chain(now.difference(&before).map(|row| (row.clone(), 1))).collect();
                if at_once {
                    changes.sort();
                    index.change_all(&changes);
                } else {
                    changes.into_iter().for_each(|(row, diff)| index.change(row, diff > 0));
                }
            }
            let (counts, links): (BTreeMap<_, _>, BTreeMap<_, _>) = known.into_iter().partition(|((from, to), _)| from == to);
            let counts: BTreeMap<u8, i64> = counts.into_iter().map(|((item, _), count)| (item, count)).collect();
            let count = |item: u8| counts.get(&item).copied().unwrap_or(1) as f64;
            let next = |place: usize, from: u8, _: u8, weight: f64| {
                weight * (1.0 / ((asked.len() - place) as f64 * count(from).sqrt()))
            };
            let together = |_: usize, one: u8, to: u8, both: f64| both * both / (count(one) * count(to));
            let expected = |places: Vec<usize>, score: &dyn Fn(usize, u8, u8, f64) -> f64| {
                let mut all = BTreeMap::<u8, (f64, (f64, u8))>::new();
                for place in places {
                    for ((_, to), weight) in links.iter().filter(|((from, _), _)| *from == asked[place]) {
                        let part = score(place, asked[place], *to, *weight as f64);
                        let (sum, most) = all.entry(*to).or_default();
                        *sum += part;
                        if part >= most.0 {
                            *most = (part, asked[place]);
                        }
                    }
                }
                all
            };
            let sorted = |scores: Scores<u8>| scores.top(9);
            let both = [
                (expected((0..asked.len()).rev().collect(), &next), sorted(index.next(&asked)), index.best_next(&asked, &had, n)),
                (expected((0..asked.len()).collect(), &together), sorted(index.together(&asked)), index.best_together(&asked, &had, n)),
            ];
            for (expected, scores, best) in both {
                let mut all: Vec<(u8, f64, u8)> = expected.into_iter().map(|(to, (sum, most))| (to, sum, most.1)).collect();
                all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
                prop_assert_eq!(scores, all.iter().map(|of| (of.0, of.1)).collect::<Vec<_>>());
                let expected = all.iter().filter(|of| !had.contains(&of.0)).take(n);
                let expected: Vec<_> =
                    expected.map(|of| Suggestion { item: of.0, score: of.1, because: Some(of.2) }).collect();
                prop_assert_eq!(best, expected);
            }
            for ((from, to), weight) in links.clone() {
                index.change(ItemRow::Linked { from, to, weight }, false);
            }
            for (item, count) in counts.clone() {
                index.change(ItemRow::Counted { item, count }, false);
            }
            prop_assert!(index.numbers.is_empty() && index.free.len() == index.entries.len());
        }
    }
}
