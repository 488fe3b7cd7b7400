//! A shop that does not exist, so that what is found in its stream can be compared with what is true of it.
//!
//! Shoppers have tastes and come in sessions; items have categories, prices, complements and seasons, are launched, go out of
//! stock and come again; orders are cancelled, cards stolen. Some lines are sent twice, late, by bots, or make no sense.
//! [`Simulation`] is all of it as an iterator of [`Line`](tidemill_shop::Line)s, [`SimulatedShop`] as a source of a job, and
//! [`Truth`] what is known of it.

#![deny(missing_docs)]

mod random;
mod settings;
mod simulation;
mod source;
mod truth;

pub use settings::{RATES, Settings};
pub use simulation::{Dirt, Simulation};
pub use source::{SimulatedShop, write_jsonl};
pub use truth::{Scenario, Truth};
