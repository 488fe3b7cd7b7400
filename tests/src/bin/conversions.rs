//! A program under test for several processes: clicks and orders, made up, joined and counted in windows. Everything is
//! exchanged by key, written by one sink each, and the same on any number of processes.

use clap::Parser;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::process::ExitCode;
use tidemill::time::{minutes, seconds};
use tidemill::{Batch, Config, Flags, Maintain, Order, ReadStatus, Reader, Record, Source, SourceError, Timing};
use tidemill_files::JsonLinesSink;
use tidemill_join::Joins;
use tidemill_window::{Count, IntoWindows, Sum, Windows};

#[derive(Parser)]
struct Args {
    /// Where the results go.
    #[arg(long)]
    out: PathBuf,
    /// Events of each partition; without it, they never end.
    #[arg(long)]
    events: Option<u64>,
    /// Panic at the event of this number, in partition 1.
    #[arg(long)]
    panic_at: Option<u64>,
    /// Build a graph that is this one's own.
    #[arg(long)]
    odd: bool,
    #[command(flatten)]
    engine: Flags,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Event {
    time: i64,
    user: u32,
    cents: i64,
}

/// Partitions of events that look like chance.
#[derive(Clone)]
struct Made {
    seed: u64,
    events: Option<u64>,
}

struct MadeReader {
    seed: u64,
    next: u64,
    events: Option<u64>,
}

impl Source for Made {
    type Item = Event;
    type Reader = MadeReader;

    fn partitions(&self) -> Result<usize, SourceError> {
        Ok(5)
    }

    fn open(&self, partition: usize, offset: u64) -> Result<MadeReader, SourceError> {
        Ok(MadeReader { seed: self.seed + partition as u64, next: offset, events: self.events })
    }

    fn bounded(&self) -> bool {
        self.events.is_some()
    }
}

impl Reader for MadeReader {
    type Item = Event;

    fn read(&mut self, limit: usize, batch: &mut Batch<Event>) -> Result<ReadStatus, SourceError> {
        let live = self.events.is_none();
        for _ in 0..if live { limit.min(10) } else { limit } {
            if self.events == Some(self.next) {
                return Ok(ReadStatus::Done);
            }
            let chance = (self.seed << 32 | self.next).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
            let (user, cents) = ((chance % 997) as u32, (chance >> 40) as i64 % 10_000);
            batch.push(Event { time: self.next as i64 * 100 + (chance >> 20) as i64 % 50, user, cents });
            self.next += 1;
        }
        Ok(if live { ReadStatus::Waiting } else { ReadStatus::Ready })
    }

    fn offset(&self) -> u64 {
        self.next
    }
}

/// What each user has spent.
struct Spent;

impl Maintain for Spent {
    type Key = u32;
    type In = Event;
    type State = i64;
    type Row = (u32, i64);
    const ORDER: Order = Order::Any;

    fn update(&self, _: &u32, spent: &mut i64, events: &mut Vec<Record<Event>>) {
        *spent += events.iter().map(|event| event.value.cents).sum::<i64>();
    }

    fn rows(&self, user: &u32, spent: &i64, rows: &mut Vec<(u32, i64)>) {
        rows.push((*user, *spent));
    }
}

fn main() -> ExitCode {
    let Args { out, events, panic_at, odd, engine } = Args::parse();
    let outcome = Config::from_flags(&engine).and_then(|config| {
        tidemill::execute(config, move |job| {
            let timing = || Timing::by(|event: &Event| event.time).disorder(100);
            let clicks = job.source("clicks", Made { seed: 1, events }, timing())?;
            let orders = job.source("orders", Made { seed: 100, events }, timing())?.filter(move |order| {
                assert!(panic_at.is_none_or(|at| order.time / 100 < at as i64), "an order that nobody expected");
                order.user % 3 == 0
            });
            let clicks = if odd { clicks.filter(|_| true) } else { clicks };
            let (windows, _late) = clicks
                .clone()
                .key_by(|click| click.user)
                .window(Windows::tumbling(minutes(1)), (Count::new(), Sum::of(|click: &Event| click.cents)))
                .finals("windows")?;
            windows
                .map(|window| (window.start, window.key, window.value))
                .sink("windows out", JsonLinesSink::records(out.with_extension("windows"))?)?;
            let by_user = orders.clone().key_by(|order| order.user);
            let (led, _late) = clicks
                .key_by(|click| click.user)
                .join(by_user)
                .within(0, seconds(30))
                .inner("led to", |click, order| (click.user, click.time, order.time, order.cents))?;
            led.sink("led out", JsonLinesSink::records(out.with_extension("led"))?)?;
            let spent = orders.key_by(|order| order.user).maintain("spent", Spent)?;
            spent.sink("spent out", JsonLinesSink::updates(out.with_extension("spent"))?)
        })
    });
    tidemill::exit(outcome.map(drop).map_err(Box::<dyn std::error::Error + Send + Sync>::from))
}
