//! `tidemill launch`, where tests find it.

use clap::Parser;
use std::process::ExitCode;

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    launch: tidemill_cli::launch::Args,
}

fn main() -> ExitCode {
    tidemill_cli::launch::run(&Program::parse().launch)
}
