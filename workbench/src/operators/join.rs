//! Joins, of the events of lower price with the others.

use super::{Operator, State, by_user, end};
use crate::Event;
use tidemill::Stream;
use tidemill::time::minutes;
use tidemill_join::{Joins, Version};
use tidemill_rank::Ranks;

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("join", "interval", State::Goes, |name, events| {
        let (low, high) = halves(events);
        let joining = by_user(low).join(by_user(high)).within(-minutes(2), minutes(2));
        end(joining.inner(name, |low, high| (*low, *high))?.0)
    }),
    Operator::new("join", "window", State::Goes, |name, events| {
        let (low, high) = halves(events);
        let joining = by_user(low).join(by_user(high)).window(minutes(2));
        end(joining.inner(name, |low, high| (*low, *high))?.0)
    }),
    Operator::new("join", "as of", State::Stays, |name, events| {
        let (low, high) = halves(events);
        let version =
            |high: Event| Version { key: high.user, valid_from: high.time, known_at: high.time, row: Some(high) };
        let versions = high.map(version);
        end(by_user(low).join_as_of(name, versions, |_, time| time, |low, high| (*low, high.copied()))?.0)
    }),
    Operator::new("join", "lookup in the latest", State::Stays, |name, events| {
        let (low, high) = halves(events);
        let latest = by_user(high).latest(&format!("{name}: rows"))?;
        end(by_user(low).lookup(name, latest, |high| high.user, |low, high| Some((*low, high.copied())))?)
    }),
];

fn halves(events: Stream<'_, Event>) -> (Stream<'_, Event>, Stream<'_, Event>) {
    events.branch(|event| event.cents < 5_000)
}
