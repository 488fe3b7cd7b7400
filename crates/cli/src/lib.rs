//! What the program `tidemill` does, a module each.

#![deny(missing_docs)]

mod generation;
pub mod launch;
