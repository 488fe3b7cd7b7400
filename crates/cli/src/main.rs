//! `tidemill`: runs a graph's program as several processes, and looks after what jobs leave behind.

mod checkpoints;
mod table;

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use tidemill_cli::launch;

#[derive(Parser)]
#[command(name = "tidemill", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a graph's program as several processes on this machine, and again when it fails.
    Launch(launch::Args),
    /// List, inspect, verify and prune the checkpoints of a job.
    Checkpoints(checkpoints::Args),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Launch(args) => launch::run(&args),
        Command::Checkpoints(args) => checkpoints::main(args),
    }
}
