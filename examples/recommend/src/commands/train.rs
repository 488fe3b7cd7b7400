//! `recommend train`: a Transformer that says what comes next.

use anyhow::bail;
use recommend::data::{amazon, diginetica, serenade};
use recommend::protocol::Protocol;
use recommend::transformer::{Settings, train};
use std::path::PathBuf;

/// The flags of `recommend train`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Serenade's clicks: see `recommend evaluate`.
    #[arg(long, value_name = "DIR")]
    serenade: Option<PathBuf>,
    /// Diginetica's sessions.
    #[arg(long, value_name = "DIR")]
    diginetica: Option<PathBuf>,
    /// Amazon Beauty.
    #[arg(long, value_name = "FILE")]
    beauty: Option<PathBuf>,
    /// Amazon Video.
    #[arg(long, value_name = "FILE")]
    video: Option<PathBuf>,
    /// Where the network goes: DIR/DATA.json and DIR/DATA.safetensors, and its items' names in DIR/DATA.items.
    #[arg(long, value_name = "DIR", default_value = "data/models/recommend")]
    models: PathBuf,
    #[command(flatten)]
    settings: Settings,
}

/// Trains on what is given.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    tidemill_torch::one_thread_each();
    let mut protocols: Vec<Protocol> = Vec::new();
    if let Some(folder) = &arguments.serenade {
        protocols.push(serenade::sessions(folder)?);
    }
    if let Some(folder) = &arguments.diginetica {
        protocols.push(diginetica::sessions(folder)?);
    }
    if let Some(file) = &arguments.beauty {
        protocols.push(amazon::beauty(file)?);
    }
    if let Some(file) = &arguments.video {
        protocols.push(amazon::video(file)?);
    }
    if protocols.is_empty() {
        bail!("say where a data set is: --serenade, --diginetica, --beauty or --video");
    }
    for protocol in &protocols {
        train(protocol, &arguments.settings, &arguments.models)?;
    }
    Ok(())
}
