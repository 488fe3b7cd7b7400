//! `fraud train`: trains models on one fold and saves them.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, bail};
use fraud::history::{self, History};
use fraud::models::{self, Spec, Table, specs};
use fraud::protocol::{Fold, TEST};
use tidemill::Config;
use tidemill_torch::one_thread_each;

/// The flags of `fraud train`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Transactions as `fraud generate` writes them; they are generated if this is not given.
    #[arg(long, value_name = "FILE.csv")]
    input: Option<PathBuf>,
    /// The folder for NAME.json and NAME.safetensors of each model.
    #[arg(long, value_name = "DIR", default_value = "data/models")]
    out: PathBuf,
    /// Which models (all, if not given): the names in the table of `fraud evaluate`.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    models: Vec<String>,
    /// The first day of the training week, counted from 2018-04-01 (136 is 2018-08-15, the latest test fold).
    #[arg(long, value_name = "DAY", default_value_t = TEST[0].train_start_day)]
    day: u32,
    /// Days until a payment's label is known, as `fraud run --label-delay` will have it.
    #[arg(long, value_name = "DAYS", default_value_t = 7, value_parser = clap::value_parser!(u64).range(..=3_650))]
    label_delay: u64,
    /// The seed of weights, order and dropout.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    engine: tidemill::Flags,
}

/// Streams the history through the graph, trains on one week of it, and saves the models.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    one_thread_each();
    let specs = chosen(&arguments.models)?;
    let payments = history::transactions(arguments.input.as_deref())?;
    let history = History::of(payments, arguments.label_delay, Config::from_flags(&arguments.engine)?)?;
    let table = Table::new(&history.payments, &history.features)?;
    let out = &arguments.out;
    std::fs::create_dir_all(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
    for spec in specs {
        let start = Instant::now();
        let network = models::train(&table, &spec, Fold::new(arguments.day).train_days(), arguments.seed)?;
        let path = out.join(spec.name);
        network.save(&path)?;
        eprintln!(
            "{}: {} weights, trained in {:.0} s, saved as {}.safetensors",
            spec.name,
            network.weights(),
            start.elapsed().as_secs_f64(),
            path.display()
        );
    }
    Ok(())
}

/// The models of these names; all, for none.
pub fn chosen(names: &[String]) -> anyhow::Result<Vec<Spec>> {
    if names.is_empty() {
        return Ok(specs());
    }
    let of = |name: &String| {
        let Some(spec) = specs().into_iter().find(|spec| spec.name == name) else {
            let known: Vec<&str> = specs().iter().map(|spec| spec.name).collect();
            bail!("there is no model `{name}`: choose among {}", known.join(", "));
        };
        Ok(spec)
    };
    names.iter().map(of).collect()
}
