//! `recommend evaluate`: how good the lists are, and whether they are what a recompute gives.

use anyhow::{Context, bail, ensure};
use recommend::batch::{Recomputed, recompute};
use recommend::data::{fixed_splits, online_retail, prequential};
use recommend::days::{self, compare};
use recommend::graph::{Ranks, Replayed, replay};
use recommend::metrics::metrics;
use recommend::protocol::Protocol;
use recommend::published::{self, Published};
use recommend::transformer::{ALL, is_there};
use serde::Serialize;
use shop_input::Histories;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

/// The flags of `recommend evaluate`. What is given is judged.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    histories: Histories,
    /// Online Retail: its invoice lines as CSV.
    #[arg(long, value_name = "FILE")]
    online_retail: Option<PathBuf>,
    /// Where `recommend train` has put Transformers: they are judged, and blended, where there is one. Where there is a DATA-all
    /// beside DATA, it is the one that is judged. Not where each event is asked before it is learnt.
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Write all figures to this file as JSON.
    #[arg(long, value_name = "FILE.json")]
    report: Option<PathBuf>,
    /// Worker threads of the graph.
    #[arg(long, value_name = "N", default_value_t = 1)]
    workers: usize,
}

/// What `--report` writes.
#[derive(Default, Serialize)]
struct Report {
    rows: Vec<Row>,
    compared: Vec<Compared>,
    /// Online Retail with its cancellations, at the end of each day.
    #[serde(skip_serializing_if = "Option::is_none")]
    days: Option<days::Compared>,
}

/// A model's figures under one protocol.
#[derive(Serialize)]
struct Row {
    data: String,
    protocol: String,
    model: String,
    #[serde(flatten)]
    metrics: BTreeMap<String, f64>,
}

/// The graph beside the recompute.
#[derive(Serialize)]
struct Compared {
    data: String,
    protocol: String,
    rows: usize,
    rows_that_differ: usize,
    ranks: usize,
    ranks_that_differ: usize,
}

