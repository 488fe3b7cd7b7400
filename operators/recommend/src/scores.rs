//! Scored items: the best of them, and how a known one ranks.

use std::cmp::Ordering;
use tidemill::Key;

/// Items and their scores, each item once, in no particular order. An item that is not there has the score 0, and so has
/// one with a score that is not above 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores<I>(Vec<(I, f64)>);

impl<I: Key> Scores<I> {
    /// Scores none of which is NaN; those not above 0 are left out.
    pub fn new(mut scores: Vec<(I, f64)>) -> Self {
        scores.retain(|(_, score)| *score > 0.0);
        Scores(scores)
    }

    /// Leaves out the items that `keep` says no to.
    pub fn retain(&mut self, mut keep: impl FnMut(&I) -> bool) {
        self.0.retain(|(item, _)| keep(item));
    }

    /// The `n` items with the greatest scores, best first; of items with the same score the lesser first.
    pub fn top(mut self, n: usize) -> Vec<(I, f64)> {
        if n == 0 {
            return Vec::new();
        }
        if self.0.len() > n {
            self.0.select_nth_unstable_by(n - 1, best_first);
            self.0.truncate(n);
            // Whoever keeps a list keeps it without the room of all that was scored.
            self.0.shrink_to_fit();
        }
        self.0.sort_unstable_by(best_first);
        self.0
    }

    /// The rank of `item`, 1 for the best, behind all others of the same score (pessimistic ties). `None` if its score is 0:
    /// then it is level with everything that nobody has seen.
    pub fn rank(&self, item: &I) -> Option<usize> {
        let score = self.0.iter().find(|(other, _)| other == item)?.1;
        Some(self.0.iter().filter(|(_, other)| *other >= score).count())
    }

    /// All items with their scores.
    pub fn iter(&self) -> impl Iterator<Item = &(I, f64)> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The `n` greatest scores of items, which are known by numbers, best first; of those with the same score the lesser first.
pub(crate) fn best_of<'a, I: Ord + 'a>(
    mut scored: Vec<(f64, u32)>,
    n: usize,
    item: impl Fn(u32) -> &'a I,
) -> Vec<(f64, u32)> {
    let order = |a: &(f64, u32), b: &(f64, u32)| b.0.total_cmp(&a.0).then_with(|| item(a.1).cmp(item(b.1)));
    if scored.len() > n && n > 0 {
        scored.select_nth_unstable_by(n - 1, order);
    }
    scored.truncate(n);
    scored.sort_unstable_by(order);
    scored
}

fn best_first<I: Ord>(a: &(I, f64), b: &(I, f64)) -> Ordering {
    b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0))
}
