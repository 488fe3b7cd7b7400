//! Looks for a pattern in one key's events.

use crate::Pattern;
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;
use tidemill::{Context, Data, Error, Key, Millis, Process, Reject, Result};

/// Partial matches a key may have at once. One more, and the oldest is given as if its time were up.
pub const MOST_PARTIAL: usize = 1_000;

/// A match, or as much of one as there was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Found<K, T> {
    /// Whose events they are.
    pub key: K,
    /// The time of the first event, in milliseconds since 1970 UTC.
    pub start: Millis,
    /// The time of the last one.
    pub end: Millis,
    /// The events, one for each step (so far).
    pub events: Vec<T>,
}

/// Runs a [`Pattern`]. What it emits is complete (`true`) or has run out of time.
pub struct Matcher<K, T> {
    pattern: Pattern<T>,
    key: PhantomData<fn(K)>,
}

impl<K, T> Matcher<K, T> {
    /// Looks for `pattern`, which errors call `name`.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`] if the pattern cannot match: a time below 0 ms, a step wanted 0 times, or a [`Pattern::without`]
    /// that no step follows.
    pub fn new(name: &str, pattern: Pattern<T>) -> Result<Self> {
        match pattern.fault() {
            Some(fault) => Err(Error::Graph(format!("pattern `{name}` {fault}"))),
            None => Ok(Matcher { pattern, key: PhantomData }),
        }
    }
}

/// A match that is not complete.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Partial<T> {
    start: Millis,
    end: Millis,
    events: Vec<T>,
}

impl<T> Partial<T> {
    fn found<K: Clone>(self, key: &K) -> Found<K, T> {
        Found { key: key.clone(), start: self.start, end: self.end, events: self.events }
    }
}

/// What becomes of a partial match when an event comes.
enum Fate {
    Waits,
    Goes,
    Advances,
}

impl<K, T> Matcher<K, T> {
    fn fate(&self, partial: &Partial<T>, event: &T) -> Fate {
        match self.pattern.steps.get(partial.events.len()) {
            Some(step) if (step.fits)(event) => Fate::Advances,
            Some(step) if step.strict || step.without.iter().any(|forbidden| forbidden(event)) => Fate::Goes,
            _ => Fate::Waits,
        }
    }

    /// When a partial match that began at `start` has run out of time, if ever.
    fn over(&self, start: Millis) -> Option<Millis> {
        start.checked_add(self.pattern.within)?.checked_add(1)
    }

    /// When the first of a key's partial matches runs out of time: its only timer.
    fn due(&self, partials: &[Partial<T>]) -> Option<Millis> {
        partials.first().and_then(|oldest| self.over(oldest.start))
    }
}

impl<K: Key, T: Data> Process for Matcher<K, T> {
    type Key = K;
    type In = T;
    type Out = (bool, Found<K, T>);
    /// In the order in which they began.
    type State = Vec<Partial<T>>;

    const UNDO: bool = false;

    fn process(
        &self,
        key: &K,
        event: T,
        partials: &mut Vec<Partial<T>>,
        ctx: &mut Context<'_, Self::Out>,
    ) -> Result<(), Reject> {
        let (time, before) = (ctx.time(), self.due(partials));
        let mut complete = Vec::new();
        partials.retain_mut(|partial| match self.fate(partial, &event) {
            Fate::Waits => true,
            Fate::Goes => false,
            Fate::Advances => {
                partial.events.push(event.clone());
                partial.end = time;
                let done = partial.events.len() == self.pattern.steps.len();
                if done {
                    complete.push(partial.clone());
                }
                !done
            }
        });
        if self.pattern.steps.first().is_some_and(|first| (first.fits)(&event)) {
            let partial = Partial { start: time, end: time, events: vec![event] };
            if self.pattern.steps.len() == 1 {
                complete.push(partial);
            } else {
                if partials.len() == MOST_PARTIAL {
                    ctx.emit((false, partials.remove(0).found(key)));
                }
                partials.push(partial);
            }
        }
        if self.pattern.skip_past_last && !complete.is_empty() {
            complete.truncate(1);
            partials.clear();
        }
        complete.into_iter().for_each(|partial| ctx.emit((true, partial.found(key))));
        let after = self.due(partials);
        if partials.is_empty() {
            ctx.forget();
        } else if before != after {
            before.into_iter().for_each(|at| ctx.cancel_timer(at));
            after.into_iter().for_each(|at| ctx.set_timer(at));
        }
        Ok(())
    }

