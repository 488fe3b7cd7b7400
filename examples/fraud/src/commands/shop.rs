//! `fraud run --input FILE --map …`: a shop's own file in, the most unusual purchases of each month out.

use std::path::{Path, PathBuf};

use anyhow::Context;
use fraud::shop::calendar::{self, Month, Unit};
use fraud::shop::clean::{Counted, Counts, Fact, Kind, Rules};
use fraud::shop::mapping::Mapping;
use fraud::shop::{self, Alert, Shop, anomaly};
use serde::Serialize;
use tidemill::time::days;
use tidemill::{Config, Memory, Millis, Record, Report};
use tidemill_files::JsonLinesSink;
use tidemill_inference::PoolConfig;

use super::run::{Serving, make_room};

/// How a shop's own file is read and scored.
#[derive(clap::Args, Clone)]
#[group(skip)]
#[command(next_help_heading = "A shop's own file (with --map)")]
pub struct Arguments {
    /// Which column of --input is what, as customer=A,item=B,time=C and cents=D, amount=D or price=D,quantity=E, and
    /// perhaps invoice=F. The file is CSV with a header, plain, gzip or zstd.
    #[arg(long, value_name = "FIELD=COLUMN,…", requires = "input")]
    pub map: Option<Mapping>,
    /// What times count since 1970 UTC where they are numbers; dates like 2010-12-01 08:26 do as well.
    #[arg(long, value_enum, default_value_t)]
    time_unit: Unit,
    /// What separates the fields.
    #[arg(long, value_name = "CHAR", default_value_t = ',')]
    delimiter: char,
    /// How the numbers of invoices begin that cancel others.
    #[arg(long, value_name = "PREFIX", default_value = "C")]
    cancels: String,
    /// Items that are no goods, such as postage, to be left out.
    #[arg(long, value_name = "ITEM,…", value_delimiter = ',')]
    no_goods: Vec<String>,
    /// Days of the file, from its first line on, that the autoencoder is trained on; 0 to load it as it was saved.
    #[arg(long, value_name = "DAYS", default_value_t = 90)]
    train_days: u32,
    /// The autoencoder, without extension: NAME.json and NAME.safetensors.
    #[arg(long, value_name = "NAME", default_value = "data/models/shop")]
    autoencoder: PathBuf,
    /// Alerts a month, each about another customer.
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: usize,
}

/// What `--report` holds.
#[derive(Serialize)]
struct ShopReport<'a> {
    #[serde(flatten)]
    engine: &'a Report,
    lines: Lines,
}

/// The lines of the file.
#[derive(Clone, Serialize)]
struct Lines {
    read: u64,
    /// Not CSV, or with a number that is none: dead letters.
    bad: u64,
    without_customer: u64,
    /// Further out of order than scores are kept.
    late: u64,
    kinds: Vec<Counted>,
}

/// Trains on the first days unless told otherwise, scores the whole file, and prints what is unusual.
pub fn run(input: &Path, mapping: &Mapping, shop: &Arguments, serving: &Serving, config: Config) -> anyhow::Result<()> {
    let delimiter = u8::try_from(shop.delimiter).context("--delimiter: choose one ASCII character")?;
    let rules = Rules {
        mapping: mapping.clone(),
        unit: shop.time_unit,
        cancels: shop.cancels.clone(),
        no_goods: shop.no_goods.iter().map(|item| item.to_uppercase()).collect(),
    };
    let file = Shop { file: input.to_owned(), delimiter, rules, keep_days: serving.keep.into() };
    let trained_until = train(&file, shop, &config)?;
    let (report, lines, alerts, cancelled) = score(&file, shop, serving, config)?;
    let scored = lines.kinds.iter().find(|counted| counted.kind == Kind::Purchase);
    let scored = scored.map_or(0, |counted| counted.lines - counted.repeated);
    if serving.alerts.as_os_str() != "-" {
        print_alerts(&alerts, trained_until, &cancelled);
        println!("in hindsight, {} of all {scored} purchases were cancelled at most", cancelled.len());
    }
    print_lines(&lines);
    eprintln!(
        "{} lines read, {scored} scored in {:.1} s: {:.0} lines/s; {} alerts in {}",
        lines.read,
        report.wall_s,
        lines.read as f64 / report.wall_s,
        alerts.len(),
        serving.alerts.display()
    );
    Ok(())
}

/// Trains and saves the autoencoder, unless it is there already. Returns where its training ended, in ms.
fn train(file: &Shop, shop: &Arguments, config: &Config) -> anyhow::Result<Millis> {
    if shop.train_days == 0 {
        return Ok(Millis::MIN);
    }
    let until = file.begins()? + days(shop.train_days.into());
    let config = Config { report: None, ..config.clone() };
    let history = file.history(until, config).context("the first days cannot be read")?;
    let (model, errors) = anomaly::train(&history, &anomaly::OPTIONS)
        .with_context(|| format!("there is nothing to learn from in the first {} days", shop.train_days))?;
    model.save(&shop.autoencoder)?;
    eprintln!(
        "autoencoder trained on {} purchases before {}: mean error {:.3} in the first epoch, {:.3} in the last; saved as {}",
        history.len(),
        calendar::date(until),
        errors.first().copied().unwrap_or_default(),
        errors.last().copied().unwrap_or_default(),
        shop.autoencoder.display()
    );
    Ok(until)
}

