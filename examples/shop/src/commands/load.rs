//! `shop load`: how long it takes from an event to the list it changes.
//!
//! The load is open: each event has the moment at which it is due, whether or not those before it have been answered, and the
//! time is counted from that moment. So a job that falls behind shows how far (no coordinated omission). A list that answers
//! several views of a user is counted once for each of them.

use super::{options, why_it_ended};
use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use rustc_hash::{FxHashMap, FxHashSet};
use shop::graph::answers;
use shop_simulator::{Flags, Simulation};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tidemill::time::days;
use tidemill::{Config, Epoch, Live, Millis, Sink, SinkError, Start, Table, Timing, Update};
use tidemill_recommend::Ranked;
use tidemill_shop::{Kind, Line};

/// The flags of `shop load`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    shop: Flags,
    /// Events a second.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rate: u64,
    /// For so many seconds, after one that is not measured.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// A folder with models, to answer with the Transformer and the fraud model too.
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    #[command(flatten)]
    engine: tidemill::Flags,
}

/// Lists as they can be read, and how long each took to come.
#[derive(Clone)]
struct Probe {
    table: Table<u64, Ranked<u64, u64>>,
    measured: Arc<Mutex<Measured>>,
}

struct Measured {
    /// In microseconds.
    latency: Histogram<u64>,
    /// Of each user, the views that no list has answered yet: when each was due, in microseconds since 1970.
    waiting: FxHashMap<u64, VecDeque<u64>>,
}

impl Sink for Probe {
    type Item = Update<Ranked<u64, u64>>;

    fn open(&mut self, start: &Start) -> Result<(), SinkError> {
        self.table.open(start)
    }

    fn write(&mut self, epoch: Epoch, updates: &mut Vec<Self::Item>) -> Result<(), SinkError> {
        let come: Vec<(u64, Millis)> =
            updates.iter().filter(|update| update.diff > 0).map(|update| (update.row.user, update.row.as_of)).collect();
        self.table.write(epoch, updates)?;
        let now = micros();
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        let Measured { latency, waiting } = &mut *measured;
        for (user, as_of) in come {
            let Some(views) = waiting.get_mut(&user) else { continue };
            while let Some(due) = views.pop_front_if(|due| (*due / 1_000) as Millis <= as_of) {
                latency.saturating_record(now.saturating_sub(due).max(1));
            }
        }
        Ok(())
    }
}

/// For so many seconds before those that are measured the load is there already: when it begins, all that a day has left to
/// do at a new hour is done at once.
const WARM_UP_S: u64 = 1;

/// How often the load generator wakes up at most. It shares its cores with the job, and what is due when it wakes is counted
/// from when it was due.
const TICK: Duration = Duration::from_millis(1);

/// Microseconds since 1970.
fn micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

