//! `shop days`: a real shop's year with its cancellations, through the whole graph.

use super::options;
use anyhow::{Context, ensure};
use bundles::input::{Lines, online_retail};
use shop::before_after::uncancelled;
use shop::graph::Options;
use shop::record::{Recorder, compare};
use shop::replay::replay;
use std::path::PathBuf;
use tidemill::time::days;
use tidemill::{Config, Millis};
use tidemill_shop::{Kind, Line, Rules};

/// The flags of `shop days`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Online Retail: its invoice lines as CSV, packed (.gz) or not.
    #[arg(long, value_name = "FILE.csv")]
    online_retail: PathBuf,
    /// Compare at the end of every so many days, and at the end of all.
    #[arg(long, value_name = "N", default_value_t = 56, value_parser = clap::value_parser!(u32).range(1..))]
    every: u32,
    #[command(flatten)]
    engine: tidemill::Flags,
}

/// Compares all that is kept with a recompute of what was not cancelled.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Lines { lines, rules, .. } = online_retail(&arguments.online_retail)?;
    // Somebody once bought 80,995 of one, and cancelled it.
    let rules = Rules { most_pieces: 100_000, ..rules };
    let mut options = Options { rules, ..options(None)? };
    // Lists are of the moment in which their user acted, what was cancelled later included: they are not made here.
    options.lists.from = Millis::MAX;
    let (first, last) = (lines.first().context("no lines")?.time, lines.last().context("no lines")?.time);
    let step = days(arguments.every.into());
    let midnight = first.div_euclid(days(1)) * days(1);
    let mut end = midnight;
    let (mut all_rows, mut all_differ) = (0, 0);
    println!("{:>5} {:>8} {:>13} {:>9} {:>7}", "days", "lines", "cancellations", "rows", "differ");
    while end <= last {
        end += step;
        let until = &lines[..lines.partition_point(|line| line.time < end)];
        let run =
            |lines: Vec<Line>| replay(lines, &options, Config::from_flags(&arguments.engine)?, Recorder::default());
        let kept = run(until.to_vec())?;
        let recomputed = run(uncancelled(until, &options.rules))?;
        let (rows, differ) = compare(&kept.recorded, &recomputed.recorded);
        let cancellations = until.iter().filter(|line| line.kind == Kind::Cancellation).count();
        let day = (end - midnight) / days(1);
        println!("{day:>5} {:>8} {cancellations:>13} {rows:>9} {differ:>7}", until.len());
        (all_rows, all_differ) = (all_rows + rows, all_differ + differ);
    }
    println!("{all_rows} rows compared, {all_differ} differ");
    ensure!(all_differ == 0, "what is kept is not what a recompute gives");
    Ok(())
}
