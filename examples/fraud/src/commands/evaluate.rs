//! `fraud evaluate`: the benchmark's table, ours beside the published.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use fraud::history::{self, History};
use fraud::metrics::{Metrics, Scored, Summary};
use fraud::models::{self, ENSEMBLE, Ensemble, Outcome, Table};
use fraud::protocol::{Fold, TEST, VALIDATION};
use fraud::published::{PUBLISHED, Published, XGBOOST_FOLDS};
use fraud::transaction::Transaction;
use fraud::{baseline, features::Features};
use serde::Serialize;
use tidemill::Config;

use super::train::chosen;

/// The delay of labels in the handbook, in days.
const HANDBOOK_DELAY: u64 = 7;

/// The flags of `fraud evaluate`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Transactions as `fraud generate` writes them; they are generated if this is not given.
    #[arg(long, value_name = "FILE.csv")]
    input: Option<PathBuf>,
    /// Write the table to this file as JSON.
    #[arg(long, value_name = "FILE.json")]
    report: Option<PathBuf>,
    /// Which models (all, and the ensemble, if not given).
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    models: Vec<String>,
    /// The weeks to judge on: the four of the published table, or the four before them on which settings were chosen.
    #[arg(long, value_enum, default_value_t = Folds::Test)]
    folds: Folds,
    /// Days until a payment's label is known. Several, as in 7,3,1,0, compare what fresher labels would be worth.
    #[arg(long, value_name = "DAYS,…", value_delimiter = ',', default_value = "7", value_parser = clap::value_parser!(u64).range(..=3_650))]
    label_delay: Vec<u64>,
    /// Networks trained at the same time, each on one thread.
    #[arg(long, value_name = "N", default_value_t = 2)]
    threads: usize,
    /// Worker threads of the graph that computes the features.
    #[arg(long, value_name = "N", default_value_t = 1)]
    workers: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Folds {
    Test,
    Validation,
}

/// What `--report` writes.
#[derive(Default, Serialize)]
struct Report {
    models: Vec<Row>,
    baselines: Vec<Row>,
    published: Vec<Published>,
    /// Average precision beside XGBoost's, fold by fold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    paired: Vec<Paired>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    label_delays: Vec<Delay>,
}

/// A model's metrics: means, deviations, and each fold's.
#[derive(Clone, Serialize)]
struct Row {
    name: String,
    #[serde(flatten)]
    summary: Summary,
    folds: Vec<Metrics>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inputs: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    training_s: Option<f64>,
}

/// By how much a model's average precision is above that of XGBoost on the same folds.
#[derive(Serialize)]
struct Paired {
    name: String,
    less_xgboost: Vec<f64>,
    mean: f64,
}

impl Paired {
    /// `None` where the folds are others.
    fn of(row: &Row) -> Option<Self> {
        let paired = (row.folds.len() == XGBOOST_FOLDS.len()).then(|| row.folds.iter().zip(XGBOOST_FOLDS))?;
        let less_xgboost: Vec<f64> = paired.map(|(fold, xgboost)| fold.ap - xgboost).collect();
        let mean = less_xgboost.iter().sum::<f64>() / less_xgboost.len() as f64;
        Some(Paired { name: row.name.clone(), less_xgboost, mean })
    }
}

#[derive(Serialize)]
struct Delay {
    label_delay_days: u64,
    models: Vec<Row>,
}

impl Row {
    fn of(name: &str, folds: Vec<Metrics>) -> Self {
        Row { name: name.to_owned(), summary: Summary::of(&folds), folds, inputs: None, training_s: None }
    }

    fn of_outcome(outcome: Outcome) -> Self {
        Row {
            inputs: Some(outcome.inputs),
            training_s: Some(outcome.training.as_secs_f64()),
            ..Row::of(outcome.name, outcome.folds)
        }
    }
}

