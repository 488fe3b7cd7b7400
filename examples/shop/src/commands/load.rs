//! `shop load`: how long it takes from an event to the list it changes.
//!
//! The load is open: each event has the moment at which it is due, whether or not those before it have been answered, and the
//! time is counted from that moment. So a job that falls behind shows how far (no coordinated omission).

use super::options;
use anyhow::{Context, ensure};
use behaviour::catalogue::Catalogue;
use hdrhistogram::Histogram;
use rustc_hash::FxHashMap;
use shop::graph::answers;
use shop_simulator::{Flags, Simulation};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tidemill::time::days;
use tidemill::{Config, Epoch, Live, Millis, Sink, SinkError, Start, Table, Timing, Update};
use tidemill_recommend::Ranked;
use tidemill_shop::Line;

/// The flags of `shop load`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    shop: Flags,
    /// Events a second.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    rate: u64,
    /// For so many seconds.
    #[arg(long, value_name = "N", default_value_t = 20)]
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
    /// Events before this are history.
    from: Millis,
    /// The event that each user's list was last measured for.
    seen: FxHashMap<u64, Millis>,
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
        let Measured { latency, from, seen } = &mut *measured;
        for (user, as_of) in come {
            // A list that is made again for the same event, because of a stock-out, was there before.
            if as_of >= *from && seen.insert(user, as_of).is_none_or(|before| before < as_of) {
                latency.saturating_record(now.saturating_sub(as_of as u64 * 1_000).max(1));
            }
        }
        Ok(())
    }
}

/// Microseconds since 1970.
fn micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

/// Fills the shop with history, then puts it under load.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut settings = arguments.shop.settings();
    let span = days(i64::from(settings.days));
    settings.start = micros() as Millis / 1_000 - span;
    let mut options = options(Catalogue::simulated(&settings), arguments.models.as_deref())?;
    options.rules.most_lines = u32::MAX;
    let table = Table::new(|row: &Ranked<u64, u64>| row.user);
    let latency = Histogram::new_with_bounds(1, 600_000_000, 3)?;
    let measured = Arc::new(Mutex::new(Measured { latency, from: Millis::MAX, seen: FxHashMap::default() }));
    let probe = Probe { table: table.clone(), measured: Arc::clone(&measured) };
    let (live, feeds) = Live::<Line>::new(arguments.engine.workers, 1 << 16);
    let mut config = Config::from_flags(&arguments.engine)?;
    config.epoch_ms.get_or_insert(5);
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
    let all = Simulation::new(settings.clone());
    let lines: Vec<Line> = all.collect();
    let count = (arguments.rate * arguments.seconds) as usize;
    ensure!(
        count <= lines.len() / 2,
        "the simulated shop has {} lines, too few for {count} and as many before them: raise --users or --views",
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
            let ended = job.join().map_err(|_| anyhow::anyhow!("the job panicked"))?;
            return Err(ended.err().map_or(gone, anyhow::Error::from));
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
    let (start, began) = (micros(), Instant::now());
    measured.lock().unwrap_or_else(PoisonError::into_inner).from = start as Millis / 1_000;
    for (place, line) in lines[past..].iter().enumerate() {
        let due = Duration::from_micros(place as u64 * 1_000_000 / arguments.rate);
        if let Some(early) = due.checked_sub(began.elapsed()) {
            std::thread::sleep(early); // the next event is not due yet
        }
        let time = ((start + due.as_micros() as u64) / 1_000) as Millis;
        send(place, Line { time, ..*line })?;
    }
    let sent_s = began.elapsed().as_secs_f64();
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
        "event to list: p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms, most {:.1} ms, of {} lists",
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
