//! Windows: each kind with count and sum, and each aggregate in the same window.

use super::{Operator, State, by_user, end, end_rows};
use crate::{DISORDER, Event};
use tidemill::time::{hours, minutes};
use tidemill::{Result, Stream};
use tidemill_window::{
    Aggregate, Collect, Count, Distinct, HyperLogLog, IntoWindows, Leaders, Max, Mean, Min, Quantiles, Sum, TopK,
    Variance, Windows,
};

const fn window(name: &'static str, attach: super::Attach) -> Operator {
    Operator::new("window", name, State::Goes, attach)
}

pub(super) const OPERATORS: &[Operator] = &[
    window("tumbling", |name, events| finals(name, events, Windows::tumbling(minutes(1)), turnover())),
    // By the clock an hour outlasts the events, so its state stays.
    Operator::new("window", "tumbling, processing time", State::Stays, |name, events| {
        finals(name, events.in_processing_time(), Windows::tumbling(hours(1)), turnover())
    }),
    window("hopping, 24 h by 1 h", |name, events| {
        finals(name, events, Windows::hopping(hours(24), hours(1)), turnover())
    })
    .over(hours(48)),
    window("hopping, 24 h by 1 h, minimum and maximum", |name, events| {
        finals(name, events, Windows::hopping(hours(24), hours(1)), (Min::of(cents), Max::of(cents)))
    })
    .over(hours(48)),
    window("session", |name, events| finals(name, events, Windows::session(minutes(2)), turnover())),
    window("by count", |name, events| finals(name, events, Windows::count(5).idle(minutes(10)), turnover())),
    window("rows, corrected", |name, events| {
        let windows = by_user(events).window(Windows::tumbling(minutes(1)), turnover());
        end_rows(windows.allowed_lateness(DISORDER).rows(name, 0)?.0)
    })
    .late(),
    // One for all time, so its state stays.
    Operator::new("window", "global, early each minute", State::Stays, |name, events| {
        let windows = by_user(events).window(Windows::global(), turnover());
        end_rows(windows.early_every_ms(minutes(1)).rows(name, 0)?.0)
    }),
    window("mean", |name, events| ten_minutes(name, events, Mean::of(cents))),
    window("variance", |name, events| ten_minutes(name, events, Variance::of(cents))),
    window("minimum and maximum", |name, events| ten_minutes(name, events, (Min::of(cents), Max::of(cents)))),
    window("distinct", |name, events| ten_minutes(name, events, Distinct::of(item))),
    window("hyperloglog", |name, events| ten_minutes(name, events, HyperLogLog::of(item))),
    window("quantiles", |name, events| {
        ten_minutes(name, events, Quantiles::of(&[0.5, 0.99], |event: &Event| event.cents as f64))
    }),
    window("top 3", |name, events| ten_minutes(name, events, TopK::of(3, cents))),
    window("leaders", |name, events| ten_minutes(name, events, Leaders::of(cents))),
    window("collect", |name, events| ten_minutes(name, events, Collect::new())),
];

fn cents(event: &Event) -> i64 {
    event.cents
}

fn item(event: &Event) -> u32 {
    event.item
}

/// How many events, and for how much.
fn turnover() -> impl Aggregate<In = Event, Out = (u64, i64)> {
    (Count::new(), Sum::of(cents))
}

fn finals<A: Aggregate<In = Event>>(
    name: &str,
    events: Stream<'_, Event>,
    windows: Windows,
    aggregate: A,
) -> Result<()> {
    end(by_user(events).window(windows, aggregate).finals(name)?.0)
}

/// Windows with a few events of each user.
fn ten_minutes<A: Aggregate<In = Event>>(name: &str, events: Stream<'_, Event>, aggregate: A) -> Result<()> {
    finals(name, events, Windows::tumbling(minutes(10)), aggregate)
}
