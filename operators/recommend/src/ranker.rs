//! A small learned ranker: which of several lists' candidates comes first.

use rustc_hash::{FxBuildHasher, FxHashMap};
use serde::{Deserialize, Serialize};
use tidemill::Key;

use crate::scores::Scores;

/// What a list says of a candidate: its score as a share of the list's best, that share's logarithm, the reciprocal of its
/// rank, and that it is there.
const SAID: usize = 4;

/// Weighs what lists say of a candidate, and learns the weights from what is chosen: a multinomial logit (McFadden 1974), by
/// online Newton steps on the likelihood of the choice among all candidates (Hazan, Agarwal and Kale, "Logarithmic regret
/// algorithms for online convex optimization", 2007). It learns from one choice at a time, so it may be trained by history and go
/// on learning from what users do with the lists they are shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ranker {
    weights: Vec<f64>,
    /// The inverse of the sum of all gradients' products with themselves, row by row: what lists say goes together, and a step
    /// along one number alone would go astray.
    inverse: Vec<f64>,
}

/// The first weights count as much as so many choices.
const TRUST: f64 = 10.0;

/// How long a step is, in Newton's: of lengths from 1 to 10 the one that foresaw best, choice after choice, what was looked at in
/// Diginetica's sessions that teach.
const STEP: f64 = 4.0;

/// The candidates of a user, and what the lists say of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound = "I: Key")]
pub struct Candidates<I> {
    items: Vec<I>,
    /// What each list says: of which candidate, its score as a share of the list's best, and its rank.
    said: Vec<Vec<(u16, f32, u16)>>,
}

impl<I: Key> Candidates<I> {
    /// All that is in one of the lists, each the best first. A ranker knows lists by their places. Of more than 65,536 candidates
    /// the last ones are left out, and so is what a list says after its 65,535th place.
    pub fn of(lists: &[Vec<(I, f64)>]) -> Self {
        let most = lists.iter().map(Vec::len).sum();
        let mut places: FxHashMap<&I, u16> = FxHashMap::with_capacity_and_hasher(most, FxBuildHasher);
        let (mut items, mut said) = (Vec::with_capacity(most), Vec::with_capacity(lists.len()));
        for list in lists {
            let best = list.first().map_or(1.0, |(_, score)| *score);
            let mut says = Vec::with_capacity(list.len());
            for (rank, (item, score)) in (1u16..=u16::MAX).zip(list) {
                let place = match places.get(item) {
                    Some(place) => *place,
                    None => {
                        let Ok(place) = u16::try_from(items.len()) else { continue };
                        items.push(item.clone());
                        places.insert(item, place);
                        place
                    }
                };
                says.push((place, ((score / best) as f32).max(f32::MIN_POSITIVE), rank));
            }
            said.push(says);
        }
        Candidates { items, said }
    }

    /// The items.
    pub fn items(&self) -> &[I] {
        &self.items
    }

    /// Only those among `items`: what a user was shown of them.
    pub fn among(&self, items: &[I]) -> Self {
        let stays: Vec<bool> = self.items.iter().map(|item| items.contains(item)).collect();
        let place = |of: u16| stays[..usize::from(of)].iter().filter(|stays| **stays).count() as u16;
        let some = |said: &Vec<(u16, f32, u16)>| {
            let said = said.iter().filter(|(of, ..)| stays[usize::from(*of)]);
            said.map(|(of, share, rank)| (place(*of), *share, *rank)).collect()
        };
        Candidates {
            items: self.items.iter().zip(&stays).filter(|(_, stays)| **stays).map(|(item, _)| item.clone()).collect(),
            said: self.said.iter().map(some).collect(),
        }
    }

    /// What a ranker weighs of each candidate: [`SAID`] numbers for each list.
    fn numbers(&self) -> Vec<f64> {
        let width = self.said.len() * SAID;
        let mut all = vec![0.0; self.items.len() * width];
        for (list, said) in self.said.iter().enumerate() {
            for says in said {
                let at = usize::from(says.0) * width + list * SAID;
                all[at..at + SAID].copy_from_slice(&numbers(says));
            }
        }
        all
    }
}

/// What a ranker weighs of what a list says of a candidate.
fn numbers((_, share, rank): &(u16, f32, u16)) -> [f64; SAID] {
    let share = f64::from(*share);
    [share, share.ln(), 1.0 / f64::from(*rank), 1.0]
}

fn weigh(numbers: &[f64], weights: &[f64]) -> f64 {
    numbers.iter().zip(weights).map(|(number, weight)| number * weight).sum()
}

impl Ranker {
    /// One for so many lists, which trusts all of them alike at first.
    pub fn new(lists: usize) -> Self {
        let weights = [1.0, 0.0, 1.0, 0.0].repeat(lists);
        let width = weights.len();
        let inverse = (0..width * width).map(|at| if at / width == at % width { 1.0 / TRUST } else { 0.0 }).collect();
        Ranker { weights, inverse }
    }

    /// What each list's score, its logarithm, reciprocal rank and presence weigh.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// The same ranker with other weights, as many as it has; what it has not, stays.
    pub fn set_weights(&mut self, weights: &[f64]) {
        self.weights.iter_mut().zip(weights).for_each(|(weight, new)| *weight = *new);
    }

