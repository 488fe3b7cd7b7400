//! `fraud demo`: the whole path in a few minutes, explained as it goes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use fraud::alert::Alert;
use fraud::history::History;
use fraud::metrics::{Metrics, Scored};
use fraud::models::{self, Table};
use fraud::protocol::TEST;
use fraud::serving::Reason;
use fraud::transaction::Transaction;
use fraud::{generate, input};
use tidemill::{Config, Report};
use tidemill_torch::one_thread_each;

use super::run::{Serving, score};
use super::train::chosen;

/// The flags of `fraud demo`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The folder for the model and the alerts.
    #[arg(long, value_name = "DIR", default_value = "data")]
    dir: PathBuf,
    /// Worker threads.
    #[arg(long, value_name = "N", default_value_t = 2)]
    workers: usize,
}

/// The model that the demo trains and serves.
const MODEL: &str = "mlp";

/// Generates, trains one fold, scores everything, and shows what came of it.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let began = Instant::now();
    one_thread_each();
    let config = || Config { progress: true, signals: true, ..Config::workers(arguments.workers) };

    eprintln!("1/4  generating the Fraud Detection Handbook's payments, bit for bit …");
    let payments = generate::transactions();
    let frauds = payments.iter().filter(|payment| payment.fraud).count();

    eprintln!("2/4  streaming them through the graph for their features …");
    let start = Instant::now();
    let history = History::of(payments.clone(), 7, config())?;
    let features_s = start.elapsed().as_secs_f64();

    let fold = TEST[0];
    eprintln!("3/4  training `{MODEL}` on one week, days {:?}, with libtorch …", fold.train_days());
    let start = Instant::now();
    let table = Table::new(&history.payments, &history.features)?;
    let spec = chosen(&[MODEL.to_owned()])?.remove(0);
    let network = models::train(&table, &spec, fold.train_days(), 0)?;
    let models_dir = arguments.dir.join("models");
    std::fs::create_dir_all(&models_dir).with_context(|| format!("cannot make the folder {}", models_dir.display()))?;
    let model = models_dir.join(MODEL);
    network.save(&model)?;
    let training_s = start.elapsed().as_secs_f64();
    let test = fold.test(&history.payments);
    let logits = models::logits(&table, &network, &test)?;
    let metrics = Metrics::of(&scored(&history.payments, &test, &logits));

    eprintln!("4/4  scoring all payments as they stream in, alerts at each day's end …");
    let alerts_file = arguments.dir.join("alerts.jsonl");
    let serving = Serving { model, alerts: alerts_file.clone(), ..Serving::default() };
    let report = score(&input::Payments::of(payments), &serving, config())?.finished()?;
    let alerts = read(&alerts_file)?;

    println!("\nTidemill, {:.0} s after the start, {} workers\n", began.elapsed().as_secs_f64(), arguments.workers);
    println!(
        "  what ran       payments → customer and terminal windows → libtorch {MODEL} → scores → top 100 cards a day → alerts"
    );
    println!("  payments       {} in 183 days, {frauds} of them frauds", history.payments.len());
    println!(
        "  features       {:.1} s for final ones: {:.0} payments/s",
        features_s,
        history.payments.len() as f64 / features_s
    );
    println!("  training       {training_s:.0} s on one week of payments ({} weights)", network.weights());
    print_speed(&report);
    println!(
        "  quality        average precision {:.3} on the week of days {:?} (mean of four such weeks, published: XGBoost .687, MLP .675)",
        metrics.ap,
        fold.test_days()
    );
    println!("                 AUC {:.3}, card precision@100 {:.3}", metrics.auc, metrics.cp100);
    print_alerts(&alerts, &history.payments, fold.test_days());
    println!("\nwhat to try next");
    println!(
        "  cargo run --release -p fraud -- evaluate                all models on all four weeks, beside the published table"
    );
    println!(
        "  cargo run --release -p fraud -- evaluate --models {MODEL} --label-delay 7,3,1,0    what fresher labels are worth"
    );
    println!("  cargo run --release -p fraud -- run --workers 2         score again; alerts in data/alerts.jsonl");
    println!("  cargo run --release -p fraud -- run --help              your own file, column by column");
    println!("  examples/fraud/src/graph.rs                             the graph, to change");
    Ok(())
}

fn scored(payments: &[Transaction], places: &[usize], scores: &[f32]) -> Vec<Scored> {
    let scored = places.iter().zip(scores).map(|(&place, &score)| {
        let payment = &payments[place];
        Scored { day: payment.day(), customer: payment.customer, score: score.into(), fraud: payment.fraud }
    });
    scored.collect()
}

fn print_speed(report: &Report) {
    let payments = report.operator("payments").map_or(0, |source| source.records_out);
    let latency = report.epoch_latency;
    println!(
        "  scoring        {:.1} s: {:.0} payments/s; an epoch of up to 4,096 took {:.1} ms (median), {:.1} ms (99 %)",
        report.wall_s,
        payments as f64 / report.wall_s,
        latency.p50_ms,
        latency.p99_ms
    );
}

fn read(file: &std::path::Path) -> anyhow::Result<Vec<Alert>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Three alerts of the test week, with different main reasons where there are such.
fn print_alerts(alerts: &[Alert], payments: &[Transaction], days: std::ops::Range<u32>) {
    let fraud = |alert: &Alert| {
        let is = |p: &&Transaction| {
            p.customer == alert.customer && p.terminal == alert.terminal && p.time_ms() == alert.time
        };
        payments.iter().find(is).is_some_and(|payment| payment.fraud)
    };
    let week: Vec<&Alert> = alerts.iter().filter(|alert| days.contains(&alert.day)).collect();
    let mut first: BTreeMap<Option<Reason>, &Alert> = BTreeMap::new();
    for alert in &week {
        first.entry(alert.reasons.first().map(|reason| reason.code)).or_insert(alert);
    }
    let mut shown: Vec<&Alert> = first.into_values().collect();
    shown.sort_by(|a, b| b.score.total_cmp(&a.score));
    shown.truncate(3);
    println!("\n{} alerts written, {} in the test week; three of those:", alerts.len(), week.len());
    for alert in shown {
        let truth = if fraud(alert) { "a fraud, as its label said a week later" } else { "no fraud" };
        println!(
            "\n  day {}, rank {}: card {} paid {:.2} at terminal {}; score {:.3} ({truth})",
            alert.day,
            alert.rank,
            alert.customer,
            f64::from(alert.cents) / 100.0,
            alert.terminal,
            alert.score
        );
        for reason in &alert.reasons {
            println!("    {:+.3}  {:?}: {}", reason.by, reason.code, reason.detail);
        }
    }
}
