//! The engine's own parts.

use super::{Operator, State, by_user, end, end_rows};
use crate::Event;
use tidemill::time::minutes;
use tidemill::{Context, Millis, Process, Reject};
use tidemill_rank::Latest;

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("engine", "source alone", State::None, |_, events| end(events)),
    Operator::new("engine", "map and filter", State::None, |_, events| {
        end(events.map(|event| (event.user, event.cents)).filter(|(_, cents)| *cents >= 5_000))
    }),
    Operator::new("engine", "process", State::Stays, |name, events| end(by_user(events).process(name, Totals)?)),
    Operator::new("engine", "process, a timer per event", State::Goes, |name, events| {
        end(by_user(events).process(name, Bursts)?)
    }),
    Operator::new("engine", "process, time-to-live", State::Goes, |name, events| {
        end(by_user(events).process(name, Lately(minutes(5)))?)
    }),
    Operator::new("engine", "maintain", State::Stays, |name, events| {
        end_rows(by_user(events).maintain(name, Latest::new())?)
    }),
    Operator::new("engine", "maintain, changes", State::Stays, |name, events| {
        end(by_user(events).maintain(name, Latest::new())?.changes(|event| event.time))
    }),
];

/// A running total of each event.
struct Totals;

impl Process for Totals {
    type Key = u32;
    type In = Event;
    type Out = i64;
    type State = i64;

    fn process(&self, _: &u32, event: Event, total: &mut i64, ctx: &mut Context<'_, i64>) -> Result<(), Reject> {
        *total += event.cents;
        ctx.emit(*total);
        Ok(())
    }
}

/// The total of events less than a minute apart, a minute after the last.
struct Bursts;

impl Process for Bursts {
    type Key = u32;
    type In = Event;
    type Out = i64;
    /// The timer, and the total.
    type State = (Millis, i64);

    const UNDO: bool = false;

    fn process(
        &self,
        _: &u32,
        event: Event,
        (timer, total): &mut (Millis, i64),
        ctx: &mut Context<'_, i64>,
    ) -> Result<(), Reject> {
        ctx.cancel_timer(*timer);
        *timer = event.time + minutes(1);
        ctx.set_timer(*timer);
        *total += event.cents;
        Ok(())
    }

    fn on_timer(&self, _: &u32, (_, total): &mut (Millis, i64), ctx: &mut Context<'_, i64>) -> Result<(), Reject> {
        ctx.emit(*total);
        ctx.forget();
        Ok(())
    }
}

/// A running total of each event, which is forgotten after a while without any.
struct Lately(Millis);

impl Process for Lately {
    type Key = u32;
    type In = Event;
    type Out = i64;
    type State = i64;

    const UNDO: bool = false;

    fn ttl(&self) -> Option<Millis> {
        Some(self.0)
    }

    fn process(&self, key: &u32, event: Event, total: &mut i64, ctx: &mut Context<'_, i64>) -> Result<(), Reject> {
        Totals.process(key, event, total, ctx)
    }
}
