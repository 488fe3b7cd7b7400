//! Patterns: one event, then another, within a time, without a third between.
//!
//! A [`Pattern`] is matched against each key's events in order of event time (ties in order of arrival). A partial match
//! begins with every event that fits the first step, and takes the first event that fits the step it waits for
//! ([`Pattern::then`]), or insists on the very next one of the key ([`Pattern::next`]). So every beginning leads to one match at
//! most, and several beginnings may share later events, unless [`Pattern::skip_past_last`] says otherwise.
//!
//! Carts that were not followed by a purchase within half an hour, and those that were:
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use tidemill::{Config, Events, Memory, Timing, execute, time::minutes};
//! use tidemill_pattern::{Matching, Pattern};
//!
//! #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
//! enum Kind { Cart, Purchase, Remove }
//! type Event = (i64, u32, Kind);
//!
//! let events = vec![
//!     (0, 1, Kind::Cart), (minutes(5), 1, Kind::Purchase),
//!     (minutes(6), 2, Kind::Cart), (minutes(7), 2, Kind::Remove), (minutes(8), 2, Kind::Purchase),
//!     (minutes(9), 3, Kind::Cart), (minutes(50), 3, Kind::Purchase),
//! ];
//! let (bought, left) = (Memory::new(), Memory::new());
//! let (to_bought, to_left) = (bought.clone(), left.clone());
//! execute(Config::workers(2), move |job| {
//!     let events = job.source("events", Events::new(events.clone()), Timing::by(|event: &Event| event.0))?;
//!     let purchase = Pattern::begin(|event: &Event| event.2 == Kind::Cart)
//!         .without(|event: &Event| event.2 == Kind::Remove)
//!         .then(|event: &Event| event.2 == Kind::Purchase)
//!         .within(minutes(30));
//!     let (matches, timeouts) = events.key_by(|event| event.1).matches("cart to purchase", purchase)?;
//!     matches.map(|found| found.key).sink("bought", to_bought.clone())?;
//!     timeouts.map(|partial| partial.key).sink("left", to_left.clone())
//! })?;
//! assert_eq!(bought.values(), [1]);
//! assert_eq!(left.values(), [3]);
//! # Ok::<(), tidemill::Error>(())
//! ```

#![deny(missing_docs)]

mod matcher;

pub use matcher::{Found, MOST_PARTIAL, Matcher, Partial};

use std::rc::Rc;
use tidemill::time::minutes;
use tidemill::{Data, Key, Keyed, Millis, Result, Stream};

type Test<T> = Rc<dyn Fn(&T) -> bool>;

/// One step of a pattern.
pub(crate) struct Step<T> {
    pub fits: Test<T>,
    /// The very next event of the key must fit.
    pub strict: bool,
    /// What must not come before it, since the step before.
    pub without: Vec<Test<T>>,
}

impl<T> Clone for Step<T> {
    fn clone(&self) -> Self {
        Step { fits: Rc::clone(&self.fits), strict: self.strict, without: self.without.clone() }
    }
}

/// What to look for in a key's events: see the crate's documentation.
pub struct Pattern<T> {
    pub(crate) steps: Vec<Step<T>>,
    /// What the next step will do without.
    without: Vec<Test<T>>,
    pub(crate) within: Millis,
    pub(crate) skip_past_last: bool,
    /// A step is wanted 0 times.
    no_times: bool,
}

impl<T> Pattern<T> {
    /// A pattern that begins with an event that `fits`. It must be complete within ten minutes unless told otherwise.
    pub fn begin(fits: impl Fn(&T) -> bool + 'static) -> Self {
        let first = Step { fits: Rc::new(fits), strict: false, without: vec![] };
        Pattern { steps: vec![first], without: vec![], within: minutes(10), skip_past_last: false, no_times: false }
    }

    /// Then an event that `fits`, whatever else lies between (relaxed contiguity: the first that fits is taken).
    pub fn then(self, fits: impl Fn(&T) -> bool + 'static) -> Self {
        self.step(Rc::new(fits), false)
    }

    /// Then at once an event that `fits`: the key's very next one (strict contiguity), or there is no match.
    pub fn next(self, fits: impl Fn(&T) -> bool + 'static) -> Self {
        self.step(Rc::new(fits), true)
    }

    fn step(mut self, fits: Test<T>, strict: bool) -> Self {
        let without = std::mem::take(&mut self.without);
        self.steps.push(Step { fits, strict, without });
        self
    }

    /// The step before once more, `count` times in all (1 or more), with as much between as the step allows.
    pub fn times(mut self, count: usize) -> Self {
        self.no_times |= count == 0;
        if let Some(last) = self.steps.last().cloned() {
            self.steps.extend(std::iter::repeat_n(last, count.saturating_sub(1)));
        }
        self
    }

    /// Without an event that is `forbidden` between the step before this and the one after: then there is no match. An event
    /// that fits the step waited for is that step, forbidden or not.
    pub fn without(mut self, forbidden: impl Fn(&T) -> bool + 'static) -> Self {
        self.without.push(Rc::new(forbidden));
        self
    }

    /// From the first event to the last at most `ms` of event time (0 or more).
    pub fn within(self, ms: Millis) -> Self {
        Pattern { within: ms, ..self }
    }

    /// Has a match end every other partial match of its key, so that no event is in two matches. Of those that are
    /// complete with the same event, the one that began first is given.
    pub fn skip_past_last(self) -> Self {
        Pattern { skip_past_last: true, ..self }
    }

    /// Why it cannot match, if it cannot, and what to do.
    fn fault(&self) -> Option<String> {
        match self {
            Pattern { within: ..0, .. } => {
                Some(format!("must be complete within {} ms: choose at least 0", self.within))
            }
            _ if !self.without.is_empty() => Some("ends with a `without`: say by `then` what comes after it".into()),
            _ if self.no_times => Some("wants a step 0 times: choose at least 1, or leave the step out".into()),
            _ => None,
        }
    }
}

/// Streams in which patterns can be looked for.
pub trait Matching<'s, T: Data, K: Key>: Sized {
    /// Looks for `pattern` in each key's events. The first stream holds the matches, each at the time of its last event;
    /// the second one holds the partial matches that ran out of time, at the first millisecond at which they had. Events
    /// behind the watermark are dropped and counted in the job's report.
    ///
    /// State: the partial matches of each key, up to [`MOST_PARTIAL`], for the time a match may take.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`](tidemill::Error::Graph) if the name is taken or, as [`Matcher::new`] says, the pattern cannot match.
    fn matches(self, name: &str, pattern: Pattern<T>) -> Result<(Stream<'s, Found<K, T>>, Stream<'s, Found<K, T>>)>;
}

impl<'s, T: Data, K: Key, F: Fn(&T) -> K + Clone + 'static> Matching<'s, T, K> for Keyed<'s, T, F> {
    fn matches(self, name: &str, pattern: Pattern<T>) -> Result<(Stream<'s, Found<K, T>>, Stream<'s, Found<K, T>>)> {
        let (complete, partial) = self.process(name, Matcher::new(name, pattern)?)?.branch(|(complete, _)| *complete);
        Ok((complete.map(|(_, found)| found), partial.map(|(_, found)| found)))
    }
}
