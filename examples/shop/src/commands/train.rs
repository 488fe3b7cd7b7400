//! `shop train`: the models, from what the graph makes of history.

use super::by_reason;
use super::input::{Given, Input};
use anyhow::{Context, ensure};
use recommend::transformer::Settings;
use shop::training::Past;
use shop_input::Files;
use shop_simulator::Flags;
use std::path::PathBuf;
use tidemill::Config;
use tidemill::time::days;

/// The flags of `shop train`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    shop: Flags,
    #[command(flatten)]
    files: Files,
    /// The folder for the models.
    #[arg(long, value_name = "DIR", default_value = "data/models/shop")]
    models: PathBuf,
    /// The Transformer learns from so many users' histories only.
    #[arg(long, value_name = "N")]
    histories: Option<usize>,
    #[command(flatten)]
    transformer: Settings,
    #[command(flatten)]
    engine: tidemill::Flags,
}

/// Trains both.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    ensure!(arguments.transformer.epochs > 0, "0 epochs teach nothing: say --epochs 1 at least");
    let folder = &arguments.models;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    tidemill_torch::one_thread_each();
    let config = || Config::from_flags(&arguments.engine);
    let Given { input, rules, .. } = Given::of(&arguments.files, &arguments.shop)?;
    let mut past = match input {
        Input::File(lines) => Past::of(lines, &rules, days(365), 50, config()?)?,
        Input::Lines(lines) => Past::of(lines, &rules, days(365), 50, config()?)?,
        Input::Simulated(shop) => Past::of(shop, &rules, days(365), 50, config()?)?,
    };
    if past.left_out > 0 {
        eprintln!(
            "left out: {} items in histories, for their numbers are above {}: give them smaller ones, and the Transformer \
             learns them too",
            past.left_out,
            u32::MAX
        );
    }
    println!("lines dropped: {}", by_reason(std::mem::take(&mut past.dropped)));
    past.histories.truncate(arguments.histories.unwrap_or(usize::MAX));
    past.train_taste(&arguments.transformer, folder)?;
    match past.train_frauds(folder, config()?)? {
        0 => println!(
            "frauds: no model, for none of {} payments whose verdict is known was a fraud: with more days of history, or with \
             lines of kind `chargeback`, there is one; no older one stays in {}",
            past.payments.len(),
            folder.display()
        ),
        frauds => println!("frauds: learnt from {} payments, of which {frauds} were frauds", past.payments.len()),
    }
    Ok(())
}
