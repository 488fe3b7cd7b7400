//! The operators, and how each is attached to a stream of events.

mod engine;
mod events;
mod join;
mod model;
mod rank;
mod shop;
mod sliding;
mod window;

use crate::event::Event;
use std::hint::black_box;
use tidemill::time::hours;
use tidemill::{Collection, Keyed, Millis, Result, Stream, differential_dataflow};

/// What is left of a key that has fallen silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing was kept in the first place.
    None,
    /// Nothing, after a while.
    Goes,
    /// What is true of it stays true.
    Stays,
}

/// One operator, or what it cannot be measured without.
pub struct Operator {
    /// The crate it is in.
    pub family: &'static str,
    /// What it does. It names one operator of a family.
    pub name: &'static str,
    /// What it keeps of a key.
    pub state: State,
    /// Over how much event time a benchmark's events lie.
    pub span: Millis,
    /// Whether a benchmark's events may come behind the watermark.
    pub late: bool,
    attach: Attach,
}

/// Attaches an operator of this name to the events, with something behind it that throws away what it gives.
type Attach = for<'s> fn(&str, Stream<'s, Event>) -> Result<()>;

impl Operator {
    const fn new(family: &'static str, name: &'static str, state: State, attach: Attach) -> Self {
        Operator { family, name, state, attach, span: hours(1), late: false }
    }

    const fn over(self, span: Millis) -> Self {
        Operator { span, ..self }
    }

    const fn late(self) -> Self {
        Operator { late: true, ..self }
    }

    /// Family and name, which name it among all.
    pub fn id(&self) -> String {
        format!("{}/{}", self.family, self.name)
    }

    /// Attaches it to a stream; several can be attached to one.
    pub fn attach(&self, events: Stream<'_, Event>) -> Result<()> {
        (self.attach)(&self.id(), events)
    }
}

/// All operators.
pub fn operators() -> impl Iterator<Item = &'static Operator> {
    let families: [&'static [Operator]; 8] = [
        engine::OPERATORS,
        window::OPERATORS,
        join::OPERATORS,
        events::OPERATORS,
        rank::OPERATORS,
        shop::OPERATORS,
        sliding::OPERATORS,
        model::OPERATORS,
    ];
    families.into_iter().flatten()
}

/// By user, which is what all operators are keyed by.
fn by_user(events: Stream<'_, Event>) -> Keyed<'_, Event, fn(&Event) -> u32> {
    events.key_by(|event| event.user)
}

/// The end of a stream.
fn end<T: Clone + 'static>(stream: Stream<'_, T>) -> Result<()> {
    stream.for_each(|record| _ = black_box(record));
    Ok(())
}

/// The end of a collection.
fn end_rows<R: differential_dataflow::Data>(rows: Collection<'_, R>) -> Result<()> {
    let job = rows.job().clone();
    let seen = rows.inspect(|change| _ = black_box(change));
    job.wait_for(seen.inner().inner);
    Ok(())
}
