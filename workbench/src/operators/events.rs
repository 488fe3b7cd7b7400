//! Operators on single events: those of `tidemill-events`, patterns, and calls of a service that answers at once.

use super::{Operator, State, by_user, end};
use crate::Event;
use std::collections::BTreeMap;
use std::convert::Infallible;
use tidemill::time::minutes;
use tidemill::{Events, Timing};
use tidemill_enrich::{Calls, Enrich};
use tidemill_events::{EachEvent, WithRules};
use tidemill_pattern::{Matching, Pattern};
use tidemill_rank::Ranks;

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("events", "deduplicate", State::Goes, |name, events| {
        end(by_user(events).deduplicate(name, minutes(5))?)
    }),
    Operator::new("events", "sessionise", State::Goes, |name, events| {
        end(by_user(events).sessionise(name, minutes(2))?)
    }),
    Operator::new("events", "rate limit", State::Goes, |name, events| {
        let (through, held) = by_user(events).rate_limit(name, 3, minutes(10))?;
        end(through)?;
        end(held)
    }),
    Operator::new("events", "sample", State::None, |_, events| end(by_user(events).sample(0.1))),
    Operator::new("events", "with rules", State::None, |name, events| {
        let rules = Events::new((0..100).map(|item| (item, 5_000)).collect());
        let rules = events.job().source(&format!("{name}: source"), rules, Timing::by(|_| 0).control())?;
        let rules = rules.key_by(|rule: &(u32, i64)| rule.0).latest(&format!("{name}: rows"))?;
        let index = |rules: &[&(u32, i64)]| rules.iter().map(|rule| **rule).collect::<BTreeMap<u32, i64>>();
        let dear =
            |least: &BTreeMap<u32, i64>, event: &Event| least.get(&event.item).is_some_and(|l| event.cents >= *l);
        end(events.with_rules(name, rules, index, move |least, event| dear(least, &event).then_some(event))?)
    }),
    Operator::new("pattern", "two steps in 5 min", State::Goes, |name, events| {
        let pattern = Pattern::begin(|event: &Event| event.cents < 2_000)
            .without(|event: &Event| event.cents < 4_000)
            .then(|event: &Event| event.cents > 8_000);
        let (found, partial) = by_user(events).matches(name, pattern.within(minutes(5)))?;
        end(found)?;
        end(partial)
    }),
    Operator::new("enrich", "ordered", State::None, |name, events| end(events.enrich(name, service().ordered())?)),
    Operator::new("enrich", "unordered", State::None, |name, events| end(events.enrich(name, service().unordered())?)),
];

/// A service that answers at once, on one thread.
fn service() -> Calls<Event, i64, ()> {
    Calls::new(|| Ok::<_, Infallible>(()), |(), event: &Event| Ok(event.cents)).threads(1)
}
