//! What users do, counted from the events that hold.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use tidemill::time::BEGINNING;
use tidemill::{Collection, Maintain, Millis, Order, Record, Result, Seq, Stream, Update};
use tidemill_rank::{Ranks, Summed};

use crate::event::Action;
use crate::ledger::Held;

/// A step towards a purchase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Stage {
    /// An item was looked at.
    View,
    /// It was put into a cart.
    Cart,
    /// It was bought: an order's line, of which something is left.
    Purchase,
}

/// The steps of a category's items within a span of time.
pub type Funnel = Summed<(u64, Millis), Stage>;

/// A category that interests a user, and how much.
pub type Interest = Summed<u64, u64>;

/// How recently, how often and for how much a user has bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Rfm {
    /// Who.
    pub user: u64,
    /// When last, in ms since 1970 UTC.
    pub last: Millis,
    /// Orders of which something is left.
    pub orders: u32,
    /// For how much, in cents.
    pub cents: i64,
}

/// What is counted of a stream of changes of which events hold. All of it follows cancellations, expiry and users who are
/// forgotten: it is at each epoch what counting the events that hold would give. An item's category is that of the event.
pub trait Behaviour<'s> {
    /// How many items of each category were looked at, put into a cart and bought in each span of `span` ms, by the times of
    /// the events; spans begin at multiples of `span`.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`](tidemill::Error::Graph) if the name is taken.
    fn funnel(self, name: &str, span: Millis) -> Result<Collection<'s, Funnel>>;

    /// The `n` categories that interest each user most: a view counts 1, four or five stars 2, an item in the cart 3, one bought 5,
    /// and an item the user does not want, or has given one or two stars, takes 5 away.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`](tidemill::Error::Graph) if the name is taken.
    fn interests(self, name: &str, n: usize) -> Result<Collection<'s, Interest>>;

    /// How recently, how often and for how much each user has bought.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`](tidemill::Error::Graph) if the name is taken.
    fn rfm(self, name: &str) -> Result<Collection<'s, Rfm>>;
}

impl<'s> Behaviour<'s> for Stream<'s, Update<Held>> {
    fn funnel(self, name: &str, span: Millis) -> Result<Collection<'s, Funnel>> {
        let span = span.max(1);
        let steps = self.flat_map(move |Update { row: Held { time, event, .. }, diff }| {
            let stage = match event.action {
                Action::View { .. } => Stage::View,
                Action::Cart { .. } => Stage::Cart,
                Action::Purchase { .. } => Stage::Purchase,
                _ => return None,
            };
            Some(((event.category, time.div_euclid(span) * span), stage, diff as i64))
        });
        steps.key_by(|step| step.0).top_sums(name, STAGES, |step| (step.1, step.2))
    }

    fn interests(self, name: &str, n: usize) -> Result<Collection<'s, Interest>> {
        let weighed = self.flat_map(|Update { row: Held { event, .. }, diff }| {
            let weight = match event.action {
                Action::View { .. } => 1,
                Action::Rating { stars: 4.., .. } => 2,
                Action::Cart { .. } => 3,
                Action::Purchase { .. } => 5,
                Action::NotInterested { .. } | Action::Rating { stars: ..=2, .. } => -5,
                _ => return None,
            };
            Some((event.user, event.category, weight * diff as i64))
        });
        weighed.key_by(|event| event.0).top_sums(name, n, |event| (event.1, event.2))
    }

    fn rfm(self, name: &str) -> Result<Collection<'s, Rfm>> {
        let bought = self.filter(|change| matches!(change.row.event.action, Action::Purchase { .. }));
        bought.key_by(|change| change.row.event.user).maintain(name, Bought)
    }
}

/// There are so many.
const STAGES: usize = 3;

/// Keeps what a user has bought.
struct Bought;

/// A line of an order.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Line {
    order: u64,
    cents: i64,
}

impl Maintain for Bought {
    type Key = u64;
    type In = Update<Held>;
    type State = BTreeMap<(Millis, Seq), Line>;
    type Row = Rfm;

    const ORDER: Order = Order::Any;

    fn update(&self, _: &u64, lines: &mut Self::State, changes: &mut Vec<Record<Update<Held>>>) {
        // A line that goes and comes again with fewer pieces has the same place.
        changes.sort_by_key(|change| change.value.diff > 0);
        for Update { row, diff } in changes.drain(..).map(|change| change.value) {
            if let (Action::Purchase { order, quantity, cents, .. }, true) = (row.event.action, diff > 0) {
                lines.insert((row.time, row.seq), Line { order, cents: cents.saturating_mul(quantity.into()) });
            } else {
                lines.remove(&(row.time, row.seq));
            }
        }
    }

    fn rows(&self, user: &u64, lines: &Self::State, rows: &mut Vec<Rfm>) {
        if let Some(((last, _), _)) = lines.last_key_value() {
            let orders = lines.values().map(|line| line.order).collect::<BTreeSet<_>>().len() as u32;
            let cents = lines.values().fold(0, |sum: i64, line| sum.saturating_add(line.cents));
            rows.push(Rfm { user: *user, last: *last, orders, cents });
        }
    }

