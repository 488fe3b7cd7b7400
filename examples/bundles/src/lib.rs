//! What is bought together and what is bought next, kept true through cancellations and forgotten users.

pub mod graph;
pub mod metrics;
pub mod next_basket;
