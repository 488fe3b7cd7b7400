//! Joins a shop's clicks with its orders, for tests that kill it: `orders FOLDER OUT [engine flags]` reads the CSV files in
//! `FOLDER/clicks` and `FOLDER/orders`, and writes to `OUT` what each click led to, each user's sessions as they are
//! corrected, and how many users have how many of them.

use clap::Parser;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use tidemill::{Config, Flags, Job, Result, Stream, Timing};
use tidemill_files::{Csv, JsonLinesSink};
use tidemill_join::Joins;
use tidemill_window::{Count, IntoWindows, Windows};

#[derive(clap::Parser)]
struct Args {
    folder: PathBuf,
    out: PathBuf,
    #[command(flatten)]
    engine: Flags,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Event {
    at: i64,
    user: u32,
    item: u32,
}

fn main() -> std::process::ExitCode {
    let args = Args::parse();
    let config = Config::from_flags(&args.engine);
    let done = config.and_then(|config| tidemill::execute(config, move |job| graph(job, &args)));
    tidemill::exit(done.map(|_| ()).map_err(Box::<dyn std::error::Error + Send + Sync>::from))
}

fn graph(job: &Job<'_>, args: &Args) -> Result<()> {
    let (clicks, orders) = (events(job, "clicks", args)?, events(job, "orders", args)?);
    let (led, _) = clicks
        .clone()
        .key_by(|click| click.user)
        .join(orders.key_by(|order| order.user))
        .within(0, 200)
        .left("led to", |click, order| (click.at, click.user, click.item, order.map(|order| (order.at, order.item))))?;
    led.sink("led to: file", JsonLinesSink::records(args.out.join("led.jsonl"))?)?;
    let by_user = clicks.key_by(|click| click.user).window(Windows::session(50), Count::new());
    let (sessions, _) = by_user.allowed_lateness(500).rows("sessions", 10_000)?;
    sessions.clone().sink("sessions: file", JsonLinesSink::updates(args.out.join("sessions.jsonl"))?)?;
    let by_user = sessions.then(|rows| rows.map(|session| session.key).count().map(|(_, sessions)| sessions).count());
    by_user.sink("users: file", JsonLinesSink::updates(args.out.join("users.jsonl"))?)
}

fn events<'s>(job: &Job<'s>, name: &str, args: &Args) -> Result<Stream<'s, Event>> {
    job.source(name, Csv::<Event>::new(args.folder.join(name)), Timing::by(|event: &Event| event.at).disorder(20))
}
