//! A history written down in pieces, so that a checkpoint costs the facts that are new.
//!
//! A piece is `FACTS` facts of one key that follow each other, by their numbers from the key's first fact on. Only the last
//! piece grows, so only that is written more than once; one whose facts have all left the windows is gone.

use crate::range::Fact;
use crate::{Aggregate, History, Windows, array};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize, Serializer};
use std::ops::Range;
use tidemill::{Key, Keys, Save, Saved, StateError};

/// Facts of a piece.
const FACTS: u32 = 8;

/// What an operator in event time keeps of a key.
#[derive(Clone, Debug)]
pub(crate) struct Past<const N: usize, const W: usize, X> {
    pub history: History<N, W, (), X>,
    /// The numbers of the first fact that is written down, and of the one after the last.
    written: Range<u32>,
}

impl<const N: usize, const W: usize, X: Aggregate<N>> Default for Past<N, W, X> {
    fn default() -> Self {
        Past { history: History::default(), written: 0..0 }
    }
}

impl<const N: usize, const W: usize, X: Aggregate<N>> Past<N, W, X> {
    /// Writes down what is new, or everything.
    fn save<K: Key>(&mut self, key: &K, save: &mut Save) {
        let (facts, written) = (self.history.numbers(), self.written.clone());
        let count = |from: u32, to: u32| to.wrapping_sub(from);
        // Facts go from the front, and come at the back.
        let left = count(written.start, facts.start).min(count(written.start, written.end));
        let left = written.start..written.start.wrapping_add(left);
        pieces(&left).filter(|piece| !has(&facts, *piece)).for_each(|piece| save.gone(key, &(key, piece)));
        let new = match count(written.end, facts.end).min(count(facts.start, facts.end)) {
            _ if save.all => count(facts.start, facts.end),
            // A question has moved the time, which the last piece has.
            0 => u32::from(!self.history.is_empty()),
            new => new,
        };
        for piece in pieces(&(facts.end.wrapping_sub(new)..facts.end)) {
            let Range { start: first, end } = within(&facts, piece);
            let facts = Facts(self.history.facts_of(first..end));
            save.put(key, &(key, piece), &Piece { time: self.history.time(), first, facts });
        }
        self.written = facts;
    }
}

/// A piece as it is written down, with its facts' times from one to the next.
#[derive(Serialize)]
struct Piece<T> {
    /// The latest time that the key had seen by then.
    time: i64,
    /// The number of the first fact.
    first: u32,
    facts: T,
}

/// Facts, each written as how long it is after the one before, and its values.
struct Facts<I>(I);

impl<'a, const N: usize, I: Iterator<Item = &'a Fact<N, ()>> + ExactSizeIterator + Clone> Serialize for Facts<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut before = 0;
        serializer.collect_seq(self.0.clone().map(|fact| {
            let after = fact.at.0.wrapping_sub(std::mem::replace(&mut before, fact.at.0));
            Step(after, fact.values)
        }))
    }
}

