//! A shop's events, and which of them hold.
//!
//! What is derived from a shop's events changes when one is taken back: an order is cancelled, an event is older than what is
//! kept, or a user is forgotten. [`Ledgers::ledger`] knows of each user the events that hold, and says what comes and what
//! goes as changes. So whatever comes after it takes changes only, and need not know why an event went.

#![deny(missing_docs)]

mod event;
mod ledger;

pub use event::{Action, ShopEvent};
pub use ledger::{Held, Ledgers};