type Outcome = (Report, Lines, Vec<Alert>, Vec<Fact>);

/// Runs the whole graph.
fn score(file: &Shop, shop: &Arguments, serving: &Serving, mut config: Config) -> anyhow::Result<Outcome> {
    make_room(&serving.alerts)?;
    let path = config.report.take();
    let pool = PoolConfig { batch: serving.batch, threads: serving.threads, ..PoolConfig::default() };
    let (scorers, explainers) = shop::pools(&shop.autoencoder, pool);
    let (counts, alerts, cancelled) = (Counts::default(), Memory::new(), Memory::new());
    let report = {
        let (file, counts, serving, top) = (file.clone(), counts.clone(), serving.clone(), shop.top);
        let (alerts, cancelled) = (alerts.clone(), cancelled.clone());
        let failed = |error: tidemill::SinkError| tidemill::Error::Sink { sink: "alert file".into(), reason: error.0 };
        tidemill::execute(config, move |job| {
            let seen = file.features(job, &counts, file.keep_days, Millis::MAX)?;
            let top = shop::alerts(seen.rows, &scorers, &explainers, top)?;
            top.clone().sink("kept alerts", alerts.clone())?;
            top.sink("alert file", JsonLinesSink::records(&serving.alerts).map_err(failed)?)?;
            seen.facts.filter(|fact| fact.cancelled).sink("cancellations", cancelled.clone())
        })?
        .finished()?
    };
    let kinds = counts.all();
    let bad = report.operator("lines").map_or(0, |lines| lines.dead);
    let lines = Lines {
        read: kinds.iter().map(|counted| counted.lines).sum::<u64>() + bad,
        bad,
        late: report.late(),
        without_customer: kinds.iter().map(|counted| counted.without_customer).sum(),
        kinds,
    };
    if let Some(path) = path {
        let json = serde_json::to_string_pretty(&ShopReport { engine: &report, lines: lines.clone() })?;
        std::fs::write(&path, json + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok((report, lines, alerts.values(), Memory::<Record<Fact>>::values(&cancelled)))
}

fn print_alerts(alerts: &[Alert], trained_until: Millis, cancelled: &[Fact]) {
    let mut month = "";
    let mut taken_back = 0;
    for alert in alerts {
        if alert.month != month {
            month = &alert.month;
            let known = if Month::of(alert.time).end() <= trained_until { " (trained on)" } else { "" };
            println!("\n{month}{known}");
        }
        let later = cancelled.iter().find(|fact| takes_back(fact, alert));
        taken_back += usize::from(later.is_some());
        println!(
            "  {:>2}. score {:.1}: customer {}, {} of item {} for {:.2} on {}{}{}",
            alert.rank,
            alert.score,
            alert.customer,
            alert.quantity,
            alert.item,
            f64::from(alert.cents) / 100.0,
            alert.date,
            if alert.invoice.is_empty() { String::new() } else { format!(", invoice {}", alert.invoice) },
            later.map_or(String::new(), |fact| format!(" [cancelled in full on {}]", calendar::date(fact.time))),
        );
        for why in &alert.reasons {
            println!("      {:>3.0} %  {:?}: {}", 100.0 * why.share, why.code, why.detail);
        }
    }
    println!(
        "\nin hindsight, {taken_back} of the {} alerts were cancelled in full, by customer, item and quantity;",
        alerts.len()
    );
}

/// Whether a cancellation takes back the whole line of an alert, as far as the file tells.
fn takes_back(fact: &Fact, alert: &Alert) -> bool {
    let opposite = fact.quantity.negated() == alert.quantity;
    fact.time >= alert.time && opposite && fact.item == alert.item && fact.customer.as_ref() == Some(&alert.customer)
}

fn print_lines(lines: &Lines) {
    println!("\n{:>9} lines, {} of them without a customer", lines.read, lines.without_customer);
    for counted in lines.kinds.iter().filter(|counted| counted.lines > 0).rev() {
        let repeated = match counted.repeated {
            0 => String::new(),
            repeated => format!(" ({repeated} of them there already, field by field: left out)"),
        };
        println!("{:>9} {}{repeated}", counted.lines, counted.kind.describe());
    }
    if lines.late > 0 {
        println!(
            "{:>9} of these came too late to be scored: --keep DAYS lets the file be more out of order",
            lines.late
        );
    }
    if lines.bad > 0 {
        println!("{:>9} lines that cannot be read: dead letters, the first of them in the log", lines.bad);
    }
}
