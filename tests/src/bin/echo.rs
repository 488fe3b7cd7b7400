//! Writes the numbers that come in by standard input to a file, each with the sum so far, for tests that kill it:
//! `echo OUT [engine flags]`.

use clap::Parser;
use std::path::PathBuf;
use tidemill::{Config, Context, Flags, Process, Reject, Result, Timing};
use tidemill_files::{JsonLines, JsonLinesSink};

#[derive(clap::Parser)]
struct Args {
    out: PathBuf,
    #[command(flatten)]
    engine: Flags,
}

struct Sum;

impl Process for Sum {
    type Key = ();
    type In = i64;
    type Out = (i64, i64);
    type State = i64;

    const ORDER: tidemill::Order = tidemill::Order::Arrival;

    fn process(&self, (): &(), n: i64, sum: &mut i64, ctx: &mut Context<'_, (i64, i64)>) -> Result<(), Reject> {
        *sum += n;
        ctx.emit((n, *sum));
        Ok(())
    }
}

fn main() -> std::process::ExitCode {
    let args = Args::parse();
    let done = Config::from_flags(&args.engine).and_then(|config| {
        tidemill::execute(config, move |job| {
            let numbers = job.source("numbers", JsonLines::<i64>::new("-"), Timing::by(|_| 0))?;
            let sums = numbers.key_by(|_| ()).process("sum", Sum)?;
            sums.sink("out", JsonLinesSink::records(&args.out)?)
        })
    });
    tidemill::exit(done.map(|_| ()).map_err(Box::<dyn std::error::Error + Send + Sync>::from))
}
