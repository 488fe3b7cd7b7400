//! The command line of the benchmark.

mod table;

use clap::{Args, Command, FromArgMatches, value_parser};
use nexmark::generator::Generator;
use nexmark::queries::{ALL, Query};
use nexmark::run::{Took, run};
use nexmark::source::Nexmark;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::process::ExitCode;
use tidemill::{Config, Flags, Millis, report};

/// What a run can be told.
#[derive(Args)]
struct Run {
    /// How many events to generate.
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = value_parser!(u64).range(1..=1 << 48))]
    events: u64,

    /// Events a second of event time.
    #[arg(long, default_value_t = Generator::default().rate, value_name = "N")]
    rate: NonZeroU64,

    /// Generate other events.
    #[arg(long, default_value_t = Generator::default().seed)]
    seed: u64,

    /// Read the same events from so many partitions; a partition is read by one worker.
    #[arg(long, default_value = "4", value_name = "N")]
    partitions: NonZeroUsize,

    /// Shuffle events within so many milliseconds of event time.
    #[arg(long, default_value_t = 0, value_name = "MS", value_parser = value_parser!(i64).range(0..=1 << 40))]
    shuffle: Millis,

    #[command(flatten)]
    engine: Flags,
}

impl Run {
    fn source(&self) -> Nexmark {
        let generator = Generator { seed: self.seed, rate: self.rate, ..Generator::default() };
        Nexmark { generator, events: self.events, partitions: self.partitions, disorder: self.shuffle }
    }
}

/// Where q10 writes.
#[derive(Args)]
struct Out {
    /// Write the log to this folder, which must be empty or not there yet [default: one that is removed afterwards].
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

fn command() -> Command {
    // What is said about a command comes last, or clap takes it from the flags' documentation.
    let query = |query: &Query| {
        let command = Command::new(query.name);
        let command = if query.name == "q10" { Out::augment_args(command) } else { command };
        Run::augment_args(command).about(query.title)
    };
    let all = Run::augment_args(Command::new("all")).about("Check and time all queries, and print a table");
    Command::new("nexmark")
        .version(env!("CARGO_PKG_VERSION"))
        .about("The Nexmark benchmark on Tidemill: runs a query over generated events, or checks and times all of them")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(ALL.iter().map(query))
        .subcommand(Command::new("check").about("Compare the answers to all queries with those of plain loops"))
        .subcommand(all)
}

fn main() -> ExitCode {
    tidemill::exit(execute())
}

fn execute() -> anyhow::Result<()> {
    let matches = command().get_matches();
    match matches.subcommand() {
        Some(("all", matches)) => {
            let run = Run::from_arg_matches(matches)?;
            table::all(run.source(), &Config::from_flags(&run.engine)?, &mut std::io::stdout().lock())
        }
        Some(("check", _)) => table::check(),
        Some((name, matches)) => {
            let out = if name == "q10" { Out::from_arg_matches(matches)?.out } else { None };
            one(name, Run::from_arg_matches(matches)?, out)
        }
        None => Ok(()),
    }
}

/// Runs one query.
fn one(name: &str, flags: Run, out: Option<PathBuf>) -> anyhow::Result<()> {
    let Some(query) = ALL.iter().find(|query| query.name == name) else { return Ok(()) };
    let took = run(query, flags.source(), out, Config::from_flags(&flags.engine)?)?;
    let Took { events, rows, cpu_s, wall_s } = took;
    print!("RESULT engine=tidemill q={name} workers={} rows_in={events} rows_out={rows} ", flags.engine.workers);
    print!("cpu_s={cpu_s:.2} wall_s={wall_s:.2} events_per_s={:.0} ", took.events_per_s());
    println!("events_per_cpu_s={:.0} peak_kb={}", took.events_per_cpu_s(), report::peak_kb());
    Ok(())
}
