//! Sessions of single events.

use serde::{Deserialize, Serialize};
use std::marker::PhantomData;
use tidemill::{Context, Data, Key, Millis, Process, Reject};

/// An event in its session, or a session's end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Sessioned<K, T> {
    /// An event, at its own time.
    Event {
        /// Whose session it is.
        key: K,
        /// When the session began, in milliseconds since 1970 UTC: with the key, this names it.
        session: Millis,
        /// The event's number in the session, from 0.
        number: u32,
        /// The event.
        event: T,
    },
    /// A session has ended: at the time at which the gap was over.
    End {
        /// Whose session it was.
        key: K,
        /// When it began, in milliseconds since 1970 UTC.
        session: Millis,
        /// The time of its last event, in milliseconds since 1970 UTC.
        last: Millis,
        /// How many events it had.
        events: u32,
    },
}

/// Puts events into sessions: see [`EachEvent::sessionise`](crate::EachEvent::sessionise).
pub struct Sessionise<K, T> {
    gap: Millis,
    types: PhantomData<fn(K, T)>,
}

impl<K, T> Sessionise<K, T> {
    /// Ends a session `gap` ms after its last event.
    pub fn new(gap: Millis) -> Self {
        Sessionise { gap, types: PhantomData }
    }
}

/// A session that is going on.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Session {
    start: Millis,
    last: Millis,
    events: u32,
}

impl<K: Key, T: Data> Process for Sessionise<K, T> {
    type Key = K;
    type In = T;
    type Out = Sessioned<K, T>;
    type State = Session;

    const UNDO: bool = false;

    fn process(
        &self,
        key: &K,
        event: T,
        session: &mut Session,
        ctx: &mut Context<'_, Self::Out>,
    ) -> Result<(), Reject> {
        let time = ctx.time();
        if session.events == 0 {
            session.start = time;
        } else {
            session.last.checked_add(self.gap).into_iter().for_each(|at| ctx.cancel_timer(at));
        }
        time.checked_add(self.gap).into_iter().for_each(|at| ctx.set_timer(at));
        ctx.emit(Sessioned::Event { key: key.clone(), session: session.start, number: session.events, event });
        session.last = time;
        session.events = session.events.saturating_add(1);
        Ok(())
    }

    fn on_timer(&self, key: &K, session: &mut Session, ctx: &mut Context<'_, Self::Out>) -> Result<(), Reject> {
        let Session { start, last, events } = *session;
        ctx.emit(Sessioned::End { key: key.clone(), session: start, last, events });
        ctx.forget();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, events};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_session_is_a_run_of_events_less_than_the_gap_apart(
            epochs in events(), gap in 1i64..120, at in (1usize..5, 0usize..9, 1usize..5)
        ) {
            let oracle = |key: u8, times: &[(Millis, u32)]| {
                let mut out = vec![];
                for run in times.chunk_by(|a, b| b.0 - a.0 < gap) {
                    let (session, last) = (run[0].0, run[run.len() - 1].0);
                    let each = |(number, (time, n)): (u32, &(Millis, u32))| {
                        Sessioned::Event { key, session, number, event: (*time, key, *n) }
                    };
                    out.extend((0..).zip(run).map(each));
                    out.push(Sessioned::End { key, session, last, events: run.len() as u32 });
                }
                out
            };
            check(&epochs, at, |out| out, oracle, move || Sessionise::new(gap))?;
        }
    }
}
