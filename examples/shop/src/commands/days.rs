//! `shop days`: a real shop's year with its cancellations, through the whole graph.

use super::options;
use anyhow::{Context, ensure};
use shop::ends::{Compared, compare};
use shop::graph::Options;
use shop_input::{Lines, online_retail};
use std::path::PathBuf;
use tidemill::Config;
use tidemill::time::days;
use tidemill_shop::{Kind, Line};

/// The flags of `shop days`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Online Retail: its invoice lines as CSV, packed (.gz) or not.
    #[arg(long, value_name = "FILE.csv")]
    online_retail: PathBuf,
    /// Compare at the end of every so many days, and at the end of all.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    every: u32,
    #[command(flatten)]
    engine: tidemill::Flags,
}

/// Of so many comparisons one is printed, and each in which something differs.
const PRINTED: usize = 20;

/// Compares all that is kept with a recompute of what was not cancelled.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Lines { lines, rules, .. } = online_retail(&arguments.online_retail)?;
    let options = Options { rules, ..options(None)? };
    let first = lines.first().context("no lines")?.time;
    let cancelled = |lines: &[Line]| lines.iter().filter(|line| line.kind == Kind::Cancellation).count();
    let (mut compared, mut all_rows, mut all_differ) = (0, 0, 0);
    println!("{:>5} {:>8} {:>13} {:>11} {:>9} {:>7}", "day", "lines", "cancellations", "collections", "rows", "differ");
    let config = || Config::from_flags(&arguments.engine);
    compare(&lines, &options, arguments.every, config, |Compared { end, lines: until, rows, differ, collections }| {
        (compared, all_rows, all_differ) = (compared + 1, all_rows + rows, all_differ + differ);
        if compared % PRINTED == 0 || until == lines.len() || differ > 0 {
            let day = end.div_euclid(days(1)) - first.div_euclid(days(1)) + 1;
            println!("{day:>5} {until:>8} {:>13} {collections:>11} {rows:>9} {differ:>7}", cancelled(&lines[..until]));
        }
    })?;
    println!("{compared} ends of days, {all_rows} rows compared, {all_differ} differ");
    ensure!(compared > 0, "no day has ended");
    ensure!(all_differ == 0, "what is kept is not what a recompute gives");
    Ok(())
}
