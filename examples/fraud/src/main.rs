//! The command line of the fraud example.

mod commands;

use clap::{Parser, Subcommand};

/// Card fraud scoring on the public benchmark, from simulated transactions to alerts.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The whole path in a few minutes: generate, train, score, explain.
    Demo(commands::demo::Arguments),
    /// Write the benchmark's transactions as CSV.
    Generate(commands::generate::Arguments),
    /// Write every transaction's features, computed by the streaming graph.
    Features(commands::features::Arguments),
    /// Train models on one week and save them.
    Train(commands::train::Arguments),
    /// Judge all models on the benchmark's four folds, beside the published results.
    Evaluate(commands::evaluate::Arguments),
    /// Score transactions as they stream in, and write each day's alerts with their reasons.
    Run(commands::run::Arguments),
}

fn main() -> std::process::ExitCode {
    tidemill::exit(run(Arguments::parse().command))
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Demo(arguments) => commands::demo::run(&arguments),
        Command::Generate(arguments) => commands::generate::run(&arguments),
        Command::Features(arguments) => commands::features::run(&arguments),
        Command::Train(arguments) => commands::train::run(&arguments),
        Command::Evaluate(arguments) => commands::evaluate::run(&arguments),
        Command::Run(arguments) => commands::run::run(&arguments),
    }
}
