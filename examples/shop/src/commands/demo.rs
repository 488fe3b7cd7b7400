//! `shop demo`: from nothing to four answers.

use super::input::Input;
use super::options;
use super::run::{Screen, answer, print};
use anyhow::{Context, ensure};
use fraud::metrics::{Metrics, Scored};
use fraud::transaction::Transaction;
use recommend::transformer::Settings as Transformer;
use rustc_hash::FxHashSet;
use shop::payments::{Of, Paid, of};
use shop::training::Past;
use shop_input::Names;
use shop_simulator::{Flags, SimulatedShop, Simulation, rules};
use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::Instant;
use tidemill::time::days;
use tidemill::{Config, Millis};
use tidemill_shop::Clean;

/// The flags of `shop demo`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    shop: Flags,
    /// The folder for the models.
    #[arg(long, value_name = "DIR", default_value = "data/models/shop")]
    models: PathBuf,
    /// Passes of the Transformer over the histories.
    #[arg(long, value_name = "N", default_value_t = 4)]
    epochs: usize,
    /// Worker threads.
    #[arg(long, value_name = "N", default_value_t = 2)]
    workers: usize,
}

/// Simulates, trains on the first weeks, and answers all of it.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let began = Instant::now();
    tidemill_torch::one_thread_each();
    let config = || Config { progress: true, signals: true, ..Config::workers(arguments.workers) };
    let settings = arguments.shop.settings();
    let folder = &arguments.models;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;

    eprintln!(
        "1/3  reading the first two thirds of {} simulated days through the graph, for what models learn from …",
        settings.days
    );
    let history = settings.days * 2 / 3;
    let until = settings.start + days(i64::from(history));
    let first = SimulatedShop::new(settings.clone()).first_days(history);
    let past = Past::of(first, &rules()?, days(365), 50, config())?;
    eprintln!(
        "2/3  training with libtorch: a fraud model on {} payments, a Transformer on {} histories …",
        past.payments.len(),
        past.histories.len()
    );
    let frauds = past.train_frauds(folder, config())?;
    ensure!(
        frauds > 0,
        "of {} payments whose verdict is known none was a fraud, so there is nothing to learn: give more days of history, more \
         users, or more views of each (--days, --users, --views)",
        past.payments.len()
    );
    past.train_taste(
        &Transformer {
            epochs: arguments.epochs,
            learning_rate: 0.003,
            width: 32,
            dropout: 0.2,
            ..Transformer::default()
        },
        folder,
    )?;
    let trained_s = began.elapsed().as_secs_f64();

    eprintln!("3/3  one stream, four answers …");
    let mut options = options(Some(folder))?;
    // The shop opens now: before that nobody was shown anything.
    options.lists.from = until;
    let screen = Screen::default();
    let report =
        answer(&Input::Simulated(SimulatedShop::new(settings.clone())), &options, &screen, config())?.finished()?;

    println!("\nTidemill, {:.0} s after the start, {} workers\n", began.elapsed().as_secs_f64(), arguments.workers);
    print(&screen, &Names::default());
    let frauds_of = frauds_of(Simulation::new(settings), until)?;
    let scored = &screen.scored.lock().unwrap_or_else(PoisonError::into_inner).payments;
    let later = scored.iter().filter(|(payment, _)| payment.time_ms() >= until);
    let judged: Vec<Scored> = later
        .map(|(payment, (score, _))| Scored {
            day: payment.day(),
            customer: payment.customer,
            score: score.to_f64(),
            fraud: frauds_of.contains(payment),
        })
        .collect();
    let metrics = Metrics::of(&judged);
    println!(
        "    of {} payments after the training {} were frauds: average precision {:.3}, AUC {:.3}",
        judged.len(),
        judged.iter().filter(|payment| payment.fraud).count(),
        metrics.ap,
        metrics.auc
    );
    let asked = report.operator("suggest by taste").map_or(0, |operator| operator.records_in);
    println!("\nwhat it took");
    println!(
        "    training       {trained_s:.0} s, on {} payments ({frauds} frauds) and {} histories",
        past.payments.len(),
        past.histories.len()
    );
    println!(
        "    {} lines in {:.1} s: {:.0}/s, with {asked} inferences of the Transformer; peak memory {} MiB",
        report.records,
        report.wall_s,
        report.records as f64 / report.wall_s,
        report.peak_kb / 1024
    );
    println!(
        "    an epoch took  {:.1} ms (median), {:.1} ms (99 %)",
        report.epoch_latency.p50_ms, report.epoch_latency.p99_ms
    );
    println!("\nwhat to try next");
    println!(
        "    cargo run --release -p shop -- show      what a stock-out, a cancellation and a forgotten user touch, row by row"
    );
    println!("    cargo run --release -p shop -- load      how long an event takes to its list, under load");
    println!(
        "    cargo run --release -p fraud -- demo     the fraud benchmark; -p bundles, -p behaviour, -p recommend: one answer each"
    );
    println!("    examples/shop/src/graph.rs               the graph, to change");
    Ok(())
}

/// The payments after some time that are frauds.
fn frauds_of(mut simulation: Simulation, from: Millis) -> tidemill::Result<FxHashSet<Transaction>> {
    let (rules, mut frauds) = (rules()?, FxHashSet::default());
    while let Some(line) = simulation.next() {
        let is_fraud = line.order.is_some_and(|order| simulation.truth().fraud(order).is_some());
        if let Ok(Clean::Shopper(event)) = rules.check(&line)
            && is_fraud
            && line.time >= from
            && let Ok(Paid { of: Of::Made(_, payment), .. }) = of(line.time, &event)
        {
            frauds.insert(payment);
        }
    }
    Ok(frauds)
}
