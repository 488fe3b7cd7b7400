//! A shop's lines: its own, a public data set's as if they were some, or a simulated shop's.

pub mod amazon;
pub mod diginetica;
mod files;
mod histories;
mod lines;
mod money;
mod online_retail;
mod read;
pub mod serenade;

pub use files::Files;
pub use histories::Histories;
pub use lines::{Lines, Names, json_lines, simulated, warn};
pub use money::Money;
pub use online_retail::{GUESTS, Invoiced, online_retail};
