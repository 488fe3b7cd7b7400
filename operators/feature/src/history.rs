//! The facts of one key, and its windows as of the latest event.
//!
//! The facts lie in one queue in the order of their positions. A window is a range of that queue with running sums; when
//! the time moves on, facts enter it on the right and leave it on the left, each once. Everything below keeps
//!
//! - the queue sorted by position, and without the facts that no permitted question can reach;
//! - each range equal to the facts its window holds at the `clock`, the latest position seen (after a restore the ranges
//!   are empty at the queue's front, which is a valid start, and catch up at the next call);
//! - `mass`, the sum of the magnitudes in the queue, within `i64`, so that no sum of a part of it can overflow.

mod late;

use std::array::from_fn;
use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::range::{Fact, Range};
use crate::{Aggregate, Answer, At, Summary, Windows};

/// Why a fact or a question was refused. The history is as it was, but for the time that may have moved on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// A question further back than the allowed lateness, or a fact that no permitted question can reach.
    #[error("{behind} ms behind the latest event of its key: allow more lateness, or set it aside")]
    TooLate {
        /// How far behind the latest event of the key, in ms.
        behind: u64,
    },
    /// A fact with which a sum might no longer fit: the magnitudes of a column's kept values must sum to an `i64`.
    #[error("the values kept for its key would sum to more than an i64 holds")]
    TooLarge,
    /// No such fact is kept, so it cannot be removed.
    #[error("no fact with this time, tie and values is kept for its key")]
    Unknown,
}

/// The state of one key for final answers: each question answered once.
///
/// `N` is the number of value columns of a fact, `W` that of the windows, `T` the tie that orders events of the same
/// time, and `X` what the windows keep besides count and sums. All calls on a history take the same `windows`; after a
/// restore they may be different ones, within the facts that were kept.
///
/// Events in order cost amortised constant time per window and allocate nothing but the queue. Late ones are exact too:
/// a late fact is put in its place and counts for the questions still to come, and a late question is answered as of its
/// own position, both by a search and a walk over what lies between. Questions answered before a late fact are not corrected; that is
/// [`AtOnce`](crate::AtOnce).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Saved<N, T>")]
#[serde(bound(serialize = "T: Serialize", deserialize = "T: Copy + Ord + Deserialize<'de>, X: Aggregate<N>"))]
pub struct History<const N: usize, const W: usize, T = u64, X = ()> {
    clock: At<T>,
    facts: VecDeque<Fact<N, T>>,
    #[serde(skip)]
    mass: [u64; N],
    /// How many facts have been dropped from the front, modulo 2^32: ranges count from the first fact ever.
    #[serde(skip)]
    dropped: u32,
    #[serde(skip)]
    ranges: [Range<N, X>; W],
}

impl<const N: usize, const W: usize, T, X> Default for History<N, W, T, X>
where
    T: Copy + Ord + Default,
    X: Aggregate<N>,
{
    fn default() -> Self {
        History::new((i64::MIN, T::default()), VecDeque::new(), [0; N])
    }
}

