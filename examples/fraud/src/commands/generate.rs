//! `fraud generate`: the benchmark's transactions as CSV.

use std::{fs::File, path::PathBuf};

use anyhow::Context;
use fraud::{generate, transaction};

/// The flags of `fraud generate`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The CSV file to write; an existing one is replaced.
    #[arg(long, value_name = "FILE.csv")]
    out: PathBuf,
}

/// Simulates the data set and writes it in canonical form.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let transactions = generate::transactions();
    let out = &arguments.out;
    let file = File::create(out).with_context(|| format!("cannot create {}", out.display()))?;
    transaction::write_csv(&transactions, file).with_context(|| format!("cannot write {}", out.display()))?;
    let frauds = transactions.iter().filter(|t| t.fraud).count();
    eprintln!("{}: {} transactions, {frauds} of them fraudulent", out.display(), transactions.len());
    Ok(())
}
