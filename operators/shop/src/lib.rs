//! A shop's events, and which of them hold.
//!
//! What is derived from a shop's events changes when one is taken back: an order is cancelled, an event is older than what is
//! kept, or a user is forgotten. [`Ledgers::ledger`] knows of each user the events that hold, and says what comes and what
//! goes as changes. So whatever comes after it takes changes only, and need not know why an event went. [`Behaviour`] is such:
//! funnels, interests, and how recently, how often and for how much users buy.
//!
//! ```
//! use tidemill::time::days;
//! use tidemill::{Config, Events, Memory, Timing, execute};
//! use tidemill_shop::{Action, Behaviour, Ledgers, Rfm, ShopEvent};
//!
//! let bought = Action::Purchase { order: 1, item: 7, quantity: 3, cents: 500 };
//! let sent_back = Action::Cancellation { order: Some(1), item: 7, quantity: 2 };
//! let events = vec![(days(1), bought), (days(2), sent_back)];
//! let out = Memory::new();
//! let to_out = out.clone();
//! execute(Config::workers(1), move |job| {
//!     let events = job.source("events", Events::new(events.clone()), Timing::by(|event: &(i64, Action)| event.0))?;
//!     let events = events.map(|(_, action)| ShopEvent::new(8, action));
//!     let held = events.key_by(|event| event.user).ledger("what holds", days(365))?.held;
//!     held.rfm("habits")?.sink("out", to_out.clone())
//! })?;
//! assert_eq!(out.rows(), [(Rfm { user: 8, last: days(1), orders: 1, cents: 500 }, 1)]);
//! # Ok::<(), tidemill::Error>(())
//! ```

#![deny(missing_docs)]

mod behaviour;
mod categories;
mod clean;
mod event;
mod items;
mod ledger;
mod line;
mod segment;
mod trending;

pub use behaviour::{Behaviour, Funnel, Interest, Rfm, Stage};
pub use categories::Categorised;
pub use clean::{Clean, Cleaning, CountReasons, Dropped, Rates, Reason, Rules};
pub use event::{Action, ItemChange, ItemEvent, NO_CATEGORY, ShopEvent};
pub use items::{Facts, ItemFact};
pub use ledger::{Forgotten, Held, Ledger, Ledgers};
pub use line::{Currency, Kind, Line};
pub use segment::{Segment, Segments, Thresholds, segment_sizes};
pub use trending::{FRESH, Trend, Trending};