impl<const N: usize, const W: usize, T, X> History<N, W, T, X>
where
    T: Copy + Ord,
    X: Aggregate<N>,
{
    fn new(clock: At<T>, facts: VecDeque<Fact<N, T>>, mass: [u64; N]) -> Self {
        History { clock, facts, mass, dropped: 0, ranges: from_fn(|_| Range::at(0)) }
    }

    /// A fact that is its own question, as most events are: [`insert`](Self::insert), then [`ask`](Self::ask).
    ///
    /// # Errors
    ///
    /// As for the two.
    #[inline]
    pub fn push(
        &mut self,
        windows: &Windows<W>,
        at: At<T>,
        values: [i64; N],
    ) -> Result<Answer<N, W, X::Reading>, Refused> {
        self.insert(windows, at, values)?;
        if at == self.clock {
            return Ok(self.read());
        }
        self.ask(windows, at)
    }

    /// A fact: `values` counts from the position `at` on.
    ///
    /// # Errors
    ///
    /// [`Refused::TooLate`] if no permitted question can reach it, [`Refused::TooLarge`] if a sum might overflow.
    #[inline]
    pub fn insert(&mut self, windows: &Windows<W>, at: At<T>, values: [i64; N]) -> Result<(), Refused> {
        if at < self.clock {
            return self.insert_late(windows, at, values);
        }
        if !self.weigh(&values) {
            self.advance(windows, at);
            if !self.weigh(&values) {
                return Err(Refused::TooLarge);
            }
        }
        if self.facts.capacity() == 0 {
            // Many keys have a single event: no room for four.
            self.facts.reserve_exact(1);
        }
        let number = self.dropped.wrapping_add(self.facts.len() as u32);
        for (span, range) in windows.spans.iter().zip(&mut self.ranges) {
            // Spares `advance` from reading back what is written below.
            if range.end == number && windows.entered(span, &at, &at) {
                range.enter(&values);
            }
        }
        self.facts.push_back(Fact { at, values });
        self.advance(windows, at);
        Ok(())
    }

    /// A question: what the windows hold at the position `at`.
    ///
    /// # Errors
    ///
    /// [`Refused::TooLate`] if it is further behind the latest event than the allowed lateness.
    #[inline]
    pub fn ask(&mut self, windows: &Windows<W>, at: At<T>) -> Result<Answer<N, W, X::Reading>, Refused> {
        if at < self.clock {
            return self.ask_late(windows, at);
        }
        self.advance(windows, at);
        Ok(self.read())
    }

    /// Moves the time on to `before` at least: what no question from there on can reach is dropped.
    ///
    /// For keys that have gone quiet; events do it by themselves.
    pub fn forget(&mut self, windows: &Windows<W>, before: i64)
    where
        T: Default,
    {
        self.advance(windows, self.clock.max((before, T::default())));
    }

    /// Drops the facts that no question from `horizon` on can reach, whatever the lateness. From then on questions from
    /// before it would be answered without them, so the caller asks none.
    #[inline]
    pub(crate) fn trim(&mut self, windows: &Windows<W>, horizon: i64)
    where
        T: Default,
    {
        let unreachable = |fact: &Fact<N, T>| fact.at.0 < horizon && horizon.abs_diff(fact.at.0) >= windows.reach;
        if self.facts.front().is_some_and(unreachable) {
            // All windows leave these facts first.
            self.advance(windows, self.clock.max((horizon, T::default())));
            while self.facts.front().is_some_and(unreachable) {
                self.drop_first();
            }
        }
    }

    /// The time from which on no question can reach any fact, in ms: a key then equals a new one and can be dropped.
    pub fn expires(&self, windows: &Windows<W>) -> Option<i64> {
        let last = self.facts.back()?;
        Some(last.at.0.saturating_add_unsigned(windows.keep()))
    }

    /// How many facts are kept.
    pub fn len(&self) -> usize {
        self.facts.len()
    }

    /// Whether no facts are kept.
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    /// The latest time seen, in ms; `i64::MIN` if none was.
    pub fn time(&self) -> i64 {
        self.clock.0
    }

    /// How many facts with these values are kept at this position.
    pub(crate) fn count_of(&self, at: At<T>, values: &[i64; N]) -> usize {
        let first = self.facts.partition_point(|fact| fact.at < at);
        self.facts.range(first..).take_while(|fact| fact.at == at).filter(|fact| fact.values == *values).count()
    }

    /// The time of the newest fact, if there is one.
    pub(crate) fn newest(&self) -> i64 {
        self.facts.back().map_or(0, |fact| fact.at.0)
    }

    /// The numbers of the facts that are kept, modulo 2^32.
    pub(crate) fn numbers(&self) -> std::ops::Range<u32> {
        self.dropped..self.dropped.wrapping_add(self.facts.len() as u32)
    }

    /// Of those, the facts of these numbers.
    pub(crate) fn facts_of(&self, numbers: std::ops::Range<u32>) -> impl ExactSizeIterator<Item = &Fact<N, T>> + Clone {
        let place = |number: u32| number.wrapping_sub(self.dropped) as usize;
        self.facts.range(place(numbers.start)..place(numbers.end))
    }

    /// A history as it was written down at `time`, with its facts from number `first` on.
    pub(crate) fn restored(
        windows: &Windows<W>,
        time: i64,
        first: u32,
        facts: VecDeque<Fact<N, T>>,
    ) -> Result<Self, &'static str>
    where
        T: Default,
    {
        let mut history: Self = Saved { clock: (time, T::default()), facts }.try_into()?;
        history.dropped = first;
        history.ranges = from_fn(|_| Range::at(first));
        history.advance(windows, history.clock);
        Ok(history)
    }

    #[inline]
    fn read(&self) -> Answer<N, W, X::Reading> {
        self.ranges.each_ref().map(|range| Summary {
            count: u64::from(range.end.wrapping_sub(range.start)),
            sums: range.sums,
            also: range.also.read(),
        })
    }

    /// Reads what the next event of this key will: the last fact, and the oldest of each window.
    /// The answer means nothing, but whoever uses it has them in the cache.
    #[inline]
    pub(crate) fn touch(&self) -> i64 {
        let starts = self.ranges.iter().map(|range| range.places(self.dropped).start);
        let places = starts.chain(self.facts.len().checked_sub(1));
        places.filter_map(|place| self.facts.get(place)).fold(0, |all, fact| all ^ fact.at.0)
    }

    /// Moves the clock to `at`, which is not before it.
    #[inline]
    fn advance(&mut self, windows: &Windows<W>, at: At<T>) {
        self.clock = at;
        for (span, range) in windows.spans.iter().zip(&mut self.ranges) {
            while let Some(fact) = self.facts.get(range.places(self.dropped).end)
                && windows.entered(span, &fact.at, &at)
            {
                range.enter(&fact.values);
            }
            while range.start != range.end
                && let Some(fact) = self.facts.get(range.places(self.dropped).start)
                && span.left(fact.at.0, at.0)
            {
                range.leave(&fact.values);
            }
        }
        while let Some(fact) = self.facts.front()
            && at.0.abs_diff(fact.at.0) >= windows.keep()
        {
            self.drop_first();
        }
    }

    /// Drops the first fact, which no window holds any more.
    #[inline]
    fn drop_first(&mut self) {
        if let Some(Fact { values, .. }) = self.facts.pop_front() {
            self.dropped = self.dropped.wrapping_add(1);
            self.lift(&values);
            self.shrink();
        }
    }

    /// Gives memory back once a burst has passed.
    #[inline]
    fn shrink(&mut self) {
        let (len, capacity) = (self.facts.len(), self.facts.capacity());
        if capacity > 8 && len < capacity / 4 {
            self.facts.shrink_to(2 * len);
        }
    }

    /// Adds a fact's values to the mass, if that fits.
    #[inline]
    fn weigh(&mut self, values: &[i64; N]) -> bool {
        let mut fits = self.facts.len() < u32::MAX as usize;
        let mass: [u64; N] = from_fn(|column| {
            let mass = self.mass[column].saturating_add(values[column].unsigned_abs());
            fits &= mass <= i64::MAX as u64;
            mass
        });
        if fits {
            self.mass = mass;
        }
        fits
    }

    #[inline]
    fn lift(&mut self, values: &[i64; N]) {
        for (mass, value) in self.mass.iter_mut().zip(values) {
            *mass -= value.unsigned_abs();
        }
    }
}

