//! A shop's stream, and the four answers to it: what each shopper should see next, what is bought together, what users do, and
//! which payments are frauds.

pub mod before_after;
pub mod collections;
pub mod ends;
pub mod forgotten;
pub mod graph;
pub mod payments;
pub mod record;
pub mod replay;
#[cfg(test)]
mod tests;
pub mod to_read;
pub mod training;
