//! Asks a service about each event, on threads of its own: a geocoder, a customer table, a carrier's prices.
//!
//! What holds:
//!
//! - **Workers never wait for a call.** Each worker has [`Calls::threads`] threads with a client each; the event's epoch
//!   stays open downstream until its answer is there. Answers keep the event's time and place.
//! - **A failing call costs its own event.** It is tried again if that may help ([`Failure::Transient`], or out of time), then
//!   goes to the dead letters, or becomes what [`Calls::otherwise`] makes of it.
//! - **A call that does not return holds nothing up** beyond [`Calls::timeout`]: its thread is given up and another one
//!   takes its place. Where too many hang, the job stops and says so.
//! - **Queues are bounded** by the epochs under way: a slow service slows the sources.
//!
//! An operator that waits for closed epochs (all that keep state) gives the same results behind [`Calls::ordered`] and
//! [`Calls::unordered`] calls. Answers themselves are the service's: another run gets those of its own time.
//!
//! ```
//! use tidemill::{Config, Events, Memory, Timing, execute};
//! use tidemill_enrich::{Calls, Enrich, Failure};
//!
//! let orders = vec![(1_000, "NL-1011"), (2_000, "DE-10115"), (3_000, "??")];
//! let orders: Vec<(i64, String)> = orders.into_iter().map(|(time, place)| (time, place.to_owned())).collect();
//! let out = Memory::new();
//! let to_out = out.clone();
//! let report = execute(Config::workers(2), move |job| {
//!     let orders = job.source("orders", Events::new(orders.clone()), Timing::by(|order: &(i64, String)| order.0))?;
//!     // Here a service is called; `connect` makes a client for each thread.
//!     let connect = || Ok::<_, std::convert::Infallible>(["NL", "DE"]);
//!     let country = |known: &mut [&'static str; 2], order: &(i64, String)| {
//!         let code = known.iter().find(|code| order.1.starts_with(**code));
//!         code.map(|code| (order.0, code.to_string())).ok_or_else(|| Failure::permanent("no such country"))
//!     };
//!     orders.enrich("country", Calls::new(connect, country).timeout(200).retries(2, 50))?.sink("out", to_out.clone())
//! })?;
//! assert_eq!(out.values(), [(1_000, "NL".to_owned()), (2_000, "DE".to_owned())]);
//! assert_eq!(report.dead(), 1);
//! # Ok::<(), tidemill::Error>(())
//! ```

#![deny(missing_docs)]

mod callers;
mod calls;
mod enrich;
mod pending;
#[cfg(test)]
mod tests;

pub use calls::{Calls, Failure};
pub use enrich::Enrich;
