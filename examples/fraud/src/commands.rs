//! The subcommands, one file each: its arguments and its `run`.

pub mod demo;
pub mod evaluate;
pub mod features;
pub mod generate;
pub mod run;
pub mod shop;
pub mod train;