/// Judges what is given.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let models = arguments.models.as_deref();
    if let Some(folder) = models.filter(|folder| !folder.is_dir()) {
        bail!("--models {}: no such folder; `recommend train` makes one", folder.display());
    }
    if let Some(path) = &arguments.report {
        // Before hours of work are lost.
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let mut report = Report::default();
    let histories = &arguments.histories;
    for protocol in fixed_splits(histories).chain(prequential(histories)) {
        report.judge(&protocol?, arguments.workers, models)?;
    }
    if let Some(file) = &arguments.online_retail {
        report.judge(&online_retail::baskets(file)?, arguments.workers, models)?;
        let days = compare(&online_retail::days_of_events(file)?, arguments.workers)?;
        println!(
            "online_retail  beside a recompute at the end of each of {} days, with {} cancellations: {} rows, {} differ",
            days.days, days.cancellations, days.rows, days.rows_that_differ
        );
        report.days = Some(days);
    }
    if report.rows.is_empty() {
        bail!("say where a data set is: --serenade, --diginetica, --beauty, --video or --online-retail");
    }
    if let Some(path) = &arguments.report {
        let json = serde_json::to_vec_pretty(&report)?;
        std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

impl Report {
    fn judge(&mut self, protocol: &Protocol, workers: usize, models: Option<&Path>) -> anyhow::Result<()> {
        // Where each event is asked before it is learnt, a network that was trained on them knows the answers.
        let models = models.filter(|_| !protocol.test_then_learn);
        let all = format!("{}{ALL}", protocol.data);
        if let Some(folder) = models.filter(|folder| is_there(folder, &all)) {
            ensure!(
                is_there(folder, protocol.data),
                "{} has {all} and not {}, which is asked what teaches the blend: train that too, without --all",
                folder.display(),
                protocol.data
            );
            println!("{}: {all} is asked what counts, {} what teaches the blend", protocol.data, protocol.data);
        }
        let transformers = models.filter(|folder| is_there(folder, protocol.data));
        if let Some(folder) = models.filter(|_| transformers.is_none()) {
            println!("{}: no Transformer in {}: `recommend train` makes one", protocol.data, folder.display());
        }
        let replayed = replay(protocol, workers, transformers)?;
        let mut rows = Vec::new();
        for (model, ranks) in &replayed.ranks {
            for (name, rank) in kinds(protocol) {
                rows.push(Row {
                    data: protocol.data.to_owned(),
                    protocol: name,
                    model: (*model).to_owned(),
                    metrics: metrics(ranks.iter().map(rank)),
                });
            }
        }
        for row in &rows {
            let figure = |name: &str| row.metrics[name];
            println!(
                "{:14} {:34} {:9} hr@10 {:.4}  ndcg@10 {:.4}  mrr@10 {:.4}  hr@20 {:.4}  mrr@20 {:.4}  of {}",
                row.data,
                row.protocol,
                row.model,
                figure("hr@10"),
                figure("ndcg@10"),
                figure("mrr@10"),
                figure("hr@20"),
                figure("mrr@20"),
                figure("n"),
            );
        }
        for (protocol_name, _) in kinds(protocol) {
            for Published { of, figures, .. } in published::of(protocol.data, &protocol_name) {
                println!("{:14} {protocol_name:34} published {figures}  ({of})", protocol.data);
            }
        }
        self.rows.append(&mut rows);
        let compared = Compared::of(protocol, &replayed, &recompute(protocol));
        println!(
            "{:14} {:34} beside a recompute: {} rows, {} differ; {} ranks, {} differ; the stream took {:.1} s",
            compared.data,
            compared.protocol,
            compared.rows,
            compared.rows_that_differ,
            compared.ranks,
            compared.ranks_that_differ,
            replayed.report.wall_s,
        );
        self.compared.push(compared);
        Ok(())
    }
}

/// Which rank counts, and how the protocol is called then.
type Kind = (String, fn(&Ranks) -> Option<u32>);

fn kinds(protocol: &Protocol) -> Vec<Kind> {
    let name = protocol.name.to_owned();
    match protocol {
        Protocol { name: "leave-one-out-100", .. } => vec![(name, |ranks| ranks.among)],
        Protocol { repeats: false, .. } => vec![(name, |ranks| ranks.without_seen)],
        _ => {
            let excluded = format!("{name}-current-item-excluded");
            vec![(name, |ranks| ranks.all), (excluded, |ranks| ranks.without_current)]
        }
    }
}

impl Compared {
    fn of(protocol: &Protocol, replayed: &Replayed, recomputed: &Recomputed) -> Self {
        let differ = |ours: Option<&Vec<Ranks>>, theirs: &Vec<Ranks>| match ours {
            Some(ours) => ours.iter().zip(theirs).filter(|(a, b)| a != b).count() + ours.len().abs_diff(theirs.len()),
            None => theirs.len(),
        };
        let items = differing(&replayed.items, &recomputed.items);
        let sessions = differing(&replayed.sessions, &recomputed.sessions);
        Compared {
            data: protocol.data.to_owned(),
            protocol: protocol.name.to_owned(),
            rows: recomputed.items.len() + recomputed.sessions.len(),
            rows_that_differ: items + sessions,
            ranks: recomputed.ranks.values().map(Vec::len).sum(),
            ranks_that_differ: recomputed
                .ranks
                .iter()
                .map(|(model, ranks)| differ(replayed.ranks.get(model), ranks))
                .sum(),
        }
    }
}

/// How many rows only one of the two has.
fn differing<R: Ord>(ours: &BTreeMap<R, isize>, theirs: &[R]) -> usize {
    let both = theirs.iter().filter(|row| ours.get(row) == Some(&1)).count();
    ours.len() - both + theirs.len() - both
}
