//! What the program `tidemill` does, a module each.

#![deny(missing_docs)]

pub mod launch;
mod generation;
