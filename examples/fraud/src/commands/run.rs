//! `fraud run`: payments in, alerts out.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use fraud::input::Payments;
use fraud::serving::{Explainer, Padding, Scorer};
use fraud::{alert::Alert, cards, graph, input};
use tidemill::time::{days, seconds};
use tidemill::{Config, Report, Update};
use tidemill_files::JsonLinesSink;
use tidemill_inference::{Infer, Pool, PoolConfig};
use tidemill_postgres::Postgres;

/// The flags of `fraud run`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Transactions as `fraud generate` writes them, or with --map a shop's own file; they are generated if this is not
    /// given.
    #[arg(long, value_name = "FILE.csv")]
    input: Option<PathBuf>,
    #[command(flatten)]
    pub serving: Serving,
    #[command(flatten)]
    pub shop: super::shop::Arguments,
    #[command(flatten)]
    pub engine: tidemill::Flags,
}

/// How payments are scored.
#[derive(clap::Args, Clone)]
pub struct Serving {
    /// The trained network, without extension: NAME.json and NAME.safetensors.
    #[arg(long, value_name = "NAME", default_value = "data/models/mlp")]
    pub model: PathBuf,
    /// Where alerts go, as JSON lines ("-" for standard output).
    #[arg(long, value_name = "FILE.jsonl", default_value = "data/alerts.jsonl")]
    pub alerts: PathBuf,
    /// Appends alerts to the table `alerts` of this PostgreSQL database as well, each once; the table is made if it is
    /// missing. A run that continues no other begins it anew.
    #[arg(long, value_name = "postgres://USER@HOST/DATABASE", conflicts_with = "map")]
    pub postgres: Option<String>,
    /// Where every change of a score goes, as JSON lines: what became true (diff 1) or no longer is (-1).
    #[arg(long, value_name = "FILE.jsonl")]
    pub scores: Option<PathBuf>,
    /// Days until a payment's label is known.
    #[arg(long, value_name = "DAYS", default_value_t = 7, value_parser = clap::value_parser!(u32).range(..=3_650))]
    pub label_delay: u32,
    /// Days for which late payments and labels correct the scores given.
    #[arg(long, value_name = "DAYS", default_value_t = 7, value_parser = clap::value_parser!(u32).range(..=3_650))]
    pub keep: u32,
    /// Seconds by which payments may be out of order; what is later than that is left out and counted.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub disorder: u32,
    /// Payments the model is asked about at once, at most.
    #[arg(long, value_name = "ROWS", default_value_t = 256)]
    pub batch: usize,
    /// Fill batches up to a multiple of 32 rows, so that scores do not depend, in the last digit, on the batch: for
    /// audits, and to compare runs with different numbers of workers.
    #[arg(long)]
    pub padded: bool,
    /// Inference threads.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub threads: usize,
}

impl Default for Serving {
    fn default() -> Self {
        Serving {
            model: "data/models/mlp".into(),
            alerts: "data/alerts.jsonl".into(),
            postgres: None,
            scores: None,
            label_delay: 7,
            keep: 7,
            disorder: 0,
            batch: 256,
            padded: false,
            threads: 1,
        }
    }
}

/// Streams the payments through features and model, and writes each day's alerts.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if let (Some(input), Some(mapping)) = (&arguments.input, &arguments.shop.map) {
        let config = Config::from_flags(&arguments.engine)?;
        return super::shop::run(input, mapping, &arguments.shop, &arguments.serving, config);
    }
    let payments = input::payments(arguments.input.as_deref());
    let report = score(&payments, &arguments.serving, Config::from_flags(&arguments.engine)?)?;
    let read = report.operator("payments");
    if read.is_some_and(|payments| payments.records_out == 0 && payments.dead > 0) {
        bail!("none of the lines is what `fraud generate` writes: say by --map which column is what");
    }
    let given = report.operator("alerts").map_or(0, |alerts| alerts.records_out);
    let payments = report.operator("payments").map_or(0, |payments| payments.records_out);
    let latency = report.epoch_latency;
    eprintln!(
        "{payments} payments scored in {:.1} s: {:.0}/s; {given} alerts in {}",
        report.wall_s,
        payments as f64 / report.wall_s,
        arguments.serving.alerts.display(),
    );
    eprintln!(
        "an epoch took {:.1} ms from reading to its last result (median; 99 %: {:.1} ms); peak memory {} MiB",
        latency.p50_ms,
        latency.p99_ms,
        report.peak_kb / 1024,
    );
    report.finished()?;
    Ok(())
}

/// Runs the whole graph over `payments`.
pub fn score(payments: &Payments, serving: &Serving, config: Config) -> anyhow::Result<Report> {
    make_room(&serving.alerts)?;
    serving.scores.as_deref().map_or(Ok(()), make_room)?;
    let (payments, serving) = (payments.clone(), serving.clone());
    let padding = if serving.padded { Padding::Full } else { Padding::No };
    let (scorer, explainer) = (serving.model.clone(), serving.model.clone());
    let pool = PoolConfig { batch: serving.batch, threads: serving.threads, ..PoolConfig::default() };
    let scorers = Pool::new(pool, move || Scorer::load(&scorer, padding));
    let explainers = Pool::new(PoolConfig::default(), move || Explainer::load(&explainer, padding));
    let report = tidemill::execute(config, move |job| {
        let disorder = seconds(serving.disorder.into());
        let labels = payments.labels(job, "labels", days(serving.label_delay.into()), disorder)?;
        let payments = payments.stream(job, "payments", disorder)?;
        // Nothing is taken back here.
        let payments = payments.map(|row| Update { row, diff: 1 });
        let labels = labels.map(|row| Update { row, diff: 1 });
        let features = graph::current_features(payments, labels, serving.label_delay.into(), serving.keep.into())?;
        let scores = features.infer("scores", &scorers, |features| *features)?;
        if let Some(path) = &serving.scores {
            scores.clone().sink("score changes", JsonLinesSink::updates(path)?)?;
        }
        let alerts = cards::alerts(cards::top_cards(scores)?)?;
        let reasons = alerts.infer("reasons", &explainers, |card| card.payment)?;
        let alerts = reasons.map(|(card, movements)| Alert::new(&card, &movements));
        if let Some(url) = &serving.postgres {
            let table = Postgres::events(url, "alerts")?.create_like(&Alert::example())?.timestamp("time");
            alerts.clone().sink("alert table", table.rewind())?;
        }
        alerts.sink("alert file", JsonLinesSink::records(&serving.alerts)?)
    })?;
    Ok(report)
}

/// Makes the folder of a file to be written.
pub fn make_room(file: &Path) -> anyhow::Result<()> {
    match file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))
        }
        None => Ok(()),
    }
}