    /// Of whom nothing is left is not kept.
    fn expires(&self, _: &u64, lines: &Self::State) -> Option<Millis> {
        lines.is_empty().then_some(BEGINNING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ledgers, NO_CATEGORY, ShopEvent};
    use tidemill::harness::Harness;
    use tidemill::time::{days, hours};
    use tidemill::{Config, Events, Memory, Timing, execute};

    #[test]
    fn whoever_has_bought_nothing_any_more_is_not_kept() {
        let mut harness = Harness::maintain(2, |change: &Update<Held>| change.row.event.user, || Bought);
        let action = Action::Purchase { order: 1, item: 2, quantity: 1, cents: 5 };
        let row = Held { time: 1, seq: Seq::new(0, 1), event: ShopEvent::new(3, action) };
        harness.push(1, Update { row, diff: 1 });
        harness.watermark(2);
        assert!(!harness.is_empty());
        harness.push(1, Update { row, diff: -1 });
        harness.watermark(3);
        assert!(harness.is_empty());
    }

    type Event = (Millis, u64, Action);

    fn bought(order: u64, item: u64, quantity: u32) -> Action {
        Action::Purchase { order, item, quantity, cents: 250 }
    }

    /// What is true after these events, each in an epoch of its own.
    fn rows(events: Vec<Event>, workers: usize) -> (Vec<Funnel>, Vec<Interest>, Vec<Rfm>) {
        let (funnels, interests, rfm) = (Memory::new(), Memory::new(), Memory::new());
        let (to_funnels, to_interests, to_rfm) = (funnels.clone(), interests.clone(), rfm.clone());
        execute(Config { epoch_records: 1, ..Config::workers(workers) }, move |job| {
            let events = job.source("events", Events::new(events.clone()), Timing::by(|event: &Event| event.0))?;
            let events = events.map(|(_, user, action)| ShopEvent {
                category: action.item().map_or(NO_CATEGORY, |item| item / 10),
                ..ShopEvent::new(user, action)
            });
            let held = events.key_by(|event| event.user).ledger("what holds", days(30))?.held;
            held.clone().funnel("funnel", hours(1))?.sink("funnels", to_funnels.clone())?;
            held.clone().interests("interests", 2)?.sink("interests out", to_interests.clone())?;
            held.rfm("rfm")?.sink("rfm out", to_rfm.clone())
        })
        .unwrap();
        fn rows<R: Ord + Clone>(memory: &Memory<Update<R>>) -> Vec<R> {
            memory.rows().into_iter().map(|(row, count)| (row, assert_eq!(count, 1)).0).collect()
        }
        (rows(&funnels), rows(&interests), rows(&rfm))
    }

    #[test]
    fn cancellations_expiry_and_forgotten_users_leave_nothing() {
        let hour = hours(1);
        let events = vec![
            (days(1), 1, Action::View { item: 11 }),
            (days(1) + 1, 1, Action::View { item: 12 }),
            (days(1) + 2, 1, Action::Cart { item: 12 }),
            (days(1) + hour, 1, bought(7, 12, 2)),
            (days(1) + hour, 1, bought(7, 31, 1)),
            (days(1) + hour, 2, bought(8, 31, 4)),
            (days(2), 1, Action::NotInterested { item: 31 }),
            (days(2), 2, Action::View { item: 55 }),
        ];
        let at = |category, stage, time, sum| Summed { key: (category, time), item: stage, sum };
        let interest = |user, category, sum| Summed { key: user, item: category, sum };
        for workers in [1, 3] {
            let (funnels, interests, rfm) = rows(events.clone(), workers);
            let expected = [
                at(1, Stage::View, days(1), 2),
                at(1, Stage::Cart, days(1), 1),
                at(1, Stage::Purchase, days(1) + hour, 1),
                at(3, Stage::Purchase, days(1) + hour, 2),
                at(5, Stage::View, days(2), 1),
            ];
            assert_eq!(funnels, expected);
            assert_eq!(interests, [interest(1, 1, 10), interest(2, 3, 5), interest(2, 5, 1)]);
            let (one, two) = (Rfm { user: 1, last: days(1) + hour, orders: 1, cents: 750 }, 1000);
            assert_eq!(rfm, [one, Rfm { user: 2, last: days(1) + hour, orders: 1, cents: two }]);
            // User 1 sends back one of two, user 2 wants to be forgotten.
            let later = vec![
                (days(3), 1, Action::Cancellation { order: Some(7), item: 12, quantity: 1 }),
                (days(3), 2, Action::Forget),
            ];
            let (funnels, interests, rfm) = rows([events.clone(), later.clone()].concat(), workers);
            assert_eq!(funnels, [&expected[..3], &[at(3, Stage::Purchase, days(1) + hour, 1)]].concat());
            assert_eq!(interests, [interest(1, 1, 10)]);
            assert_eq!(rfm, [Rfm { cents: 500, ..one }]);
            // A month later only what is new is left.
            let views = [days(40), days(40) + 1].map(|time| (time, 1, Action::View { item: 99 }));
            let later = [&later[..], &views].concat();
            let (funnels, interests, rfm) = rows([events.clone(), later].concat(), workers);
            assert_eq!((funnels, rfm), (vec![at(9, Stage::View, days(40), 2)], vec![]));
            assert_eq!(interests, [interest(1, 9, 2)]);
        }
    }
}
