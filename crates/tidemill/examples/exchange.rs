//! What the links between processes carry: events that all go to their key's worker, and hardly anything else.
//!
//! `tidemill launch --processes 2 -- exchange --report FILE.json`, with and without `--insecure` before the `--`, says what
//! encryption costs.

use clap::Parser;
use serde::{Deserialize, Serialize};
use std::process::ExitCode;
use tidemill::timely::dataflow::operators::Exchange;
use tidemill::timely::dataflow::operators::vec::Filter;
use tidemill::{
    Batch, Config, Flags, Maintain, Order, ReadStatus, Reader, Record, Source, SourceError, Stream, Timing,
};

#[derive(Parser)]
struct Args {
    /// Events of each of two partitions.
    #[arg(long, default_value_t = 10_000_000)]
    events: u64,
    /// Exchange only, and forget: the most that links have to do.
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    engine: Flags,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Event {
    time: i64,
    user: u64,
    item: u64,
    cents: i64,
}

#[derive(Clone)]
struct Numbers(u64);

struct Counter {
    next: u64,
    end: u64,
}

impl Source for Numbers {
    type Item = Event;
    type Reader = Counter;

    fn partitions(&self) -> Result<usize, SourceError> {
        Ok(2)
    }

    fn open(&self, _: usize, offset: u64) -> Result<Counter, SourceError> {
        Ok(Counter { next: offset, end: self.0 })
    }
}

impl Reader for Counter {
    type Item = Event;

    fn read(&mut self, limit: usize, batch: &mut Batch<Event>) -> Result<ReadStatus, SourceError> {
        for _ in 0..limit {
            if self.next == self.end {
                return Ok(ReadStatus::Done);
            }
            let item = self.next.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            batch.push(Event { time: self.next as i64, user: item % 1_009, item, cents: (item % 100) as i64 });
            self.next += 1;
        }
        Ok(ReadStatus::Ready)
    }

    fn offset(&self) -> u64 {
        self.next
    }
}

/// What each user has spent.
struct Spent;

impl Maintain for Spent {
    type Key = u64;
    type In = Event;
    type State = i64;
    type Row = (u64, i64);
    const ORDER: Order = Order::Any;

    fn update(&self, _: &u64, spent: &mut i64, events: &mut Vec<Record<Event>>) {
        *spent += events.iter().map(|event| event.value.cents).sum::<i64>();
    }

    fn rows(&self, user: &u64, spent: &i64, rows: &mut Vec<(u64, i64)>) {
        rows.push((*user, *spent));
    }
}

fn main() -> ExitCode {
    let Args { events, raw, engine } = Args::parse();
    let outcome = Config::from_flags(&engine).and_then(|config| {
        tidemill::execute(Config { progress: false, ..config }, move |job| {
            let events = job.source("events", Numbers(events), Timing::by(|event: &Event| event.time))?;
            if raw {
                let moved = events.inner().exchange(|event| event.value.user).filter(|event| event.value.cents < 0);
                Stream::from_inner(moved, &events).for_each(|_| ());
            } else {
                events.key_by(|event| event.user).maintain("spent", Spent)?;
            }
            Ok(())
        })
    });
    tidemill::exit(outcome.map(drop).map_err(Box::<dyn std::error::Error + Send + Sync>::from))
}
