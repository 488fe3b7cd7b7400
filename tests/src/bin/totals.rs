//! A program under test: running totals per key of the JSON lines on standard input, on standard output. It panics at
//! 13, as a programmer's mistake would.

use serde::{Deserialize, Serialize};
use std::process::ExitCode;
use tidemill::{Context, Order, Process, Reject, Timing};
use tidemill_files::{JsonLines, JsonLinesSink};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    time: i64,
    key: String,
    value: i64,
}

struct Totals;

impl Process for Totals {
    type Key = String;
    type In = Entry;
    type Out = (String, i64);
    type State = i64;
    const ORDER: Order = Order::Arrival;

    fn process(
        &self,
        key: &String,
        entry: Entry,
        total: &mut i64,
        ctx: &mut Context<'_, (String, i64)>,
    ) -> Result<(), Reject> {
        assert!(entry.value != 13, "thirteen is not a number");
        *total = total.checked_add(entry.value).ok_or_else(|| Reject::new("the total does not fit"))?;
        ctx.emit((key.clone(), *total));
        Ok(())
    }
}

fn main() -> ExitCode {
    let entries = JsonLines::<Entry>::new("-");
    tidemill::run(move |job| {
        job.dead_letters_to(JsonLinesSink::records("-")?);
        let entries = job.source("entries", entries.clone(), Timing::by(|entry: &Entry| entry.time))?;
        let totals = entries.key_by(|entry| entry.key.clone()).process("totals", Totals)?;
        totals.sink("out", JsonLinesSink::records("-")?)
    })
}
