//! The Nexmark benchmark: an online auction house, and 23 questions about it.
//!
//! - [`event`]: what happens there. People join, open auctions, and make bids.
//! - [`generator`] makes events by their number, [`source`] brings them into a graph.
//! - [`queries`]: the questions, one module each. In each of them `query` is the graph that answers it, and
//!   `brute_force` says the same by plain loops over all events, without the engine.
//! - [`check`] compares the two; [`run`] says how fast a query is.

pub mod answer;
pub mod check;
pub mod event;
pub mod generator;
pub mod queries;
pub mod run;
pub mod source;
