//! Joins of two streams, and of a stream with what is known of its keys.
//!
//! | join | matches | an event waits | what is kept |
//! |---|---|---|---|
//! | [`Joining::within`] | events whose times are so far apart | for nothing; outer ones until no match can come | events for as long as a match can come |
//! | [`Joining::window`] | events of the same tumbling window | until the window's end | the open windows' events |
//! | [`Joins::join_as_of`] | the version valid at the event's time and known at a moment | until the watermark passes the moment | per key the valid version, and those to come |
//! | [`Joins::lookup`] | the row that is true in the event's epoch | for nothing | the rows |
//!
//! Collections are joined by differential dataflow's own operators: `examples/collections.rs` shows how.
//!
//! Which clicks led to a purchase within half an hour?
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use tidemill::{Config, Events, Memory, Timing, execute, time::minutes};
//! use tidemill_join::Joins;
//!
//! #[derive(Clone, Debug, Serialize, Deserialize)]
//! struct Click { time: i64, user: u32, item: u32 }
//! #[derive(Clone, Debug, Serialize, Deserialize)]
//! struct Order { time: i64, user: u32, cents: i64 }
//!
//! let clicks = [(minutes(1), 7, 1), (minutes(2), 8, 2), (minutes(50), 7, 3)];
//! let clicks = clicks.map(|(time, user, item)| Click { time, user, item }).to_vec();
//! let orders = vec![Order { time: minutes(20), user: 7, cents: 990 }];
//! let out = Memory::new();
//! let to_out = out.clone();
//! execute(Config::workers(2), move |job| {
//!     let clicks = job.source("clicks", Events::new(clicks.clone()), Timing::by(|c: &Click| c.time))?;
//!     let orders = job.source("orders", Events::new(orders.clone()), Timing::by(|o: &Order| o.time))?;
//!     let (led, _late) = clicks.key_by(|c| c.user).join(orders.key_by(|o| o.user)).within(0, minutes(30)).left(
//!         "led to",
//!         |click, order| (click.item, order.map(|order| order.cents)),
//!     )?;
//!     led.sink("out", to_out.clone())
//! })?;
//! assert_eq!(out.values(), [(1, Some(990)), (2, None), (3, None)]);
//! # Ok::<(), tidemill::Error>(())
//! ```

#![deny(missing_docs)]

mod as_of;
mod interval;
mod lookup;
mod pair;
#[cfg(test)]
mod tests;
mod window;

pub use as_of::{AsOf, Version};
pub use interval::Within;
pub use pair::{Joining, Joins, Pair, Side};
pub use window::SameWindow;