/// Fills the shop with history, then puts it under load.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut settings = arguments.shop.settings();
    let span = days(i64::from(settings.days));
    settings.start = micros() as Millis / 1_000 - span;
    let mut options = options(arguments.models.as_deref())?;
    options.rules.most_lines = u32::MAX;
    let table = Table::new(|row: &Ranked<u64, u64>| row.user);
    let latency = Histogram::new_with_bounds(1, 600_000_000, 3)?;
    let measured = Arc::new(Mutex::new(Measured { latency, waiting: FxHashMap::default() }));
    let probe = Probe { table: table.clone(), measured: Arc::clone(&measured) };
    let (live, feeds) = Live::<Line>::new(arguments.engine.workers, 1 << 16);
    let mut config = Config::from_flags(&arguments.engine)?;
    config.epoch_ms.get_or_insert(2);
    let rules = options.rules.clone();
    let job = std::thread::spawn(move || {
        tidemill::execute(config, move |job| {
            let rules = rules.clone();
            let timing = Timing::by(move |line: &Line| rules.event_time(line)).disorder(1_000).idle_after(1_000);
            let lines = job.source("lines", live.clone(), timing)?;
            let answers = answers(lines, &options)?;
            answers.kept.lists.sink("lists out", probe.clone())
        })
    });
    // History until now, as fast as it is taken; the same shop goes on for the load.
    let mut lines: Vec<Line> = Simulation::new(settings.clone()).collect();
    // Bots, who have the numbers after the shoppers', are known by their rate: which all have where a day passes in seconds.
    lines.retain(|line| line.user.is_none_or(|user| user <= settings.users));
    let warm_up = arguments.rate * WARM_UP_S;
    let count = (warm_up + arguments.rate * arguments.seconds) as usize;
    ensure!(
        count <= lines.len() / 2,
        "the simulated shop has {} lines, too few for {count} (--rate for a second more than --seconds) and as many before \
         them: raise --users or --views, or lower --rate or --seconds",
        lines.len()
    );
    let past = lines.len() - count;
    let send = |place: usize, line: Line| {
        let partition = line.user.unwrap_or(place as u64) as usize % feeds.len();
        feeds[partition].send(line).context("the job has ended")
    };
    let began = Instant::now();
    for (place, line) in lines[..past].iter().enumerate() {
        if let Err(gone) = send(place, *line) {
            return Err(why_it_ended(job, gone));
        }
    }
    let history_s = began.elapsed().as_secs_f64();
    // Until what was taken in is answered: no list has come for as long as it takes a watermark to hear that all is silent.
    let mut lists = (table.len(), Instant::now());
    while lists.1.elapsed() < Duration::from_secs(3) {
        std::thread::sleep(Duration::from_millis(50)); // this thread has nothing to do but to look again
        if table.len() != lists.0 {
            lists = (table.len(), Instant::now());
        }
    }
    // What is measured is known before: a table that grows under load would make its events late.
    let mut sent_before: FxHashSet<u64> = lines[..past].iter().map(|line| line.id).collect();
    let answered = |line: &Line| matches!((line.kind, line.user, line.item), (Kind::View, Some(_), Some(_)));
    let is_measured: Vec<bool> = (0u64..)
        .zip(&lines[past..])
        .map(|(place, line)| sent_before.insert(line.id) && place >= warm_up && answered(line))
        .collect();
    let (start, began) = (micros(), Instant::now());
    let mut load = (0u64..).zip(&lines[past..]).peekable();
    while let Some((next, _)) = load.peek() {
        let due = |place: u64| Duration::from_micros(place * 1_000_000 / arguments.rate);
        if let Some(early) = due(*next).checked_sub(began.elapsed()) {
            std::thread::sleep(early.max(TICK)); // the next event is not due yet
        }
        let passed = began.elapsed();
        let now_due: Vec<(u64, Line)> = std::iter::from_fn(|| load.next_if(|(place, _)| due(*place) <= passed))
            .map(|(place, line)| {
                (place, Line { time: ((start + due(place).as_micros() as u64) / 1_000) as Millis, ..*line })
            })
            .collect();
        // Before they are sent, and not while: a job that is behind takes nothing until its lists are written.
        let mut noted = measured.lock().unwrap_or_else(PoisonError::into_inner);
        for (place, line) in &now_due {
            let Some(user) = line.user else { continue };
            if line.kind == Kind::Forget {
                noted.waiting.remove(&user);
            } else if is_measured[*place as usize] {
                noted.waiting.entry(user).or_default().push_back(start + due(*place).as_micros() as u64);
            }
        }
        drop(noted);
        for (place, line) in now_due {
            if let Err(gone) = send(past + place as usize, line) {
                return Err(why_it_ended(job, gone));
            }
        }
    }
    let sent_s = began.elapsed().as_secs_f64() - WARM_UP_S as f64;
    let waits = || {
        let measured = measured.lock().unwrap_or_else(PoisonError::into_inner);
        measured.waiting.values().map(VecDeque::len).sum::<usize>()
    };
    // The end of the input is not what is measured; a view that was dropped is never answered.
    let all_sent = Instant::now();
    while waits() > 0 && all_sent.elapsed() < Duration::from_secs(2) {
        std::thread::sleep(Duration::from_millis(5)); // this thread has nothing to do but to look again
    }
    let unanswered = waits();
    measured.lock().unwrap_or_else(PoisonError::into_inner).waiting.clear();
    drop(feeds);
    let report = job.join().map_err(|_| anyhow::anyhow!("the job panicked"))??;
    let measured = measured.lock().unwrap_or_else(PoisonError::into_inner);
    let ms = |quantile: f64| measured.latency.value_at_quantile(quantile) as f64 / 1_000.0;
    println!(
        "{} lines of history in {history_s:.1} s; then {} events/s for {sent_s:.1} s, {} workers, {}",
        past,
        arguments.rate,
        arguments.engine.workers,
        if arguments.models.is_some() { "with models" } else { "exact parts only" },
    );
    println!(
        "view to list: p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms, most {:.1} ms, of {} views; {unanswered} have no list",
        ms(0.5),
        ms(0.99),
        ms(0.999),
        ms(1.0),
        measured.latency.len()
    );
    let users: Vec<u64> = (0..settings.users).collect();
    let (began, mut found) = (Instant::now(), 0usize);
    for user in users.iter().cycle().take(1_000_000) {
        found += table.with(user, |list| list.entries.len()).unwrap_or(0);
    }
    let nanos = began.elapsed().as_nanos() as f64 / 1e6;
    println!(
        "reading a list: {nanos:.0} ns ({} users have one, {found} items read); peak memory {} MiB",
        table.len(),
        report.peak_kb / 1024
    );
    report.finished()?;
    Ok(())
}
