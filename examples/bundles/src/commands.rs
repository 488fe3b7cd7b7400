//! One file for each command.

pub mod evaluate;
pub mod run;