    fn on_timer(
        &self,
        key: &K,
        partials: &mut Vec<Partial<T>>,
        ctx: &mut Context<'_, Self::Out>,
    ) -> Result<(), Reject> {
        let over = partials.partition_point(|partial| self.over(partial.start).is_some_and(|over| over <= ctx.time()));
        partials.drain(..over).for_each(|partial| ctx.emit((false, partial.found(key))));
        if partials.is_empty() {
            ctx.forget();
        }
        self.due(partials).into_iter().for_each(|at| ctx.set_timer(at));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Matching;
    use proptest::prelude::*;
    use std::cell::Cell;
    use std::collections::BTreeMap;
    use std::rc::Rc;
    use tidemill::harness::Harness;
    use tidemill::time::BEGINNING;
    use tidemill::{Config, Events, Memory, Timing, execute};

    /// Time, key, kind, number.
    type Event = (Millis, u8, u8, u32);

    /// A step as data: which kind, whether the very next event, which kind must not come before, and how many times.
    type Plain = (u8, bool, Option<u8>, usize);

    fn pattern(steps: &[Plain], within: Millis, skip: bool) -> Pattern<Event> {
        let kind = |kind: u8| move |event: &Event| event.2 == kind;
        let mut pattern = Pattern::begin(kind(steps[0].0)).times(steps[0].3);
        for &(fits, strict, without, times) in &steps[1..] {
            if let Some(forbidden) = without {
                pattern = pattern.without(kind(forbidden));
            }
            pattern = if strict { pattern.next(kind(fits)) } else { pattern.then(kind(fits)) }.times(times);
        }
        let pattern = pattern.within(within);
        if skip { pattern.skip_past_last() } else { pattern }
    }

    /// All matches and timeouts of one key's events, by the definition: from each beginning, look ahead.
    fn oracle(steps: &[Plain], within: Millis, skip: bool, events: &[Event]) -> Vec<(bool, Vec<Event>)> {
        let step = |(nth, step): (usize, &Plain)| {
            // The first step says nothing of what comes before it, nor do its repetitions.
            let (strict, without) = if nth == 0 { (false, None) } else { (step.1, step.2) };
            vec![(step.0, strict, without); step.3]
        };
        let steps: Vec<_> = steps.iter().enumerate().flat_map(step).collect();
        // The places of the events of each, and whether it is complete.
        let mut all: Vec<(bool, Vec<usize>)> = vec![];
        for (start, first) in events.iter().enumerate().filter(|(_, event)| event.2 == steps[0].0) {
            let mut found = vec![start];
            for (at, event) in events.iter().enumerate().skip(start + 1) {
                if found.len() == steps.len() || event.0 - first.0 > within {
                    break;
                }
                let (fits, strict, without) = steps[found.len()];
                if event.2 == fits {
                    found.push(at);
                } else if strict || without == Some(event.2) {
                    found.clear();
                    break;
                }
            }
            if !found.is_empty() {
                all.push((found.len() == steps.len(), found));
            }
        }
        if skip {
            // Of all matches in the order of their ends, then of their beginnings, each that begins behind the last one
            // taken; and what had run out of time before a match behind its beginning ended.
            let mut matches: Vec<_> =
                all.iter().filter(|(complete, _)| *complete).map(|(_, found)| found.clone()).collect();
            matches.sort_by_key(|found| (found[steps.len() - 1], found[0]));
            let mut ends: Vec<usize> = vec![];
            matches.retain(|found| {
                let free = ends.last().is_none_or(|last| found[0] > *last);
                ends.extend(free.then_some(found[steps.len() - 1]));
                free
            });
            all.retain(|(complete, found)| match complete {
                true => matches.contains(found),
                false => ends.iter().all(|end| *end < found[0] || events[*end].0 > events[found[0]].0 + within),
            });
        }
        let event = |(complete, found): (bool, Vec<usize>)| (complete, found.iter().map(|at| events[*at]).collect());
        all.into_iter().map(event).collect()
    }

    /// Epochs of events on both sides of the watermark, some twice; each with the watermark at its end.
    fn events() -> impl Strategy<Value = Vec<(Vec<Event>, Millis)>> {
        let event = (-40i64..100, 0u8..3, 0u8..4, 1usize..3);
        prop::collection::vec((prop::collection::vec(event, 0..20), 0i64..100), 1..8).prop_map(|epochs| {
            let (mut watermark, mut number) = (-100, 0);
            let close = |(events, step): (Vec<_>, Millis)| {
                let mut closed = vec![];
                for (offset, key, kind, times) in events {
                    number += 1;
                    closed.extend(vec![(watermark + offset, key, kind, number); times]);
                }
                watermark += step;
                (closed, watermark)
            };
            epochs.into_iter().map(close).collect()
        })
    }

    fn steps() -> impl Strategy<Value = Vec<Plain>> {
        prop::collection::vec((0u8..4, any::<bool>(), prop::option::of(0u8..4), 1usize..3), 1..4)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn matches_are_what_looking_ahead_from_each_beginning_finds(
            epochs in events(), steps in steps(), within in 0i64..150, skip: bool,
            workers in 1usize..5, cut in 0usize..8, after in 1usize..5,
        ) {
            let plain = steps.clone();
            let make = move || Matcher::<u8, Event>::new("pattern", pattern(&plain, within, skip)).unwrap();
            let mut harness = Harness::process(workers, |event: &Event| event.1, make);
            let (mut out, mut keys, mut before) = (vec![], BTreeMap::<u8, Vec<Event>>::new(), BEGINNING);
            for (number, (events, watermark)) in epochs.iter().enumerate() {
                for event in events {
                    harness.push(event.0, *event);
                    if event.0 >= before {
                        keys.entry(event.1).or_default().push(*event);
                    }
                }
                harness.watermark(*watermark);
                for record in harness.emitted() {
                    prop_assert!(record.time >= before);
                    out.push((record.value.0, record.value.1.events));
                }
                if number == cut {
                    harness.restore(after).unwrap();
                }
                before = *watermark;
            }
            harness.watermark(before + 1_000_000);
            out.extend(harness.out().into_iter().map(|(complete, found)| (complete, found.events)));
            let mut expected = vec![];
            for events in keys.values_mut() {
                events.sort_by_key(|event| event.0);
                expected.extend(oracle(&steps, within, skip, events));
            }
            out.sort();
            expected.sort();
            prop_assert_eq!(out, expected);
            prop_assert!(harness.is_empty());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn a_job_writes_the_same_bytes_on_any_number_of_workers(
            parts in prop::collection::vec(prop::collection::vec((0i64..3_000, 0u8..20, 0u8..4), 0..200), 1..3),
            steps in steps(), skip: bool, epoch_records in 1usize..60,
        ) {
            let mut first = None;
            for workers in [1, 2, 4] {
                let (matches, timeouts) = (Memory::new(), Memory::new());
                let (to_matches, to_timeouts, steps) = (matches.clone(), timeouts.clone(), steps.clone());
                let numbered = |part: &Vec<(Millis, u8, u8)>| (0..).zip(part).map(|(n, e)| (e.0, e.1, e.2, n)).collect();
                let input = Events::partitioned(parts.iter().map(numbered).collect::<Vec<Vec<Event>>>());
                execute(Config { epoch_records, ..Config::workers(workers) }, move |job| {
                    let timing = Timing::by(|event: &Event| event.0).disorder(500);
                    let events = job.source("events", input.clone(), timing)?.key_by(|event| event.1);
                    let (matches, timeouts) = events.matches("pattern", pattern(&steps, 100, skip))?;
                    matches.sink("matches", to_matches.clone())?;
                    timeouts.sink("timeouts", to_timeouts.clone())
                }).unwrap();
                let written = (matches.take(), timeouts.take());
                prop_assert_eq!(first.get_or_insert(written.clone()), &written, "{} workers", workers);
            }
        }
    }

    #[test]
    fn a_step_may_be_wanted_several_times() {
        let failed = |event: &Event| event.2 == 1;
        let make = move || Matcher::<u8, Event>::new("pattern", Pattern::begin(failed).times(3).within(100)).unwrap();
        let mut harness = Harness::process(1, |event: &Event| event.1, make);
        for (n, time) in [0, 10, 60, 110].into_iter().enumerate() {
            harness.push(time, (time, 1, 1, n as u32));
        }
        harness.watermark(1_000);
        let matches: Vec<_> = harness.out().into_iter().filter(|(complete, _)| *complete).collect();
        let spans: Vec<_> = matches.iter().map(|(_, found)| (found.start, found.end)).collect();
        assert_eq!(spans, [(0, 60), (10, 110)]);
    }

    #[test]
    fn the_oldest_partial_match_gives_way_where_there_are_too_many() {
        let kind = |kind: u8| move |event: &Event| event.2 == kind;
        let pattern = move || Pattern::begin(kind(1)).then(kind(2)).within(100_000);
        let make = move || Matcher::<u8, Event>::new("pattern", pattern()).unwrap();
        let mut harness = Harness::process(1, |event: &Event| event.1, make);
        (0..=MOST_PARTIAL as i64).for_each(|time| harness.push(time, (time, 1, 1, 0)));
        harness.watermark(5_000);
        let out = harness.out();
        assert_eq!((out.len(), out[0].0, out[0].1.start), (1, false, 0));
    }

    /// Counts how often timers fire.
    struct Counted(Matcher<u8, Event>, Rc<Cell<usize>>);

    impl Process for Counted {
        type Key = u8;
        type In = Event;
        type Out = (bool, Found<u8, Event>);
        type State = Vec<Partial<Event>>;

        fn process(
            &self,
            key: &u8,
            event: Event,
            partials: &mut Vec<Partial<Event>>,
            ctx: &mut Context<'_, Self::Out>,
        ) -> Result<(), Reject> {
            self.0.process(key, event, partials, ctx)
        }

        fn on_timer(
            &self,
            key: &u8,
            partials: &mut Vec<Partial<Event>>,
            ctx: &mut Context<'_, Self::Out>,
        ) -> Result<(), Reject> {
            self.1.set(self.1.get() + 1);
            self.0.on_timer(key, partials, ctx)
        }
    }

    /// Every event ends a match and begins the next: whatever is kept of those that are over would pile up.
    #[test]
    fn matches_that_are_over_leave_no_timers() {
        let fired = Rc::new(Cell::new(0));
        let counter = Rc::clone(&fired);
        let make = move || {
            let pattern = Pattern::begin(|_: &Event| true).then(|_| true).within(1_000_000);
            Counted(Matcher::new("pattern", pattern).unwrap(), Rc::clone(&counter))
        };
        let mut harness = Harness::process(1, |event: &Event| event.1, make);
        for time in 0..1_000 {
            harness.push(time, (time, 1, 1, time as u32));
            harness.watermark(time);
        }
        harness.restore(1).unwrap();
        harness.watermark(2_000_000);
        assert_eq!(harness.out().len(), 1_000);
        assert_eq!(fired.get(), 2, "the last partial match's timer, in the operator and its twin");
    }

    #[test]
    fn no_time_is_up_at_the_end_of_time() {
        let pattern = || Pattern::begin(|_: &Event| true).next(|_| true).within(1_000);
        let make = move || Matcher::<u8, Event>::new("pattern", pattern()).unwrap();
        let mut harness = Harness::process(1, |event: &Event| event.1, make);
        for time in [Millis::MAX - 5, Millis::MAX] {
            harness.push(time, (time, 1, 1, 0));
        }
        harness.watermark(Millis::MAX);
        let out: Vec<_> =
            harness.out().into_iter().map(|(complete, found)| (complete, found.start, found.end)).collect();
        assert_eq!(out, [(true, Millis::MAX - 5, Millis::MAX)]);
    }

    #[test]
    fn a_pattern_that_cannot_match_is_refused() {
        let refused = |pattern: fn() -> Pattern<Event>| {
            let outcome = execute(Config::workers(1), move |job| {
                let timing = Timing::by(|event: &Event| event.0);
                let events = job.source("events", Events::new(vec![(0, 0, 0, 0)]), timing)?;
                events.key_by(|event| event.1).matches("carts", pattern())?.0.sink("out", Memory::new())
            });
            let error = outcome.unwrap_err().to_string();
            let alone = Matcher::<u8, Event>::new("carts", pattern());
            assert_eq!(alone.err().map(|error| error.to_string()), Some(error.clone()));
            error
        };
        fn begin() -> Pattern<Event> {
            Pattern::begin(|_| true)
        }
        let error = refused(|| begin().without(|_| true));
        assert!(error.contains("pattern `carts` ends with a `without`"), "{error}");
        let error = refused(|| begin().times(0).then(|_| true));
        assert!(error.contains("pattern `carts` wants a step 0 times"), "{error}");
        let error = refused(|| begin().within(-1));
        assert!(error.contains("pattern `carts` must be complete within -1 ms"), "{error}");
    }
}
