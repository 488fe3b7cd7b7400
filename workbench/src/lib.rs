//! Every operator, attached to the same stream of events: what benchmarks and measurements share.
//!
//! | command | what it says |
//! |---|---|
//! | `cargo bench -p tidemill-workbench --bench operators [-- FILTER]` | events per CPU second, by Criterion |
//! | `cargo bench -p tidemill-workbench --bench table [-- FILTER]` | a table of that (as last measured) and of bytes per key |
//! | `cargo run --release -p tidemill-workbench --example idle_keys` | whether memory stays flat over ten million keys |
//!
//! A new operator needs one line in one of the tables under `operators/`.

mod distinct;
mod event;
mod operators;

pub use distinct::{Distinct, DistinctReader};
pub use event::{DISORDER, EVENTS, Event, START, USERS, events};
pub use operators::{Operator, State, operators};

use tidemill::{Config, Millis, Report, Result, Source, Timing, execute};

/// Runs `operators` side by side over the events of `source`, on one worker, and throws away what they give.
pub fn run<S>(operators: Vec<&'static Operator>, source: S, disorder: Millis) -> Result<Report>
where
    S: Source<Item = Event> + Clone + Send + Sync,
{
    execute(Config::workers(1), move |job| {
        let timing = Timing::by(|event: &Event| event.time).disorder(disorder);
        let events = job.source("events", source.clone(), timing)?;
        operators.iter().try_for_each(|operator| operator.attach(events.clone()))
    })
}
