//! `recommend train`: a Transformer that says what comes next.

use anyhow::bail;
use recommend::data::fixed_splits;
use recommend::transformer::{Settings, train};
use shop_input::Histories;
use std::path::PathBuf;

/// The flags of `recommend train`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    histories: Histories,
    /// Where the network goes: DIR/DATA.json and DIR/DATA.safetensors, and its items' names in DIR/DATA.items; while it is
    /// trained, the best so far is DIR/DATA-unfinished. With --all, DATA-all in place of DATA.
    #[arg(long, value_name = "DIR", default_value = "data/models/recommend")]
    models: PathBuf,
    #[command(flatten)]
    settings: Settings,
}

/// Trains on what is given.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    tidemill_torch::one_thread_each();
    let mut given = fixed_splits(&arguments.histories).peekable();
    if given.peek().is_none() {
        bail!("say where a data set is: --serenade, --diginetica, --beauty or --video");
    }
    given.try_for_each(|protocol| train(&protocol?, &arguments.settings, &arguments.models))
}
