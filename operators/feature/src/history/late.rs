//! What comes behind the clock: facts put in their place or taken out of it, and questions about the past.

use crate::range::{Fact, add, collect, subtract};
use crate::{Aggregate, Answer, At, History, Refused, Summary, Windows};
use std::array::from_fn;

impl<const N: usize, const W: usize, T, X> History<N, W, T, X>
where
    T: Copy + Ord,
    X: Aggregate<N>,
{
    /// Takes back a fact: as if one with these values had never been inserted at `at`.
    ///
    /// # Errors
    ///
    /// [`Refused::TooLate`] if such a fact would no longer be kept, [`Refused::Unknown`] if there is none.
    pub fn remove(&mut self, windows: &Windows<W>, at: At<T>, values: [i64; N]) -> Result<(), Refused> {
        self.catch_up(windows);
        self.on_time(at, windows.keep())?;
        let first = self.facts.partition_point(|fact| fact.at < at);
        let index = (self.facts.range(first..).take_while(|fact| fact.at == at))
            .position(|fact| fact.values == values)
            .map(|offset| first + offset)
            .ok_or(Refused::Unknown)?;
        self.facts.remove(index);
        self.lift(&values);
        for range in &mut self.ranges {
            let places = range.places(self.dropped);
            if index < places.start {
                range.start = range.start.wrapping_sub(1);
                range.end = range.end.wrapping_sub(1);
            } else if index < places.end {
                range.end = range.end.wrapping_sub(1);
                subtract(&mut range.sums, &values);
                if X::ORDERED {
                    range.also = collect(self.facts.range(places.start..places.end - 1));
                } else {
                    range.also.leave(&values);
                }
            }
        }
        Ok(())
    }

    /// After a restore the ranges are behind the clock.
    fn catch_up(&mut self, windows: &Windows<W>) {
        self.advance(windows, self.clock);
    }

    /// Whether an event at `at` is less than `limit` ms behind the clock.
    fn on_time(&self, at: At<T>, limit: u64) -> Result<(), Refused> {
        let behind = self.clock.0.abs_diff(at.0);
        if at.0 < self.clock.0 && behind >= limit {
            return Err(Refused::TooLate { behind });
        }
        Ok(())
    }

    #[cold]
    pub(super) fn insert_late(&mut self, windows: &Windows<W>, at: At<T>, values: [i64; N]) -> Result<(), Refused> {
        self.catch_up(windows);
        self.on_time(at, windows.keep())?;
        if !self.weigh(&values) {
            return Err(Refused::TooLarge);
        }
        let index = self.facts.partition_point(|fact| fact.at <= at);
        self.facts.insert(index, Fact { at, values });
        for (span, range) in windows.spans.iter().zip(&mut self.ranges) {
            if !windows.entered(span, &at, &self.clock) {
                continue;
            }
            range.end = range.end.wrapping_add(1);
            if span.left(at.0, self.clock.0) {
                range.start = range.start.wrapping_add(1);
                continue;
            }
            add(&mut range.sums, &values);
            if X::ORDERED {
                range.also = collect(self.facts.range(range.places(self.dropped)));
            } else {
                range.also.enter(&values);
            }
        }
        Ok(())
    }

    /// The windows of a position behind the clock: those of the clock, with the facts between the two undone.
    #[cold]
    pub(super) fn ask_late(&mut self, windows: &Windows<W>, at: At<T>) -> Result<Answer<N, W, X::Reading>, Refused> {
        self.catch_up(windows);
        self.on_time(at, windows.lateness.saturating_add(1))?;
        Ok(from_fn(|window| {
            let (span, range) = (&windows.spans[window], &self.ranges[window]);
            let std::ops::Range { mut start, mut end } = range.places(self.dropped);
            let mut sums = range.sums;
            while start > 0 && !span.left(self.facts[start - 1].at.0, at.0) {
                start -= 1;
                add(&mut sums, &self.facts[start].values);
            }
            while end > start && !windows.entered(span, &self.facts[end - 1].at, &at) {
                end -= 1;
                subtract(&mut sums, &self.facts[end].values);
            }
            Summary { count: (end - start) as u64, sums, also: collect::<N, T, X>(self.facts.range(start..end)).read() }
        }))
    }

    /// What `X` reads in a window of a question at `at`, from the facts alone.
    pub(crate) fn reading(&self, windows: &Windows<W>, window: usize, at: At<T>) -> X::Reading {
        if !X::KEEPS {
            return X::default().read();
        }
        let span = &windows.spans[window];
        let end = (self.facts).partition_point(|fact| windows.entered(span, &fact.at, &at));
        let start = (self.facts).partition_point(|fact| span.left(fact.at.0, at.0));
        collect::<N, T, X>(self.facts.range(start.min(end)..end)).read()
    }
}
