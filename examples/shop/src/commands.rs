//! One file for each command, and what they share.

pub mod days;
pub mod demo;
pub mod forget;
pub mod generate;
pub mod input;
pub mod load;
pub mod run;
pub mod show;
pub mod train;

use anyhow::ensure;
use behaviour::print::show_category;
use fraud::serving::{Padding, Scorer};
use recommend::taste::Taste;
use shop::graph::Options;
use shop::to_read::{List, Suggestion};
use shop::training::{FRAUD, TASTE};
use shop_input::Names;
use shop_simulator::rules;
use std::path::Path;
use std::thread::JoinHandle;
use tidemill::Report;
use tidemill::time::{days, hours};
use tidemill_inference::{Pool, PoolConfig};
use tidemill_recommend::Ranked;
use tidemill_shop::Reason;

/// The graph's options, with the models that are in `models`, of which there must be one at least.
pub fn options(models: Option<&Path>) -> anyhow::Result<Options> {
    let taste = models.filter(|folder| has(folder, TASTE)).map(|folder| Taste::pool(folder, TASTE, 20));
    let scorer = scorer(models, Padding::No);
    if let Some(folder) = models {
        ensure!(
            taste.is_some() || scorer.is_some(),
            "{} has neither a Transformer ({TASTE}.json) nor a fraud model ({FRAUD}.json): train both with \
             `shop train --models DIR`",
            folder.display()
        );
    }
    Ok(Options {
        keep: days(365),
        half_life: hours(24),
        refresh: None,
        rules: rules()?,
        lists: recommend::live::Settings::default(),
        taste,
        scorer,
    })
}

fn has(folder: &Path, name: &str) -> bool {
    folder.join(format!("{name}.json")).exists()
}

/// What tells frauds, if it is among the models.
pub fn scorer(models: Option<&Path>, padding: Padding) -> Option<Pool<Scorer>> {
    let path = models.filter(|folder| has(folder, FRAUD))?.join(FRAUD);
    Some(Pool::new(PoolConfig::default(), move || Scorer::load(&path, padding)))
}

/// How many lines were dropped, for reading.
pub fn by_reason(mut dropped: Vec<(Reason, u64)>) -> String {
    dropped.sort();
    let each: Vec<String> = dropped.iter().map(|(reason, count)| format!("{count} {}", reason.describe())).collect();
    if each.is_empty() { "none".to_owned() } else { each.join(", ") }
}

/// A list for reading: each item with its reason.
pub fn print_list(list: &Ranked<u64, u64>, category: impl Fn(u64) -> Option<u64>, names: &Names) {
    for (place, Suggestion { item, reason, because }) in (1..).zip(List::from(list.clone()).items) {
        let because = because.map_or_else(String::new, |item| format!(" item {}", names.show(item)));
        println!(
            "    {place:>2}. item {:<6} (category {:>3})   {reason}{because}",
            names.show(item),
            show_category(category(item))
        );
    }
}

/// A job takes nothing more: because of an error, or of a signal.
pub fn why_it_ended(job: JoinHandle<tidemill::Result<Report>>, gone: anyhow::Error) -> anyhow::Error {
    match job.join() {
        Err(_) => anyhow::anyhow!("the job panicked"),
        Ok(ended) => ended.and_then(Report::finished).err().map_or(gone, anyhow::Error::from),
    }
}
