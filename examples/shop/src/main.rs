//! The command line of the shop example.

mod commands;

use clap::{Parser, Subcommand};

/// Lists come and go by the million.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A whole shop from one stream: recommendations, bundles, behaviour and frauds.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// From nothing to four answers: simulate a shop, train on its first weeks, and answer the rest as it streams in.
    Demo(commands::demo::Arguments),
    /// Answer a stream: a file's, or a simulated shop's.
    Run(commands::run::Arguments),
    /// Train the Transformer and the fraud model on a stream's history.
    Train(commands::train::Arguments),
    /// Show what a stock-out, a cancellation and a forgotten user touch, and audit that nothing of the user is left.
    Show(commands::show::Arguments),
    /// Measure how long it takes until all that is kept is without some users.
    Forget(commands::forget::Arguments),
    /// Compare all that is kept of a real shop's year, day after day, with a recompute of what was not cancelled.
    Days(commands::days::Arguments),
    /// Measure how long it takes from an event to the list it changes, in an open-loop load.
    Load(commands::load::Arguments),
    /// Write a simulated shop's stream to a file.
    Generate(commands::generate::Arguments),
}

fn main() -> std::process::ExitCode {
    tidemill::exit(run(Arguments::parse().command))
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Demo(arguments) => commands::demo::run(&arguments),
        Command::Run(arguments) => commands::run::run(&arguments),
        Command::Train(arguments) => commands::train::run(&arguments),
        Command::Show(arguments) => commands::show::run(&arguments),
        Command::Forget(arguments) => commands::forget::run(&arguments),
        Command::Days(arguments) => commands::days::run(&arguments),
        Command::Load(arguments) => commands::load::run(&arguments),
        Command::Generate(arguments) => commands::generate::run(&arguments),
    }
}
