//! `shop generate`: a simulated shop's stream as a file.

use anyhow::Context;
use shop_simulator::{Flags, Simulation, write_jsonl};
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;

/// The flags of `shop generate`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    shop: Flags,
    /// The file, a JSON object a line; its folder is made.
    #[arg(long, value_name = "FILE.jsonl")]
    out: PathBuf,
}

/// Writes the file.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let file = &arguments.out;
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let to = File::create(file).with_context(|| format!("cannot create {}", file.display()))?;
    write_jsonl(Simulation::new(arguments.shop.settings()), BufWriter::new(to))
        .with_context(|| format!("cannot write {}", file.display()))
}
