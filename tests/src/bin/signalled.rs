//! A program under test that is sent signals, and says when it waits for standard input. `SIGNALLED` tells where: `after` a
//! job, `in` an operator of one, or `run`, in an operator of a program that is a graph and nothing else.

use std::io::{Read, stdin};
use std::process::ExitCode;
use tidemill::{Config, Events, Job, Result, Timing, execute};

fn main() -> ExitCode {
    let how = std::env::var("SIGNALLED").unwrap_or_default();
    if how == "run" {
        return tidemill::run(|job| graph(job, true));
    }
    let (config, stuck) = (Config { signals: true, ..Config::default() }, how == "in");
    if execute(config, move |job| graph(job, stuck)).is_ok() && !stuck {
        wait();
    }
    ExitCode::SUCCESS
}

/// Many events, at the first of which it may wait.
fn graph(job: &Job<'_>, stuck: bool) -> Result<()> {
    let events = Events::new((0..1_000_000).collect());
    let events = job.source("events", events, Timing::by(|event: &i64| *event))?;
    events.for_each(move |event| {
        if stuck && event.value == 0 {
            wait();
        }
    });
    Ok(())
}

fn wait() {
    println!("waiting");
    // Ends with the test's end of the pipe.
    let _ = stdin().read_to_end(&mut Vec::new());
}
