//! The command line of the behaviour example.

mod run;

use clap::{Parser, Subcommand};

/// What a shop's users do, kept true as events come, are cancelled and grow old.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Read a shop's lines, a simulated one's by default, and print what its users do in the end.
    Run(run::Arguments),
}

fn main() -> std::process::ExitCode {
    let Command::Run(arguments) = Arguments::parse().command;
    tidemill::exit(run::run(&arguments))
}
