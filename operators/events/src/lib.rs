//! Operators that let events through, hold them back or mark them: [`EachEvent::deduplicate`], [`EachEvent::sessionise`],
//! [`EachEvent::rate_limit`], [`EachEvent::sample`]; and those that have all rows of a collection at hand:
//! [`WithRules::with_rules`] for rules that change while the job runs, [`Asked::ask`] for questions to an index
//! and [`AskedOfSeveral::ask_several`] to several of them,
//! [`WithEachRow::with_each_row`] for what has to be done again for all, or for a part of them.
//!
//! Those that depend on order take events in order of event time, so what they do depends neither on how events
//! arrived nor on the number of workers; events behind the watermark are dropped and counted in the job's report.
//!
//! ```
//! use tidemill::{Config, Events, Memory, Timing, execute, time::minutes};
//! use tidemill_events::EachEvent;
//!
//! // Time, user, item: the second view of an item within ten minutes says nothing new.
//! let views = vec![(0, 7, 1), (1_000, 7, 1), (2_000, 7, 2), (minutes(11), 7, 1)];
//! let out = Memory::new();
//! let to_out = out.clone();
//! execute(Config::workers(2), move |job| {
//!     let views = job.source("views", Events::new(views.clone()), Timing::by(|view: &(i64, u32, u32)| view.0))?;
//!     views.key_by(|view| (view.1, view.2)).deduplicate("new views", minutes(10))?.sink("out", to_out.clone())
//! })?;
//! assert_eq!(out.values(), [(0, 7, 1), (2_000, 7, 2), (minutes(11), 7, 1)]);
//! # Ok::<(), tidemill::Error>(())
//! ```

#![deny(missing_docs)]

mod ask;
mod deduplicate;
mod each_row;
mod follow;
mod limit;
mod rules;
mod sample;
mod session;
mod several;
#[cfg(test)]
mod testing;

pub use ask::{AsOf, Asked, Index};
pub use deduplicate::Deduplicate;
pub use each_row::WithEachRow;
pub use limit::RateLimit;
pub use rules::WithRules;
pub use session::{Sessioned, Sessionise};
pub use several::{AskedOfSeveral, Respondent};

use tidemill::{Data, Error, Key, Keyed, Millis, Result, Stream};

/// What can be done to each event of a keyed stream.
pub trait EachEvent<'s, T: Data, K: Key>: Sized {
    /// Lets a key's event through unless one of the same key was let through less than `ttl` ms before it.
    ///
    /// State: one mark per key, for `ttl` ms of event time.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`] if the name is taken or `ttl` is less than 1 ms.
    fn deduplicate(self, name: &str, ttl: Millis) -> Result<Stream<'s, T>>;

    /// Says of each event which session of its key it is in, and when a session has ended: after `gap` ms without events.
    ///
    /// State: the session of each key that has one.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`] if the name is taken or `gap` is less than 1 ms.
    fn sessionise(self, name: &str, gap: Millis) -> Result<Stream<'s, Sessioned<K, T>>>;

    /// Lets at most `limit` events of a key through in any span of `per` ms; the second stream holds the others.
    ///
    /// State: up to `limit` times per key, for `per` ms of event time after its last event.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`] if the name is taken or `per` is less than 1 ms.
    fn rate_limit(self, name: &str, limit: usize, per: Millis) -> Result<(Stream<'s, T>, Stream<'s, T>)>;

    /// The events of about this fraction of keys (0 to 1), chosen by a hash of the key: all of a key's events or none, the
    /// same keys in every run and wherever else the same keys are sampled, a fair share on each worker. No state.
    ///
    /// It cannot fail: a fraction below 0 (or that is no number) is taken for 0, one above 1 for 1.
    fn sample(self, fraction: f64) -> Stream<'s, T>;
}

impl<'s, T: Data, K: Key, F: Fn(&T) -> K + Clone + 'static> EachEvent<'s, T, K> for Keyed<'s, T, F> {
    fn deduplicate(self, name: &str, ttl: Millis) -> Result<Stream<'s, T>> {
        positive(name, "time-to-live", ttl)?;
        self.process(name, Deduplicate::new(ttl))
    }

    fn sessionise(self, name: &str, gap: Millis) -> Result<Stream<'s, Sessioned<K, T>>> {
        positive(name, "gap", gap)?;
        self.process(name, Sessionise::new(gap))
    }

    fn rate_limit(self, name: &str, limit: usize, per: Millis) -> Result<(Stream<'s, T>, Stream<'s, T>)> {
        positive(name, "span", per)?;
        let (through, held) = self.process(name, RateLimit::new(limit, per))?.branch(|(through, _)| *through);
        Ok((through.map(|(_, event)| event), held.map(|(_, event)| event)))
    }

    fn sample(self, fraction: f64) -> Stream<'s, T> {
        let key = self.key();
        let chosen = sample::chooser(fraction);
        self.stream().clone().filter(move |event| chosen(&key(event)))
    }
}

fn positive(name: &str, what: &str, ms: Millis) -> Result<()> {
    match ms {
        1.. => Ok(()),
        _ => Err(Error::Graph(format!("`{name}` has a {what} of {ms} ms: choose at least 1"))),
    }
}
