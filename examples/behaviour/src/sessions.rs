//! Sessions that follow what holds.
//!
//! Windows by session take events that stay. Here purchases are cancelled and users forgotten, so a session may shrink,
//! fall apart or go.

use serde::{Deserialize, Serialize};
use tidemill::differential_dataflow::consolidation::consolidate;
use tidemill::time::BEGINNING;
use tidemill::{Collection, Maintain, Millis, Order, Record, Result, Seq, Stream, Update};
use tidemill_rank::{Ranks, Summed};
use tidemill_shop::{Action, Held};

/// A user's views, carts and purchases, each less than the gap after the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Session {
    /// Who.
    pub user: u64,
    /// The time of the first, in ms since 1970 UTC.
    pub begin: Millis,
    /// The time of the last.
    pub end: Millis,
    /// How many.
    pub events: u32,
    /// Whether something was bought and kept.
    pub bought: bool,
}

/// What is summed of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Measure {
    /// How many there were.
    Sessions,
    /// How many events they had.
    Events,
    /// How long they took, in ms.
    Length,
    /// In how many something was bought and kept.
    Bought,
}

/// So many.
const MEASURES: usize = 4;

/// A measure of the sessions that began within a span of time.
pub type SessionSum = Summed<Millis, Measure>;

/// The sessions of each user, from changes of which events hold. State: the times of views, carts and purchases that
/// hold.
///
/// # Errors
///
/// [`Error::Graph`](tidemill::Error::Graph) if the name is taken.
pub fn sessions<'s>(held: Stream<'s, Update<Held>>, name: &str, gap: Millis) -> Result<Collection<'s, Session>> {
    let acts = held.filter(|change| is_act(&change.row.event.action));
    acts.key_by(|change| change.row.event.user).maintain(name, Sessions { gap })
}

/// Sums of sessions by when they began, in spans of `span` ms.
///
/// # Errors
///
/// [`Error::Graph`](tidemill::Error::Graph) if the name is taken.
pub fn sums<'s>(sessions: Collection<'s, Session>, name: &str, span: Millis) -> Result<Collection<'s, SessionSum>> {
    let measured = sessions.changes(|session| session.end).flat_map(move |Update { row, diff }| {
        let (key, diff) = (row.begin.div_euclid(span) * span, diff as i64);
        [
            (key, Measure::Sessions, diff),
            (key, Measure::Events, diff * i64::from(row.events)),
            (key, Measure::Length, diff * (row.end - row.begin)),
            (key, Measure::Bought, diff * i64::from(row.bought)),
        ]
    });
    measured.key_by(|measured| measured.0).top_sums(name, MEASURES, |measured| (measured.1, measured.2))
}

fn is_act(action: &Action) -> bool {
    matches!(action, Action::View { .. } | Action::Cart { .. } | Action::Purchase { .. })
}

struct Sessions {
    gap: Millis,
}

impl Maintain for Sessions {
    type Key = u64;
    type In = Update<Held>;
    /// In order of time and place, and whether it is a purchase.
    type State = Vec<((Millis, Seq), bool)>;
    type Row = Session;

    const ORDER: Order = Order::Any;

    fn update(&self, _: &u64, acts: &mut Self::State, changes: &mut Vec<Record<Update<Held>>>) {
        let act = |Update { row, diff }: Update<Held>| {
            ((row.time, row.seq, matches!(row.event.action, Action::Purchase { .. })), diff)
        };
        let mut net: Vec<_> = changes.drain(..).map(|change| act(change.value)).collect();
        // A purchase that goes and comes again with fewer pieces is what it was.
        consolidate(&mut net);
        for ((time, seq, bought), diff) in net {
            let place = acts.partition_point(|(at, _)| *at < (time, seq));
            match (acts.get_mut(place).filter(|(at, _)| *at == (time, seq)), diff > 0) {
                (Some(act), true) => act.1 = bought,
                (None, true) => acts.insert(place, ((time, seq), bought)),
                (Some(_), false) => drop(acts.remove(place)),
                (None, false) => {}
            }
        }
    }

