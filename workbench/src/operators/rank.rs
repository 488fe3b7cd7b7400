//! Ranks.

use super::{Operator, State, by_user, end_rows};
use tidemill::Maintain;
use tidemill::time::minutes;
use tidemill_rank::{Latest, Ranks, ranked};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("rank", "top 3 counts", State::Stays, |name, events| {
        end_rows(by_user(events).top_counts(name, 3, |event| event.item)?)
    }),
    Operator::new("rank", "top 3 sums", State::Stays, |name, events| {
        end_rows(by_user(events).top_sums(name, 3, |event| (event.item, event.cents))?)
    }),
    Operator::new("rank", "top 3 events", State::Stays, |name, events| {
        end_rows(by_user(events).top_k(name, 3, |event| event.cents)?)
    }),
    Operator::new("rank", "latest", State::Stays, |name, events| end_rows(by_user(events).latest(name)?)),
    Operator::new("rank", "latest, until idle", State::Goes, |name, events| {
        end_rows(by_user(events).maintain(name, Latest::new().until_idle(minutes(5)))?)
    }),
    Operator::new("rank", "ranks of the latest", State::Stays, |name, events| {
        let latest = by_user(events).latest(name)?;
        end_rows(ranked(latest, 3, |event| event.item, |event| event.cents))
    }),
];