/// Evaluates all models and prints the table.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    chosen(&arguments.models)?;
    let payments = history::transactions(arguments.input.as_deref())?;
    let folds = match arguments.folds {
        Folds::Test => TEST,
        Folds::Validation => VALIDATION,
    };
    let mut report = Report::default();
    let delays = &arguments.label_delay;
    // What the table is of: the handbook's delay, or the first where that is not asked for.
    let shown = delays.iter().copied().find(|delay| *delay == HANDBOOK_DELAY).or(delays.first().copied());
    let shown = shown.unwrap_or(HANDBOOK_DELAY);
    for &delay in &arguments.label_delay {
        let baselines = (delay == shown).then_some(&mut report.baselines);
        let rows = evaluate(arguments, &payments, delay, &folds, baselines)?;
        if delay == shown {
            report.models.clone_from(&rows);
        }
        if arguments.label_delay.len() > 1 || delay != HANDBOOK_DELAY {
            report.label_delays.push(Delay { label_delay_days: delay, models: rows });
        }
    }
    if arguments.folds == Folds::Test {
        report.published = PUBLISHED.to_vec();
    }
    if arguments.folds == Folds::Test && shown == HANDBOOK_DELAY {
        report.paired = report.models.iter().filter_map(Paired::of).collect();
    }
    print(&report);
    if let Some(path) = &arguments.report {
        let json = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, json + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// The models' rows, with labels known after `delay` days.
fn evaluate(
    arguments: &Arguments,
    payments: &[Transaction],
    delay: u64,
    folds: &[Fold],
    baselines: Option<&mut Vec<Row>>,
) -> anyhow::Result<Vec<Row>> {
    let start = Instant::now();
    let history = History::of(payments.to_vec(), delay, Config::workers(arguments.workers))?;
    let table = Table::new(&history.payments, &history.features)?;
    eprintln!(
        "features of {} payments, labels after {delay} days: {:.1} s",
        payments.len(),
        start.elapsed().as_secs_f64()
    );
    if let Some(baselines) = baselines {
        *baselines = judge_baselines(&history, folds);
    }
    let specs = chosen(&arguments.models)?;
    let none = Ensemble { name: "", members: &[] };
    let ensemble = if arguments.models.is_empty() { &ENSEMBLE } else { &none };
    let note = |name: &str, done: usize, all: usize| {
        eprintln!("{done:>4} of {all} networks, {:.0} s: {name}", start.elapsed().as_secs_f64());
    };
    let outcomes = models::evaluate(&table, &specs, ensemble, folds, arguments.threads, note)?;
    Ok(outcomes.into_iter().filter(|outcome| !outcome.name.is_empty()).map(Row::of_outcome).collect())
}

/// Three rules written by hand, and the best that any score could do.
fn judge_baselines(history: &History, folds: &[Fold]) -> Vec<Row> {
    let judge = |score: &dyn Fn(&Transaction, &Features) -> f64, fold: &Fold| {
        let scored = fold.test(&history.payments).into_iter().map(|place| {
            let (payment, features) = (&history.payments[place], &history.features[place]);
            Scored {
                day: payment.day(),
                customer: payment.customer,
                score: score(payment, features),
                fraud: payment.fraud,
            }
        });
        Metrics::of(&scored.collect::<Vec<_>>())
    };
    let row = |name: &str, score: &dyn Fn(&Transaction, &Features) -> f64| {
        Row::of(name, folds.iter().map(|fold| judge(score, fold)).collect())
    };
    let rules = row("three hand rules", &|_, features| baseline::hand_rules(features));
    let ceiling = row("ceiling: the labels themselves", &|payment, _| baseline::ceiling(payment));
    vec![rules, ceiling]
}

fn print(report: &Report) {
    println!("\n{:32} {:>14} {:>14} {:>14}   AP by fold", "", "AUC ROC", "AP", "CP@100");
    let line = |name: &str, s: &Summary| {
        let cell = |mean: f64, std: f64| format!("{mean:.3} ± {std:.3}");
        format!(
            "{name:32} {:>14} {:>14} {:>14}",
            cell(s.auc, s.auc_std),
            cell(s.ap, s.ap_std),
            cell(s.cp100, s.cp100_std)
        )
    };
    let print_rows = |rows: &[Row]| {
        for row in rows {
            let folds: Vec<String> = row.folds.iter().map(|fold| format!("{:.3}", fold.ap)).collect();
            println!("{}   {}", line(&row.name, &row.summary), folds.join(" "));
        }
    };
    print_rows(&report.models);
    print_rows(&report.baselines);
    for row in &report.published {
        let cell = |mean: f64, std: Option<f64>| {
            std.map_or(format!("{mean:.3}        "), |std| format!("{mean:.3} ± {std:.2} "))
        };
        println!(
            "{:32} {:>14} {:>14} {:>14}   published",
            row.name,
            cell(row.auc, row.auc_std),
            cell(row.ap, row.ap_std),
            cell(row.cp100, row.cp100_std)
        );
    }
    if !report.paired.is_empty() {
        println!("\nAP less that of XGBoost (our own run of it, on the handbook's 15 inputs), fold by fold:");
        for Paired { name, less_xgboost, mean } in &report.paired {
            let better = less_xgboost.iter().filter(|difference| **difference > 0.0).count();
            let folds: Vec<String> = less_xgboost.iter().map(|difference| format!("{difference:+.3}")).collect();
            println!("{name:32} {mean:+.3}   {}   better on {better} of {}", folds.join(" "), folds.len());
        }
    }
    if !report.label_delays.is_empty() {
        println!("\nwhat fresher labels are worth:");
        for delay in &report.label_delays {
            for row in &delay.models {
                println!(
                    "{}",
                    line(&format!("{}, labels after {} days", row.name, delay.label_delay_days), &row.summary)
                );
            }
        }
    }
}
