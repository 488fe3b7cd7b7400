//! Looks for a pattern in one key's events.

use crate::Pattern;
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;
use tidemill::{Context, Data, Key, Millis, Process, Reject};

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
    /// Looks for `pattern`.
    pub fn new(pattern: Pattern<T>) -> Self {
        Matcher { pattern, key: PhantomData }
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

    /// When a partial match that began at `start` has run out of time.
    fn over(&self, start: Millis) -> Millis {
        start.saturating_add(self.pattern.within).saturating_add(1)
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
        let time = ctx.time();
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
                ctx.set_timer(self.over(time));
                partials.push(partial);
            }
        }
        if self.pattern.skip_past_last && !complete.is_empty() {
            complete.truncate(1);
            partials.clear();
        }
        complete.into_iter().for_each(|partial| ctx.emit((true, partial.found(key))));
        if partials.is_empty() {
            ctx.forget();
        }
        Ok(())
    }

    fn on_timer(
        &self,
        key: &K,
        partials: &mut Vec<Partial<T>>,
        ctx: &mut Context<'_, Self::Out>,
    ) -> Result<(), Reject> {
        let over = partials.partition_point(|partial| self.over(partial.start) <= ctx.time());
        partials.drain(..over).for_each(|partial| ctx.emit((false, partial.found(key))));
        if partials.is_empty() {
            ctx.forget();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Matching;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use tidemill::harness::Harness;
    use tidemill::time::BEGINNING;
    use tidemill::{Config, Events, Memory, Timing, execute};

    /// Time, key, kind, number.
    type Event = (Millis, u8, u8, u32);

    /// A step as data: which kind, whether the very next event, and which kind must not come before.
    type Plain = (u8, bool, Option<u8>);

    fn pattern(steps: &[Plain], within: Millis, skip: bool) -> Pattern<Event> {
        let kind = |kind: u8| move |event: &Event| event.2 == kind;
        let mut pattern = Pattern::begin(kind(steps[0].0));
        for &(fits, strict, without) in &steps[1..] {
            if let Some(forbidden) = without {
                pattern = pattern.without(kind(forbidden));
            }
            pattern = if strict { pattern.next(kind(fits)) } else { pattern.then(kind(fits)) };
        }
        let pattern = pattern.within(within);
        if skip { pattern.skip_past_last() } else { pattern }
    }

    /// All matches and timeouts of one key's events, by the definition: from each beginning, look ahead.
    fn oracle(steps: &[Plain], within: Millis, events: &[Event]) -> Vec<(bool, Vec<Event>)> {
        let mut all = vec![];
        for (start, first) in events.iter().enumerate().filter(|(_, event)| event.2 == steps[0].0) {
            let mut found = vec![*first];
            let mut outcome = (steps.len() == 1).then_some(true);
            for event in &events[start + 1..] {
                if outcome.is_some() {
                    break;
                }
                let (fits, strict, without) = steps[found.len()];
                if event.0 - first.0 > within {
                    outcome = Some(false);
                } else if event.2 == fits {
                    found.push(*event);
                    outcome = (found.len() == steps.len()).then_some(true);
                } else if strict || without == Some(event.2) {
                    found.clear();
                    outcome = Some(false);
                }
            }
            if !found.is_empty() {
                all.push((outcome.unwrap_or(false), found));
            }
        }
        all
    }

    fn events() -> impl Strategy<Value = Vec<(Vec<Event>, Millis)>> {
        let event = (-40i64..100, 0u8..3, 0u8..4);
        prop::collection::vec((prop::collection::vec(event, 0..20), 0i64..100), 1..8).prop_map(|epochs| {
            let (mut watermark, mut number) = (-100, 0);
            let close = |(events, step): (Vec<_>, Millis)| {
                let mut closed = vec![];
                for (offset, key, kind) in events {
                    number += 1;
                    closed.push((watermark + offset, key, kind, number));
                }
                watermark += step;
                (closed, watermark)
            };
            epochs.into_iter().map(close).collect()
        })
    }

    fn steps() -> impl Strategy<Value = Vec<Plain>> {
        prop::collection::vec((0u8..4, any::<bool>(), prop::option::of(0u8..4)), 1..4)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn matches_are_what_looking_ahead_from_each_beginning_finds(
            epochs in events(), steps in steps(), within in 0i64..150, workers in 1usize..5, cut in 0usize..8, after in 1usize..5,
        ) {
            let plain = steps.clone();
            let make = move || Matcher::<u8, Event>::new(pattern(&plain, within, false));
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
                expected.extend(oracle(&steps, within, events));
            }
            out.sort();
            expected.sort();
            prop_assert_eq!(out, expected);
            prop_assert!(harness.is_empty());
        }

        #[test]
        fn no_event_is_in_two_matches_where_they_skip(epochs in events(), steps in steps(), within in 0i64..150) {
            let run = |skip| {
                let plain = steps.clone();
                let make = move || Matcher::<u8, Event>::new(pattern(&plain, within, skip));
                let mut harness = Harness::process(1, |event: &Event| event.1, make);
                for (events, watermark) in &epochs {
                    events.iter().for_each(|event| harness.push(event.0, *event));
                    harness.watermark(*watermark);
                }
                harness.watermark(1_000_000);
                let complete = harness.out().into_iter().filter(|(complete, _)| *complete);
                complete.map(|(_, found)| found).collect::<Vec<_>>()
            };
            // By the definition: of all matches in the order of their ends, then of their beginnings, each that begins
            // behind the last one taken.
            let mut last: BTreeMap<u8, (Millis, u32)> = BTreeMap::new();
            let mut expected = run(false);
            let place = |event: Option<&Event>| event.map_or((0, 0), |event| (event.0, event.3));
            expected.sort_by_key(|found| (found.key, place(found.events.last()), place(found.events.first())));
            expected.retain(|found| {
                let free = last.get(&found.key).is_none_or(|last| place(found.events.first()) > *last);
                if free {
                    last.insert(found.key, place(found.events.last()));
                }
                free
            });
            let mut given = run(true);
            given.sort_by_key(|found| (found.key, place(found.events.last()), place(found.events.first())));
            prop_assert_eq!(given, expected);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn a_job_writes_the_same_bytes_on_any_number_of_workers(
            parts in prop::collection::vec(prop::collection::vec((0i64..3_000, 0u8..20, 0u8..4), 0..200), 1..3),
            steps in steps(), epoch_records in 1usize..60,
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
                    let (matches, timeouts) = events.matches("pattern", pattern(&steps, 100, false))?;
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
        let make = move || Matcher::<u8, Event>::new(Pattern::begin(failed).times(3).within(100));
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
        let make = move || Matcher::<u8, Event>::new(Pattern::begin(kind(1)).then(kind(2)).within(100_000));
        let mut harness = Harness::process(1, |event: &Event| event.1, make);
        (0..=MOST_PARTIAL as i64).for_each(|time| harness.push(time, (time, 1, 1, 0)));
        harness.watermark(5_000);
        let out = harness.out();
        assert_eq!((out.len(), out[0].0, out[0].1.start), (1, false, 0));
    }

    #[test]
    fn a_pattern_that_ends_with_a_without_is_refused() {
        let outcome = execute(Config::workers(1), |job| {
            let events = job.source("events", Events::new(vec![(0, 0, 0, 0)]), Timing::by(|event: &Event| event.0))?;
            let pattern = Pattern::begin(|_: &Event| true).without(|_| true);
            events.key_by(|event| event.1).matches("open", pattern)?.0.sink("out", Memory::new())
        });
        assert!(outcome.unwrap_err().to_string().contains("pattern `open` ends with a `without`"));
    }
}
