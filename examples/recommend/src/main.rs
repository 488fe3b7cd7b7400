//! The command line of the recommendation example.

mod commands;

use clap::{Parser, Subcommand};

/// What is counted of each item is small, and comes and goes by the million.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What to show next: item links, nearest sessions and bundles, kept true event by event.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Keep the lists of a shop's shoppers, of a file or simulated, and print some.
    Run(Box<commands::run::Arguments>),
    /// Forget the users with the most events at once, and compare with a replay that never saw them.
    Forget(commands::forget::Arguments),
    /// Train a Transformer on a data set's histories.
    Train(commands::train::Arguments),
    /// Judge the models on public data sets, each replayed as the stream it was, beside the published results.
    Evaluate(commands::evaluate::Arguments),
}

fn main() -> std::process::ExitCode {
    tidemill::exit(run(Arguments::parse().command))
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Run(arguments) => commands::run::run(&arguments),
        Command::Forget(arguments) => commands::forget::run(&arguments),
        Command::Train(arguments) => commands::train::run(&arguments),
        Command::Evaluate(arguments) => commands::evaluate::run(&arguments),
    }
}
