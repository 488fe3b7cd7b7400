//! `shop forget`: how long it takes until all that is kept is without some users.

use super::{options, why_it_ended};
use anyhow::Context;
use rustc_hash::FxHashMap;
use shop::before_after::filler;
use shop::forgotten::{Went, report};
use shop::graph::{Options, answers};
use shop_input::{Files, Lines};
use shop_simulator::{Flags, Simulation, rules};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tidemill::time::minutes;
use tidemill::{Config, Epoch, Feed, Live, Millis, Record, Sink, SinkError, Table, Timing};
use tidemill_recommend::Ranked;
use tidemill_shop::{Kind, Line};

/// The flags of `shop forget`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    shop: Flags,
    #[command(flatten)]
    files: Files,
    /// So many users, those with the most lines.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    forget: u64,
    /// A folder with models: to tell frauds, and with the Transformer.
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    #[command(flatten)]
    engine: tidemill::Flags,
}

/// Tells whoever waits who has been forgotten: a report comes when all collections are as they are without the user.
struct Tell(Sender<Went>);

impl Sink for Tell {
    type Item = Record<Went>;

    fn write(&mut self, _: Epoch, reports: &mut Vec<Self::Item>) -> Result<(), SinkError> {
        reports.drain(..).try_for_each(|went| self.0.send(went.value).map_err(|_| SinkError::new("nobody waits")))
    }
}

/// How long history may take at most.
const PATIENCE: Duration = Duration::from_secs(1_800);

/// How far the watermark is behind.
const DISORDER: Millis = minutes(1);

/// Reads history, has the users forgotten at once, and measures.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (mut lines, rules) = match arguments.files.read(&arguments.shop)? {
        Some(Lines { lines, rules, .. }) => (lines, rules),
        None => (Simulation::new(arguments.shop.settings()).collect(), rules()?),
    };
    lines.retain(|line| line.kind != Kind::Forget && rules.check(line).is_ok());
    let mut counts: FxHashMap<u64, usize> = FxHashMap::default();
    lines.iter().filter_map(|line| line.user).for_each(|user| *counts.entry(user).or_default() += 1);
    let mut users: Vec<(u64, usize)> = counts.into_iter().collect();
    users.sort_by_key(|(user, count)| (std::cmp::Reverse(*count), *user));
    users.truncate(arguments.forget as usize);
    let last = lines.iter().map(|line| line.time).max().context("there are no lines")?;

    let options = Options { rules, ..options(arguments.models.as_deref())? };
    let (live, mut feeds) = Live::<Line>::new(1, 1 << 16);
    let feed = feeds.pop().context("there is no feed")?;
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let mut config = Config::from_flags(&arguments.engine)?;
    config.epoch_ms.get_or_insert(2);
    let job = std::thread::spawn(move || {
        tidemill::execute(config, move |job| {
            let rules = options.rules.clone();
            let timing = Timing::by(move |line: &Line| rules.event_time(line)).disorder(DISORDER);
            let answers = answers(job.source("lines", live.clone(), timing)?, &options)?;
            let reports = report(&answers)?;
            answers.kept.lists.sink("lists out", Table::new(|list: &Ranked<u64, u64>| list.user))?;
            reports.sink("told", Tell(tell.lock().unwrap_or_else(PoisonError::into_inner).clone()))
        })
    });
    let measured = measure(&feed, &told, lines, &users, last);
    drop(feed);
    match measured {
        Ok(()) => Ok(job.join().map_err(|_| anyhow::anyhow!("the job panicked"))?.map(|_| ())?),
        Err(gone) => Err(why_it_ended(job, gone)),
    }
}

fn measure(
    feed: &Feed<Line>,
    told: &Receiver<Went>,
    lines: Vec<Line>,
    users: &[(u64, usize)],
    last: Millis,
) -> anyhow::Result<()> {
    let wish = |user, time, id| Line { user: Some(user), kind: Kind::Forget, ..filler(id, time) };
    // Somebody who says nothing but to be forgotten is so when all that was said before has been taken in.
    let pass = |time: Millis, id: u64| -> anyhow::Result<()> {
        let stranger = Line { kind: Kind::Rating, item: Some(0), number: Some(3), ..wish(u64::MAX, time, id) };
        feed.send(stranger)?;
        feed.send(wish(u64::MAX, time, id - 1))?;
        wait(told, 1).map(|_| ())
    };
    lines.into_iter().try_for_each(|line| feed.send(line))?;
    pass(last, u64::MAX / 2)?;

    let began = Instant::now();
    for (nth, (user, _)) in (0..).zip(users) {
        feed.send(wish(*user, last, u64::MAX / 4 + nth))?;
    }
    let went = wait(told, users.len())?;
    let took = began.elapsed();
    let events: u64 = went.iter().map(|went| went.events).sum();
    println!("{} users with {events} events: all that is kept is without them after {:.0} ms", users.len(), ms(took));
    let mut rows: BTreeMap<&str, [u64; 2]> = Default::default();
    for (name, gone) in went.iter().flat_map(|went| &went.rows) {
        rows.entry(name).or_default()[0] += gone;
    }
    // Of what all share a report tells what its epoch changed, and several may have had one.
    let mut shared: Vec<_> = went.iter().map(|went| &went.shared).collect();
    shared.dedup();
    for (name, [gone, come]) in shared.into_iter().flatten() {
        let row = rows.entry(name).or_default();
        (row[0], row[1]) = (row[0] + gone, row[1] + come);
    }
    println!("  {:<18} {:>8} {:>8}", "rows", "gone", "come");
    rows.iter().for_each(|(name, [gone, come])| println!("  {name:<18} {gone:>8} {come:>8}"));

    let began = Instant::now();
    pass(last + minutes(2) + DISORDER, u64::MAX / 2 - 2)?;
    println!("lists of others, made anew within a minute of event time: {:.0} ms of work", ms(began.elapsed()));
    Ok(())
}

fn wait(told: &Receiver<Went>, count: usize) -> anyhow::Result<Vec<Went>> {
    let end = Instant::now() + PATIENCE;
    let one = |_| Ok(told.recv_timeout(end.saturating_duration_since(Instant::now()))?);
    (0..count).map(one).collect()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
