//! `shop train`: the models, from what the graph makes of history.

use anyhow::{Context, ensure};
use recommend::transformer::Settings;
use shop::training::Past;
use shop_simulator::{Flags, SimulatedShop, rules};
use std::path::PathBuf;
use tidemill::Config;
use tidemill::time::days;

/// The flags of `shop train`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    shop: Flags,
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
    let lines = SimulatedShop::new(arguments.shop.settings());
    let mut past = Past::of(lines, &rules()?, days(365), 50, Config::from_flags(&arguments.engine)?)?;
    past.histories.truncate(arguments.histories.unwrap_or(usize::MAX));
    let (payments, frauds) = past.train_frauds(folder, Config::from_flags(&arguments.engine)?)?;
    println!("frauds: learnt from {payments} payments, of which {frauds} were frauds");
    past.train_taste(&arguments.transformer, folder)
}
