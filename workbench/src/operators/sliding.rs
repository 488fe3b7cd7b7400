//! Sliding windows of ten minutes and an hour.

use super::{Operator, State, by_user, end, end_rows};
use crate::{DISORDER, Event};
use tidemill::Update;
use tidemill_feature::{
    AskAtOnce, Distinct, HOUR, MINUTE, Role, Sliding, SlidingWindows, SlidingWindowsOfUpdates, Span, Windows,
};
use tidemill_rank::Ranks;

const WINDOWS: Windows<2> = Windows::new([Span::last(10 * MINUTE), Span::last(HOUR)]);
const LENIENT: Windows<2> = WINDOWS.lateness(DISORDER.unsigned_abs());

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("feature", "finals", State::Goes, |name, events| {
        let sliding = Sliding::new(WINDOWS, |event: &Event| Role::Both([event.cents]));
        end(by_user(events).finals(name, sliding)?.0)
    }),
    Operator::new("feature", "finals, distinct", State::Goes, |name, events| {
        let sliding = Sliding::new(WINDOWS, |event: &Event| Role::Both([event.item.into()]));
        end(by_user(events).finals(name, sliding.keeping::<Distinct<0>>())?.0)
    }),
    Operator::new("feature", "at once, corrected", State::Goes, |name, events| {
        let sliding = Sliding::new(LENIENT, |event: &Event| Role::Both([event.cents]));
        end_rows(by_user(events).at_once(name, sliding)?.0)
    })
    .late(),
    Operator::new("feature", "at once, of updates", State::Goes, |name, events| {
        let sliding = Sliding::new(LENIENT, |event: &Event| Role::Both([event.cents]));
        let updates = events.map(|row| Update { row, diff: 1 }).key_by(|update| update.row.user);
        end_rows(updates.updates_at_once(name, sliding)?.0)
    })
    .late(),
    Operator::new("feature", "at once, asked by the latest", State::Stays, |name, events| {
        let latest = by_user(events.clone()).latest(&format!("{name}: rows"))?;
        let row = |event: &Event| (event.user, event.time);
        end_rows(latest.at_once(name, row, by_user(events), |event| [event.cents], LENIENT)?.0)
    })
    .late(),
];
