//! The command line of the bundles example.

mod commands;

use clap::{Parser, Subcommand};

/// What is bought together and what is bought next, kept true through cancellations.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Replay a shop's lines, and print the strongest bundles and what some users were thought to buy next.
    Run(Box<commands::run::Arguments>),
    /// Judge next baskets on Online Retail's customers, each order before it is learnt, beside simple baselines.
    Evaluate(commands::evaluate::Arguments),
}

fn main() -> std::process::ExitCode {
    tidemill::exit(match Arguments::parse().command {
        Command::Run(arguments) => commands::run::run(&arguments),
        Command::Evaluate(arguments) => commands::evaluate::run(&arguments),
    })
}