    /// The probabilities with which candidates are chosen, of their numbers.
    fn shares(&self, numbers: &[f64]) -> Vec<f64> {
        let logits: Vec<f64> =
            numbers.chunks(self.weights.len().max(1)).map(|said| weigh(said, &self.weights)).collect();
        let most = logits.iter().copied().fold(f64::MIN, f64::max);
        let powers: Vec<f64> = logits.into_iter().map(|logit| (logit - most).exp()).collect();
        let total: f64 = powers.iter().sum();
        powers.into_iter().map(|power| power / total).collect()
    }

    /// The candidates with the probabilities that they are chosen.
    pub fn rank<I: Key>(&self, candidates: &Candidates<I>) -> Scores<I> {
        Scores::new(candidates.items.iter().cloned().zip(self.shares(&candidates.numbers())).collect())
    }

    /// The `n` best candidates, best first, of equal ones the lesser item; each with the list whose word weighs most for it.
    pub fn best<I: Key>(&self, candidates: &Candidates<I>, n: usize) -> Vec<(I, usize)> {
        // Of each candidate what it weighs, and the list whose word weighs most. A list that does not name the item says nothing
        // for it, and the logarithm, which is never above 0, says how much less it says than of its best.
        let mut weighed: Vec<(f64, f64, usize)> = vec![(0.0, f64::NEG_INFINITY, 0); candidates.items.len()];
        for (list, (said, weights)) in candidates.said.iter().zip(self.weights.chunks(SAID)).enumerate() {
            for says in said {
                let (sum, most, by) = &mut weighed[usize::from(says.0)];
                let word: f64 = weigh(&numbers(says), weights);
                *sum += word;
                if word > *most {
                    (*most, *by) = (word, list);
                }
            }
        }
        let rows = candidates.items.iter().zip(weighed);
        let mut best: Vec<(f64, &I, usize)> = rows.map(|(item, (sum, _, by))| (sum, item, by)).collect();
        let order = |a: &(f64, &I, usize), b: &(f64, &I, usize)| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1));
        if best.len() > n && n > 0 {
            best.select_nth_unstable_by(n - 1, order);
        }
        best.truncate(n);
        best.sort_unstable_by(order);
        best.into_iter().map(|(_, item, by)| (item.clone(), by)).collect()
    }

    /// One of the candidates was chosen. Nothing is learnt where it was none of them.
    pub fn learn<I: Key>(&mut self, candidates: &Candidates<I>, chosen: &I) {
        let Some(chosen) = candidates.items.iter().position(|item| item == chosen) else { return };
        let (numbers, width) = (candidates.numbers(), self.weights.len().max(1));
        let shares = self.shares(&numbers);
        let mut gradient = numbers[chosen * width..][..width].to_vec();
        for (share, said) in shares.iter().zip(numbers.chunks(width)) {
            gradient.iter_mut().zip(said).for_each(|(gradient, said)| *gradient -= share * said);
        }
        // The inverse with one product more (Sherman and Morrison 1950), and a step along the gradient times it.
        let times = |row: &[f64]| -> f64 { row.iter().zip(&gradient).map(|(a, b)| a * b).sum() };
        let along: Vec<f64> = self.inverse.chunks(width).map(times).collect();
        let whole = 1.0 + times(&along);
        for (row, weight) in self.inverse.chunks_mut(width).zip(&along) {
            row.iter_mut().zip(&along).for_each(|(cell, other)| *cell -= weight * other / whole);
        }
        self.weights.iter_mut().zip(along).for_each(|(weight, along)| *weight += STEP * along / whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_learns_which_list_to_trust() {
        let mut ranker = Ranker::new(2);
        let choice = |n: u32| {
            let (right, wrong): (Vec<_>, Vec<_>) =
                ((0..5).map(|k| n + k).collect(), (0..5).map(|k| n + 100 + k).collect());
            let list = |items: &[u32]| (1u32..).zip(items).map(|(rank, item)| (*item, 1.0 / f64::from(rank))).collect();
            (Candidates::of(&[list(&wrong), list(&right)]), n)
        };
        let first = |ranker: &Ranker| {
            (0..50).filter(|n| ranker.rank(&choice(n * 7).0).rank(&choice(n * 7).1) == Some(1)).count()
        };
        assert!(first(&ranker) < 50, "lists that say the same of two items leave them level");
        for n in 0..200 {
            let (candidates, chosen) = choice(n);
            ranker.learn(&candidates, &chosen);
        }
        assert_eq!(first(&ranker), 50, "{:?}", ranker.weights());
        let before = ranker.clone();
        ranker.learn(&choice(3).0, &9_999);
        assert_eq!(ranker, before, "what was no candidate teaches nothing");
    }

    #[test]
    fn an_item_of_several_lists_is_one_candidate() {
        let candidates = Candidates::of(&[vec![(1u8, 4.0), (2, 2.0)], vec![(2, 9.0)]]);
        assert_eq!(candidates.items(), [1, 2]);
        assert_eq!(
            candidates.numbers(),
            [1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.5, 0.5_f64.ln(), 0.5, 1.0, 1.0, 0.0, 1.0, 1.0]
        );
        assert_eq!(candidates.among(&[2]).numbers(), candidates.numbers()[8..]);
        assert!(candidates.among(&[9]).items().is_empty());
        // Both lists name 2, the second one as its best.
        assert_eq!(Ranker::new(2).best(&candidates, 5), [(2, 1), (1, 0)]);
        assert_eq!(Ranker::new(2).best(&candidates, 1), [(2, 1)]);
    }
}
