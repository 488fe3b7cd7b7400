//! Answers at once, corrected by what comes late.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::{Aggregate, Answer, At, History, Refused, Summary, Windows};

/// The state of one key for answers at once.
///
/// A question is answered with the facts known so far and remembered under its `Id` with its answer. A fact that is
/// inserted or removed later corrects exactly the remembered questions that it reaches: `changed` is called for each, in
/// the order of their positions, with its id, the old answer and the new one. At any moment the remembered answers are
/// those of all facts known, whatever the order of arrival.
///
/// [`Windows::lateness`] says how far behind the latest event of its key a question is answered and remembered;
/// [`forget`](Self::forget) ends that sooner. Facts may come as long as a question can reach them, however late; those
/// within the lateness miss no question. (The operator, [`SlidingWindows::at_once`](crate::SlidingWindows::at_once), goes
/// by the watermark instead, since a key's latest event may be far ahead of another that is on time.)
///
/// Events in order cost what they cost in a [`History`]. A late fact costs a search and a visit to each question in its
/// reach; a visit costs constant time, and a walk over the window where there are aggregates besides count and sums.
/// After a restore the windows must be the same as before, or the questions forgotten.
///
/// ```
/// use tidemill_feature::{AtOnce, Span, Windows};
///
/// const WINDOWS: Windows<1> = Windows::new([Span::last(1_000)]).lateness(60_000);
/// let mut card = AtOnce::<&str, 0, 1>::default();
/// let mut corrected = Vec::new();
///
/// for (payment, time) in [("first", 100), ("second", 900), ("late", 500)] {
///     card.insert(&WINDOWS, (time, 0), [], |id, [old], [new]| {
///         corrected.push((*id, old.count, new.count));
///     })?;
///     card.ask(&WINDOWS, (time, 0), payment)?;
/// }
/// assert_eq!(corrected, [("second", 2, 3)]);
/// # Ok::<(), tidemill_feature::Refused>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound(
    serialize = "Id: Serialize, T: Serialize, X::Reading: Serialize",
    deserialize = "Id: Deserialize<'de>, T: Copy + Ord + Deserialize<'de>, X::Reading: Deserialize<'de>"
))]
pub struct AtOnce<Id, const N: usize, const W: usize, T = u64, X: Aggregate<N> = ()> {
    history: History<N, W, T, X>,
    /// Sorted by position, then by arrival.
    asked: VecDeque<Asked<Id, N, W, T, X::Reading>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Asked<Id, const N: usize, const W: usize, T, R> {
    at: At<T>,
    id: Id,
    #[serde(with = "crate::array", bound(serialize = "R: Serialize", deserialize = "R: Deserialize<'de>"))]
    answer: Answer<N, W, R>,
}

impl<Id, const N: usize, const W: usize, T, X> Default for AtOnce<Id, N, W, T, X>
where
    T: Copy + Ord + Default,
    X: Aggregate<N>,
{
    fn default() -> Self {
        AtOnce { history: History::default(), asked: VecDeque::new() }
    }
}

impl<Id, const N: usize, const W: usize, T, X> AtOnce<Id, N, W, T, X>
where
    T: Copy + Ord,
    X: Aggregate<N>,
{
    /// A question at the position `at`: answered now, and remembered to be corrected.
    ///
    /// An event that is fact and question is inserted first. Ids need not differ, unless they are to be
    /// [withdrawn](Self::withdraw).
    ///
    /// # Errors
    ///
    /// [`Refused::TooLate`] if it is further behind the latest event than the allowed lateness.
    pub fn ask(&mut self, windows: &Windows<W>, at: At<T>, id: Id) -> Result<Answer<N, W, X::Reading>, Refused> {
        let answer = self.history.ask(windows, at)?;
        let asked = Asked { at, id, answer };
        match self.asked.back() {
            Some(last) if at < last.at => {
                let index = self.asked.partition_point(|other| other.at <= at);
                self.asked.insert(index, asked);
            }
            _ => self.asked.push_back(asked),
        }
        self.settle(windows);
        Ok(answer)
    }

    /// Takes back the question asked at `at` under this id, and returns its answer as it stood; `None` if it is not
    /// remembered.
    pub fn withdraw(&mut self, at: At<T>, id: &Id) -> Option<Answer<N, W, X::Reading>>
    where
        Id: PartialEq,
    {
        let first = self.asked.partition_point(|other| other.at < at);
        let offset = self.asked.range(first..).take_while(|other| other.at == at).position(|other| other.id == *id)?;
        self.asked.remove(first + offset).map(|asked| asked.answer)
    }

    /// A fact: `values` counts from the position `at` on, and for the remembered questions that it reaches.
    ///
    /// # Errors
    ///
    /// [`Refused::TooLate`] if no permitted question can reach it, [`Refused::TooLarge`] if a sum might overflow; then
    /// nothing is corrected.
    pub fn insert(
        &mut self,
        windows: &Windows<W>,
        at: At<T>,
        values: [i64; N],
        changed: impl FnMut(&Id, &Answer<N, W, X::Reading>, &Answer<N, W, X::Reading>),
    ) -> Result<(), Refused> {
        self.history.insert(windows, at, values)?;
        let enter = |summary: &mut Summary<N, X::Reading>| {
            summary.count += 1;
            (summary.sums.iter_mut().zip(values)).for_each(|(sum, value)| *sum += value);
        };
        self.correct(windows, at, enter, changed);
        Ok(())
    }

    /// Takes back a fact: as if one with these values had never been inserted at `at`.
    ///
    /// # Errors
    ///
    /// [`Refused::TooLate`] if such a fact would no longer be kept, [`Refused::Unknown`] if there is none; then nothing
    /// is corrected.
    pub fn remove(
        &mut self,
        windows: &Windows<W>,
        at: At<T>,
        values: [i64; N],
        changed: impl FnMut(&Id, &Answer<N, W, X::Reading>, &Answer<N, W, X::Reading>),
    ) -> Result<(), Refused> {
        self.history.remove(windows, at, values)?;
        let leave = |summary: &mut Summary<N, X::Reading>| {
            summary.count -= 1;
            (summary.sums.iter_mut().zip(values)).for_each(|(sum, value)| *sum -= value);
        };
        self.correct(windows, at, leave, changed);
        Ok(())
    }

    /// Forgets the questions before the time `before`, and moves the key's time on to it: the caller expects no more
    /// events from before it, and what no question from there on can reach is dropped.
    pub fn forget(&mut self, windows: &Windows<W>, before: i64)
    where
        T: Default,
    {
        let forgotten = self.asked.partition_point(|asked| asked.at.0 < before);
        self.asked.drain(..forgotten);
        self.shrink();
        self.history.forget(windows, before);
    }

    /// Forgets the questions before `horizon`, handing each to `gone` with its answer as it stood, and the facts that no
    /// later question can reach, whatever the lateness. From then on the caller asks nothing from before the horizon.
    #[inline]
    pub(crate) fn expire(
        &mut self,
        windows: &Windows<W>,
        horizon: i64,
        mut gone: impl FnMut(Id, Answer<N, W, X::Reading>),
    ) where
        T: Default,
    {
        if self.asked.front().is_some_and(|first| first.at.0 < horizon) {
            let expired = self.asked.partition_point(|asked| asked.at.0 < horizon);
            self.asked.drain(..expired).for_each(|asked| gone(asked.id, asked.answer));
            self.shrink();
        }
        self.history.trim(windows, horizon);
    }

    /// The time of the first question remembered, in ms.
    pub(crate) fn oldest(&self) -> Option<i64> {
        self.asked.front().map(|asked| asked.at.0)
    }

    /// The remembered questions in the order of their positions, with their answers as they stand.
    pub fn remembered(&self) -> impl Iterator<Item = (&Id, &Answer<N, W, X::Reading>)> {
        self.asked.iter().map(|asked| (&asked.id, &asked.answer))
    }

    /// The facts.
    pub fn history(&self) -> &History<N, W, T, X> {
        &self.history
    }

    /// Whether there is nothing to remember: no fact and no question.
    pub fn is_empty(&self) -> bool {
        self.history.is_empty() && self.asked.is_empty()
    }

    /// Gives memory back once a burst of questions has passed.
    fn shrink(&mut self) {
        let (len, capacity) = (self.asked.len(), self.asked.capacity());
        if capacity > 8 && len < capacity / 4 {
            self.asked.shrink_to(2 * len);
        }
    }

    /// Forgets the questions that are behind by more than the lateness: the facts they reach may be gone.
    fn settle(&mut self, windows: &Windows<W>) {
        let now = self.history.time();
        while let Some(first) = self.asked.front()
            && first.at.0.abs_diff(now) > windows.lateness
        {
            self.asked.pop_front();
        }
    }

    /// Corrects the questions reached by a fact at `at` that has just been inserted or removed.
    fn correct(
        &mut self,
        windows: &Windows<W>,
        at: At<T>,
        update: impl Fn(&mut Summary<N, X::Reading>),
        mut changed: impl FnMut(&Id, &Answer<N, W, X::Reading>, &Answer<N, W, X::Reading>),
    ) {
        self.settle(windows);
        if self.asked.back().is_none_or(|last| last.at.0 < at.0) {
            return;
        }
        let first = self.asked.partition_point(|asked| asked.at.0 < at.0);
        let reached = (self.asked.range_mut(first..)).take_while(|asked| asked.at.0.abs_diff(at.0) < windows.reach);
        for asked in reached {
            let old = asked.answer;
            let mut touched = false;
            for (window, span) in windows.spans.iter().enumerate() {
                if windows.holds(span, &at, &asked.at) {
                    let summary = &mut asked.answer[window];
                    update(summary);
                    summary.also = self.history.reading(windows, window, asked.at);
                    touched = true;
                }
            }
            if touched {
                changed(&asked.id, &old, &asked.answer);
            }
        }
    }
}
