//! Windows: what a key's events of a span of event time add up to.
//!
//! A window `[start, end)` holds the events from `start` up to, not including, `end`. What it
//! keeps of them is an [`Aggregate`]. Which windows there are is said by [`Windows`]: tumbling, hopping, session, by count,
//! or one for all time. They are read in one of two ways:
//!
//! - [`Windowed::finals`]: a stream; each window comes once, when the watermark has passed its end (and the allowed
//!   lateness after it).
//! - [`Windowed::rows`]: a collection; a window's row is there as soon as its end is reached, or earlier if wanted, and
//!   late events correct it by retraction.
//!
//! What becomes of an event behind the watermark is up to each use of windows:
//!
//! | the event | finals | rows |
//! |---|---|---|
//! | some window of it is not over | counts in it | counts in it |
//! | over, within [`Windowed::allowed_lateness`] | counts, for the result has waited | corrects the row |
//! | beyond that | side output: the stream that comes with the result; if nobody reads that, dropped and counted | the same |
//!
//! Neither results nor lateness depend on the number of workers.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use tidemill::{Config, Events, Memory, Timing, execute, time::minutes};
//! use tidemill_window::{Count, IntoWindows, Sum, Windows};
//!
//! #[derive(Clone, Debug, Serialize, Deserialize)]
//! struct Sale {
//!     time: i64,
//!     item: u32,
//!     cents: i64,
//! }
//!
//! let sales = [(1_000, 7, 250), (2_000, 8, 990), (59_999, 7, 250), (60_000, 7, 300)];
//! let sales = sales.map(|(time, item, cents)| Sale { time, item, cents }).to_vec();
//! let turnover = Memory::new();
//! let to_turnover = turnover.clone();
//! execute(Config::workers(2), move |job| {
//!     let sales = job.source("sales", Events::new(sales.clone()), Timing::by(|s: &Sale| s.time))?;
//!     let (windows, _late) = sales
//!         .key_by(|s| s.item)
//!         .window(Windows::tumbling(minutes(1)), (Count::new(), Sum::of(|s: &Sale| s.cents)))
//!         .finals("turnover")?;
//!     windows.map(|w| (w.start, w.key, w.value)).sink("turnover out", to_turnover.clone())
//! })?;
//! let mut turnover = turnover.values();
//! turnover.sort();
//! assert_eq!(turnover, [(0, 7, (2, 500)), (0, 8, (1, 990)), (60_000, 7, (1, 300))]);
//! # Ok::<(), tidemill::Error>(())
//! ```

mod aggregate;
mod aggregates;
mod finals;
mod hopping;
mod numbered;
mod open;
mod panes;
mod rolling;
mod rows;
#[cfg(test)]
mod tests;
mod tumbling;
mod windows;

pub use aggregate::Aggregate;
pub use aggregates::{
    Collect, Count, Distinct, HyperLogLog, Leaders, Max, Mean, Min, Moments, Only, Quantiles, Registers, Sum, TopK,
    Variance,
};
pub use windows::{IntoWindows, Window, Windowed, Windows};
