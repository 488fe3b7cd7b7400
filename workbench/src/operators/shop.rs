//! What a shop keeps true: which events hold, and what is counted from those.

use super::{Operator, State, end, end_rows};
use crate::Event;
use tidemill::time::minutes;
use tidemill::{Keyed, Result, Stream, Update};
use tidemill_recommend::{LastItems, Linked, Touch, WithItems};
use tidemill_shop::{Action, Behaviour, Held, Ledgers, ShopEvent};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("shop", "ledger", State::Goes, |name, events| end(held(name, events)?)),
    Operator::new("shop", "ledger, funnel", State::Goes, |name, events| {
        end_rows(held(name, events)?.funnel(&format!("{name} by minute"), minutes(1))?)
    }),
    Operator::new("recommend", "ledger, last 50 items", State::Goes, |name, events| {
        let touches = touches(held(name, events)?);
        end_rows(touches.maintain(&format!("{name} of a user"), LastItems::new(50))?)
    }),
    Operator::new("recommend", "ledger, links", State::Goes, |name, events| {
        end(touches(held(name, events)?).links(&format!("{name} of a user"), 10)?)
    }),
    Operator::new("recommend", "ledger, top 100 followers", State::Goes, |name, events| {
        end_rows(touches(held(name, events)?).followers(&format!("{name} of a user"), 10, 100)?)
    }),
];

fn held<'s>(name: &str, events: Stream<'s, Event>) -> Result<Stream<'s, Update<Held>>> {
    let views = events.map(|event| ShopEvent {
        category: u64::from(event.item) % 10,
        ..ShopEvent::new(event.user.into(), Action::View { item: event.item.into() })
    });
    Ok(views.key_by(|event| event.user).ledger(name, minutes(5))?.held)
}

/// A change of a touch and its owner.
type Change = Update<Touch<u64, u64>>;

fn touches(held: Stream<'_, Update<Held>>) -> Keyed<'_, Change, fn(&Change) -> u64> {
    let touches = held.flat_map(|Update { row: Held { time, seq, event }, diff }| {
        let touch = |item| Update { row: Touch { owner: event.user, time, seq, item }, diff };
        event.action.item().map(touch)
    });
    touches.key_by(|touch| touch.row.owner)
}
