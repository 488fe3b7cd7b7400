//! The command line of the reference queries.

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use queries::event;
use queries::generate::Generator;
use queries::query::{Query, answer};
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use tidemill::{Config, Flags, report};

/// The reference queries: how fast the engine is beside programs written by hand.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the first ROWS events of the input to FILE.
    Gen {
        /// How many events.
        rows: u64,
        /// Where to write them.
        file: PathBuf,
    },
    /// Carts and purchases of 20.00 or more.
    Q1(Run),
    /// Events and amount per item and minute.
    Q2(Run),
    /// Events and amount of a user's last day and week, per event.
    Q3(Run),
    /// The ten items with the most events of each category.
    Q4(Run),
    /// Events and amount per item and day, every hour.
    Hopping(Run),
    /// Nothing but reading: what the other queries cost less this is theirs.
    Read(Run),
}

#[derive(Args)]
struct Run {
    /// The input, in one or more files; each is read by one worker.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Read by serde instead of a parser written by hand.
    #[arg(long)]
    serde: bool,

    #[command(flatten)]
    engine: Flags,
}

fn main() -> std::process::ExitCode {
    tidemill::exit(run_command(Arguments::parse().command))
}

fn run_command(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Gen { rows, file } => {
            let made = File::create(&file)
                .and_then(|out| Generator::default().write(rows, &mut BufWriter::with_capacity(1 << 20, out)));
            made.with_context(|| format!("cannot write {}", file.display()))
        }
        Command::Q1(arguments) => run("q1", Query::Q1, arguments),
        Command::Q2(arguments) => run("q2", Query::Q2, arguments),
        Command::Q3(arguments) => run("q3", Query::Q3, arguments),
        Command::Q4(arguments) => run("q4", Query::Q4, arguments),
        Command::Hopping(arguments) => run("hopping", Query::Hopping, arguments),
        Command::Read(arguments) => run("read", Query::Read, arguments),
    }
}

fn run(name: &str, query: Query, Run { files, serde, engine }: Run) -> anyhow::Result<()> {
    let config = Config::from_flags(&engine)?;
    let (answer, did) = match serde {
        true => answer(query, event::csv(files), config)?,
        false => answer(query, event::lines(files), config)?,
    };
    let did = did.finished()?;
    println!(
        "RESULT engine=tidemill q={name} workers={} rows_in={} rows_out={} checksum={:016x} cpu_s={:.2} wall_s={:.2} peak_kb={}",
        did.workers,
        did.records,
        answer.rows(),
        answer.checksum(),
        report::cpu_seconds(),
        did.wall_s,
        did.peak_kb,
    );
    Ok(())
}
