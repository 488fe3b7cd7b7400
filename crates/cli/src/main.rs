//! `tidemill`: looks after what Tidemill's jobs leave behind.

mod checkpoints;
mod table;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "tidemill", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List, inspect, verify and prune the checkpoints of a job.
    Checkpoints(checkpoints::Args),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Checkpoints(args) => checkpoints::main(args),
    }
}
