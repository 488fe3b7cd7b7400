//! The one place wall time is read.

use crate::time::Millis;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where a job reads wall time: the machine, or a test.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// A clock that only moves when told to.
    Manual(ManualClock),
}

impl Clock {
    /// Wall time now, in milliseconds since 1970 UTC.
    pub fn now(&self) -> Millis {
        match self {
            Clock::System => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as Millis),
            Clock::Manual(clock) => clock.now.load(Ordering::SeqCst),
        }
    }

    /// Milliseconds since some moment of this process, whatever becomes of the wall clock: for timeouts. A manual clock
    /// is its own.
    pub fn steady(&self) -> Millis {
        static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
        match self {
            Clock::System => BEGAN.elapsed().as_millis() as Millis,
            Clock::Manual(_) => self.now(),
        }
    }

    /// How long to wait, at most, before looking again for a moment `wait` ms ahead. A manual
    /// clock can move at any instant, so it is looked at often.
    pub fn patience(&self, wait: Millis) -> Duration {
        match self {
            Clock::System => Duration::from_millis(wait.max(0) as u64),
            Clock::Manual(_) => Duration::from_millis(1),
        }
    }
}

/// A clock that tests drive.
#[derive(Clone, Debug, Default)]
pub struct ManualClock {
    now: Arc<AtomicI64>,
}

impl ManualClock {
    /// A clock that stands at `now`, in milliseconds since 1970 UTC.
    pub fn at(now: Millis) -> Self {
        ManualClock { now: Arc::new(AtomicI64::new(now)) }
    }

    /// Moves the clock by `by` milliseconds, backwards if negative.
    pub fn advance(&self, by: Millis) {
        self.now.fetch_add(by, Ordering::SeqCst);
    }
}