/// A fact as [`Facts`] has it.
#[derive(Serialize, Deserialize)]
struct Step<const N: usize>(i64, #[serde(with = "array")] [i64; N]);

/// A piece as it is read back.
#[derive(Deserialize)]
struct ReadPiece<const N: usize> {
    time: i64,
    first: u32,
    facts: Vec<Step<N>>,
}

impl<const N: usize> From<ReadPiece<N>> for Piece<Vec<Fact<N, ()>>> {
    fn from(ReadPiece { time, first, facts }: ReadPiece<N>) -> Self {
        let mut before = 0_i64;
        let fact = |Step(after, values)| {
            before = before.wrapping_add(after);
            Fact { at: (before, ()), values }
        };
        Piece { time, first, facts: facts.into_iter().map(fact).collect() }
    }
}

/// The pieces that hold facts of these numbers, which count modulo 2^32.
fn pieces(facts: &Range<u32>) -> impl Iterator<Item = u32> + use<> {
    let first = facts.start / FACTS;
    let count = match facts.end.wrapping_sub(facts.start) {
        0 => 0,
        facts_in => (facts.start % FACTS + facts_in).div_ceil(FACTS),
    };
    (0..count).map(move |n| first.wrapping_add(n) % (u32::MAX / FACTS + 1))
}

/// Whether `piece` is one of [`pieces`].
fn has(facts: &Range<u32>, piece: u32) -> bool {
    let start = piece.wrapping_mul(FACTS);
    let around_first = facts.start.wrapping_sub(start) < FACTS;
    let within = start.wrapping_sub(facts.start) < facts.end.wrapping_sub(facts.start);
    facts.start != facts.end && (around_first || within)
}

/// The part of `facts` that is in `piece`, which one of [`pieces`] is.
fn within(facts: &Range<u32>, piece: u32) -> Range<u32> {
    let start = piece.wrapping_mul(FACTS);
    let (before, end) = (facts.start.wrapping_sub(start), start.wrapping_add(FACTS));
    let start = if before < FACTS { facts.start } else { start };
    let end = if facts.end.wrapping_sub(start) < end.wrapping_sub(start) { facts.end } else { end };
    start..end
}

/// The keys of an operator and their pasts.
pub(crate) struct Pasts<K, const N: usize, const W: usize, X> {
    pub keys: Keys<K, Past<N, W, X>>,
    /// What was written down of keys that are gone.
    gone: Vec<(K, Range<u32>)>,
    /// What was read back, until all is.
    read: FxHashMap<K, Vec<Piece<Vec<Fact<N, ()>>>>>,
}

impl<K: Key, const N: usize, const W: usize, X: Aggregate<N>> Pasts<K, N, W, X> {
    pub fn new() -> Self {
        Pasts { keys: Keys::new(), gone: Vec::new(), read: FxHashMap::default() }
    }

    pub fn remove(&mut self, key: &K) {
        if let Some(past) = self.keys.remove(key)
            && past.written.start != past.written.end
        {
            self.gone.push((key.clone(), past.written));
        }
    }

    /// Writes down the facts that are new, or everything.
    pub fn save(&mut self, save: &mut Save) {
        if save.begins() {
            for (key, written) in self.gone.drain(..) {
                // A key that has come again may have pieces of the same numbers.
                let now = self.keys.get(&key).map_or(0..0, |past| past.history.numbers());
                for piece in pieces(&written).filter(|piece| !has(&now, *piece)) {
                    save.gone(&key, &(&key, piece));
                }
            }
        }
        self.keys.save_by(save, |past| past.history.newest(), |key, past, save| past.save(key, save));
    }

    /// Takes back a piece.
    pub fn load(&mut self, entry: Saved<'_>) -> Result<(), StateError> {
        let (key, _): (K, u32) = postcard::from_bytes(entry.key)?;
        let piece: ReadPiece<N> = postcard::from_bytes(entry.value)?;
        self.read.entry(key).or_default().push(piece.into());
        Ok(())
    }

    /// All pieces have been taken back: makes the pasts of them, and gives the keys.
    pub fn loaded(&mut self, windows: &Windows<W>) -> Result<Vec<K>, StateError> {
        let mut keys = Vec::with_capacity(self.read.len());
        for (key, mut pieces) in self.read.drain() {
            // By number, of which a key has far fewer at once than there are.
            pieces.sort_by(|a, b| (a.first.wrapping_sub(b.first) as i32).cmp(&0));
            let time = pieces.iter().map(|piece| piece.time).max().unwrap_or(i64::MIN);
            let first = pieces.first().map_or(0, |piece| piece.first);
            let facts: std::collections::VecDeque<_> = pieces.into_iter().flat_map(|piece| piece.facts).collect();
            let written = first..first.wrapping_add(facts.len() as u32);
            let history = History::restored(windows, time, first, facts).map_err(|why| StateError(why.to_owned()))?;
            self.keys.put_back(key.clone(), Past { history, written });
            keys.push(key);
        }
        self.read = FxHashMap::default();
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_fact_is_in_one_piece(start in any::<u32>(), len in 0..100_u32) {
            let facts = start..start.wrapping_add(len);
            let mut numbers = Vec::new();
            for piece in pieces(&facts) {
                let within = within(&facts, piece);
                let len = within.end.wrapping_sub(within.start);
                prop_assert!((1..=FACTS).contains(&len));
                numbers.extend((0..len).map(|n| within.start.wrapping_add(n)));
                prop_assert!(numbers.iter().rev().take(len as usize).all(|number| number / FACTS == piece));
            }
            for near in 0..40 {
                let piece = (start / FACTS).wrapping_add(near).wrapping_sub(10) % (u32::MAX / FACTS + 1);
                prop_assert_eq!(has(&facts, piece), pieces(&facts).any(|other| other == piece));
            }
            prop_assert_eq!(numbers, (0..len).map(|n| start.wrapping_add(n)).collect::<Vec<_>>());
        }
    }
}
