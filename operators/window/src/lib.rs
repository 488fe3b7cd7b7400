//! Windows: what a key's events of a span of event time add up to.
//!
//! A window `[start, end)` holds the events from `start` up to, not including, `end`. What it
//! keeps of them is an [`Aggregate`]. A *tumbling* window begins where the one before it ends, at
//! every multiple of its width since 1970 UTC, so each event is in one window ([`TumblingWindows::tumbling`]).
//!
//! A window's result is final: it is emitted once, in the epoch in which the watermark reaches its
//! end, as an event at the window's last millisecond. An event whose window has been emitted
//! before its epoch began goes to the late stream; one that is behind the watermark while its
//! window is still open counts. Neither results nor lateness depend on the number of workers.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use tidemill::{Config, Events, Memory, Timing, execute, time::minutes};
//! use tidemill_window::{Count, Sum, TumblingWindows};
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
//!         .tumbling("turnover", minutes(1), (Count::new(), Sum::of(|s: &Sale| s.cents)))?;
//!     windows.map(|w| (w.start, w.key, w.value)).sink("turnover out", to_turnover.clone())
//! })?;
//! let mut turnover = turnover.values();
//! turnover.sort();
//! assert_eq!(turnover, [(0, 7, (2, 500)), (0, 8, (1, 990)), (60_000, 7, (1, 300))]);
//! # Ok::<(), tidemill::Error>(())
//! ```

mod aggregate;
mod tumbling;

pub use aggregate::{Aggregate, Count, Sum};
pub use tumbling::{TumblingWindows, Window};
