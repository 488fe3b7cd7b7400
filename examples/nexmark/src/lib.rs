//! The Nexmark benchmark: an online auction house, and 23 questions about it.
//!
//! - [`event`]: what happens there. People join, open auctions, and make bids.
//! - [`generator`] makes events by their number, [`source`] brings them into a graph.

pub mod event;
pub mod generator;
pub mod source;