    fn rows(&self, user: &u64, acts: &Self::State, rows: &mut Vec<Session>) {
        let mut last: Option<Session> = None;
        for ((time, _), bought) in acts {
            match &mut last {
                Some(session) if time - session.end < self.gap => {
                    (session.end, session.events) = (*time, session.events + 1);
                    session.bought |= bought;
                }
                _ => {
                    let new = Session { user: *user, begin: *time, end: *time, events: 1, bought: *bought };
                    rows.extend(last.replace(new));
                }
            }
        }
        rows.extend(last);
    }

    /// Of whom nothing is left is not kept.
    fn expires(&self, _: &u64, acts: &Self::State) -> Option<Millis> {
        acts.is_empty().then_some(BEGINNING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use tidemill::harness::Harness;
    use tidemill_shop::ShopEvent;

    const GAP: Millis = 10;

    /// Sessions of events in order of time: (time, whether something is bought).
    fn expected(user: u64, acts: &[(Millis, bool)]) -> Vec<Session> {
        let runs = acts.chunk_by(|a, b| b.0 - a.0 < GAP);
        let session = |run: &[(Millis, bool)]| Session {
            user,
            begin: run[0].0,
            end: run[run.len() - 1].0,
            events: run.len() as u32,
            bought: run.iter().any(|act| act.1),
        };
        runs.map(session).collect()
    }

    proptest! {
        #[test]
        fn sessions_are_runs_of_the_events_that_hold(
            epochs in prop::collection::vec(prop::collection::vec((0u64..3, 0i64..90, 0u8..4), 0..9), 1..12),
            workers in 1usize..4, cut in 0usize..12, after in 1usize..4,
        ) {
            let mut harness = Harness::maintain(workers, |change: &Update<Held>| change.row.event.user, || Sessions { gap: GAP });
            let (mut held, mut rows) = (Vec::<Held>::new(), BTreeMap::<Session, isize>::new());
            for (epoch, changes) in epochs.into_iter().enumerate() {
                for (number, (user, time, what)) in (0..).zip(changes) {
                    let action = match what {
                        0 => Action::View { item: 1 },
                        1 => Action::Purchase { order: 1, item: 1, quantity: 2, cents: 1 },
                        2 if !held.is_empty() => {
                            let row = held.swap_remove(time as usize % held.len());
                            harness.push(time, Update { row, diff: -1 });
                            continue;
                        }
                        // Something comes again with another quantity, the new row before or after the old one goes.
                        _ => {
                            if let Some(row) = held.get_mut(time as usize)
                                && let Action::Purchase { quantity, .. } = &mut row.event.action
                            {
                                *quantity += 1;
                                let new = *row;
                                let mut old = new;
                                old.event.action = Action::Purchase { order: 1, item: 1, quantity: 0, cents: 1 };
                                harness.push(time, Update { row: new, diff: 1 });
                                harness.push(time, Update { row: old, diff: -1 });
                            }
                            continue;
                        }
                    };
                    let row = Held { time, seq: Seq::new(0, (epoch * 100 + number) as u64), event: ShopEvent::new(user, action) };
                    held.push(row);
                    harness.push(time, Update { row, diff: 1 });
                }
                harness.close_epoch();
                for (_, row, diff) in harness.changes() {
                    *rows.entry(row).or_default() += diff;
                }
                rows.retain(|_, count| *count != 0);
                held.sort();
                let mut all = BTreeMap::new();
                for user in 0..3 {
                    let of_user = held.iter().filter(|held| held.event.user == user);
                    let acts: Vec<_> =
                        of_user.map(|held| (held.time, matches!(held.event.action, Action::Purchase { .. }))).collect();
                    all.extend(expected(user, &acts).into_iter().map(|session| (session, 1)));
                }
                prop_assert_eq!(&rows, &all);
                if epoch == cut {
                    prop_assert_eq!(harness.restore(after).unwrap().len(), rows.len());
                }
            }
            held.into_iter().for_each(|row| harness.push(row.time, Update { row, diff: -1 }));
            harness.watermark(1_000);
            prop_assert!(harness.is_empty(), "users without events are kept");
        }
    }
}