/// What a checkpoint holds of a history; the rest follows from it.
#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
struct Saved<const N: usize, T> {
    clock: At<T>,
    facts: VecDeque<Fact<N, T>>,
}

impl<const N: usize, const W: usize, T, X> TryFrom<Saved<N, T>> for History<N, W, T, X>
where
    T: Copy + Ord,
    X: Aggregate<N>,
{
    type Error = &'static str;

    fn try_from(saved: Saved<N, T>) -> Result<Self, Self::Error> {
        if !saved.facts.iter().is_sorted_by_key(|fact| fact.at)
            || saved.facts.back().is_some_and(|fact| fact.at > saved.clock)
        {
            return Err("a key's facts are out of order");
        }
        let mut history = History::new(saved.clock, saved.facts, [0; N]);
        let facts = std::mem::take(&mut history.facts);
        if !facts.iter().all(|fact| history.weigh(&fact.values)) {
            return Err("a key's facts sum to more than an i64 holds");
        }
        history.facts = facts;
        Ok(history)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Span;

    #[test]
    fn the_numbers_of_facts_wrap() -> Result<(), Refused> {
        let windows = Windows::new([Span::last(5), Span::last(9).delayed(3)]).lateness(4);
        let mut state = History::<1, 2>::default();
        let mut wrapping = state.clone();
        wrapping.dropped = u32::MAX - 7;
        wrapping.ranges = from_fn(|_| Range::at(u32::MAX - 7));
        for time in 0..60 {
            for at in [(time, 0), (time - 3, 1)] {
                let answer = state.push(&windows, at, [time])?;
                assert_eq!(wrapping.push(&windows, at, [time])?, answer);
            }
        }
        assert!(wrapping.dropped < state.dropped);
        Ok(())
    }
}
