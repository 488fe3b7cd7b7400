//! One file for each command.

pub mod evaluate;
pub mod forget;
pub mod run;
pub mod train;
