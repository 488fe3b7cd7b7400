//! A program under test that does more than run one job: `after` one it waits for standard input, and `in` one an operator
//! does. It says when.

use std::io::{Read, stdin};
use tidemill::{Config, Events, Timing, execute};

fn main() -> std::process::ExitCode {
    let stuck = std::env::args().nth(1).as_deref() == Some("in");
    let config = Config { signals: true, ..Config::default() };
    let outcome = execute(config, move |job| {
        let events = job.source("events", Events::new(vec![1]), Timing::by(|event: &i64| *event))?;
        events.for_each(move |_| {
            if stuck {
                wait();
            }
        });
        Ok(())
    });
    if outcome.is_ok() && !stuck {
        wait();
    }
    std::process::ExitCode::SUCCESS
}

fn wait() {
    println!("waiting");
    // Ends with the test's end of the pipe.
    let _ = stdin().read_to_end(&mut Vec::new());
}
