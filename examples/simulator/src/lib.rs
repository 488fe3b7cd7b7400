//! A shop that does not exist, so that what is found in its stream can be compared with what is true of it.
//!
//! Shoppers have tastes and come in visits; items have categories, prices, complements and seasons, are launched, go
//! out of stock and come again; orders are cancelled, cards stolen. Some lines are sent twice, late, by bots, or make
//! no sense. [`Simulation`] is all of it as an iterator of [`Line`](tidemill_shop::Line)s, [`SimulatedShop`] as a
//! source of a job, and [`Truth`] what is known of it.
//!
//! ```
//! use shop_simulator::{Settings, Simulation};
//! use tidemill_shop::Kind;
//!
//! let mut shop = Simulation::new(Settings { users: 100, ..Settings::default() });
//! let bought = shop.find(|line| line.kind == Kind::Purchase).and_then(|line| line.item).unwrap_or_default();
//! assert!(!shop.truth().complements(bought).is_empty());
//! ```

#![deny(missing_docs)]

mod calendar;
mod catalogue;
mod dirt;
mod flags;
mod fraud;
mod line;
mod random;
mod settings;
mod shelf;
mod shopper;
mod simulation;
mod source;
mod till;
mod truth;
mod visit;

pub use dirt::Dirt;
pub use flags::{Flags, rules};
pub use fraud::{OUTSIZED, Scenario};
pub use settings::{RATES, Settings};
pub use simulation::Simulation;
pub use source::{SimulatedReader, SimulatedShop, write_jsonl};
pub use truth::Truth;
