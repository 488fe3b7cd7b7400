//! What to call, and how.

use std::fmt::Display;
use std::sync::Arc;
use tidemill::time::seconds;
use tidemill::{Error, Millis, Result};

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It may go well the next time: the service was busy, the connection broke.
    #[error("{0}")]
    Transient(String),
    /// It will not go well for this event.
    #[error("{0}")]
    Permanent(String),
    /// It took longer than [`Calls::timeout`], in ms.
    #[error("no answer within {0} ms")]
    Timeout(Millis),
}

impl Failure {
    /// A failure that may pass: the call is tried again.
    pub fn transient(reason: impl Display) -> Self {
        Failure::Transient(reason.to_string())
    }

    /// A failure for good: the call is not tried again.
    pub fn permanent(reason: impl Display) -> Self {
        Failure::Permanent(reason.to_string())
    }
}

pub(crate) type Connect<C> = dyn Fn() -> Result<C, String> + Send + Sync;
pub(crate) type Call<T, U, C> = dyn Fn(&mut C, &T) -> Result<U, Failure> + Send + Sync;
pub(crate) type Otherwise<T, U> = dyn Fn(&T, &Failure) -> Option<U>;

/// A call to make for each event, and how: on how many threads, in which order, how often and for how long.
pub struct Calls<T, U, C> {
    pub(crate) connect: Arc<Connect<C>>,
    pub(crate) call: Arc<Call<T, U, C>>,
    pub(crate) otherwise: Option<Box<Otherwise<T, U>>>,
    pub(crate) threads: usize,
    pub(crate) timeout: Millis,
    pub(crate) retries: u32,
    pub(crate) backoff: Millis,
    pub(crate) ordered: bool,
}

impl<T, U, C> Calls<T, U, C> {
    /// Has `call` answer for each event, with the client that `connect` made on the same thread.
    ///
    /// Unless told otherwise: 4 threads a worker, 10 seconds for a call, no second try, answers in order.
    ///
    /// If no client can be had when the graph is built, the job stops before it has read anything; later on, that is a
    /// transient failure of the call it was needed for.
    pub fn new<E: Display>(
        connect: impl Fn() -> Result<C, E> + Send + Sync + 'static,
        call: impl Fn(&mut C, &T) -> Result<U, Failure> + Send + Sync + 'static,
    ) -> Self {
        Calls {
            connect: Arc::new(move || connect().map_err(|error| error.to_string())),
            call: Arc::new(call),
            otherwise: None,
            threads: 4,
            timeout: seconds(10),
            retries: 0,
            backoff: 0,
            ordered: true,
        }
    }

    /// Makes up to `threads` calls at the same time on each worker.
    pub fn threads(self, threads: usize) -> Self {
        Calls { threads, ..self }
    }

    /// Gives a call up after `ms`: a failed try. Its answer, should it come, is not used.
    pub fn timeout(self, ms: Millis) -> Self {
        Calls { timeout: ms, ..self }
    }

    /// Tries a call up to `retries` times more: `backoff` ms after the first failure, then after twice as long each time.
    pub fn retries(self, retries: u32, backoff: Millis) -> Self {
        Calls { retries, backoff, ..self }
    }

    /// Epochs' answers come in order, an epoch's by event time, ties by place: one that is slow holds back those behind it.
    pub fn ordered(self) -> Self {
        Calls { ordered: true, ..self }
    }

    /// Each answer goes on as soon as it is there, in its event's own epoch.
    pub fn unordered(self) -> Self {
        Calls { ordered: false, ..self }
    }

    /// Has `answer` say what goes on for an event whose call has failed for good; where it says `None`, the event goes to
    /// the dead letters, as all do without it.
    pub fn otherwise(self, answer: impl Fn(&T, &Failure) -> Option<U> + 'static) -> Self {
        Calls { otherwise: Some(Box::new(answer)), ..self }
    }

    pub(crate) fn check(&self, name: &str) -> Result<()> {
        let fault = match self {
            Calls { threads: 0, .. } => "makes calls on 0 threads: choose at least 1".to_owned(),
            Calls { timeout: ..=0, .. } => format!("gives a call {} ms: choose at least 1", self.timeout),
            Calls { backoff: ..0, .. } => format!("tries again after {} ms: choose 0 or more", self.backoff),
            _ => return Ok(()),
        };
        Err(Error::Graph(format!("`{name}` {fault}")))
    }
}
