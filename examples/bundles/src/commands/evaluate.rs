//! `bundles evaluate`: how good lists for next baskets are.

use anyhow::{Context, ensure};
use bundles::metrics::metrics;
use bundles::next_basket::{MODELS, judge};
use serde::Serialize;
use shop_input::online_retail;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The flags of `bundles evaluate`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Online Retail: its invoice lines as CSV, packed (.gz) or not.
    #[arg(long, value_name = "FILE")]
    online_retail: PathBuf,
    /// Write all figures to this file as JSON.
    #[arg(long, value_name = "FILE.json")]
    report: Option<PathBuf>,
    /// Worker threads of the graph.
    #[arg(long, value_name = "N", default_value_t = 1)]
    workers: usize,
}

/// What `--report` writes.
#[derive(Serialize)]
struct Report {
    rows: Vec<Row>,
}

/// A model's figures.
#[derive(Serialize)]
struct Row {
    data: &'static str,
    protocol: &'static str,
    model: &'static str,
    #[serde(flatten)]
    metrics: BTreeMap<String, f64>,
}

/// Judges the models.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let judged = judge(&online_retail(&arguments.online_retail)?, arguments.workers)?;
    ensure!(!judged.baskets.is_empty(), "no user of {} has two orders", arguments.online_retail.display());
    let mut rows = Vec::new();
    for (nth, model) in MODELS.into_iter().enumerate() {
        let lists = judged.lists.iter().map(|lists| lists[nth].as_slice());
        let metrics = metrics(lists.zip(&judged.baskets));
        println!(
            "online_retail  next-basket  {model:7} recall@10 {:.4}  recall@20 {:.4}  ndcg@10 {:.4}  phr@10 {:.4}  of {}",
            metrics["recall@10"], metrics["recall@20"], metrics["ndcg@10"], metrics["phr@10"], metrics["n"]
        );
        rows.push(Row { data: "online_retail", protocol: "next-basket", model, metrics });
    }
    if let Some(path) = &arguments.report {
        let json = serde_json::to_vec_pretty(&Report { rows })?;
        std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
