//! `tidemill checkpoints`: what a job has saved, and whether it is whole.

use crate::table::table;
use clap::Subcommand;
use humantime::format_rfc3339_seconds;
use indicatif::{HumanBytes, HumanCount};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};
use tidemill_checkpoint::{Error, Listed, Manifest, PartKind, Result, Store};

/// Exit codes, of `sysexits.h`.
const CORRUPT: u8 = 65;
const NOT_FOUND: u8 = 66;
const STORAGE: u8 = 74;
const LOCKED: u8 = 75;
const USAGE: u8 = 2;

/// The flags of `tidemill checkpoints`.
#[derive(clap::Args)]
#[command(after_help = "\
DIR is the folder a job was given for its checkpoints, or, where this build has the features, s3://BUCKET/PATH, \
gs://BUCKET/PATH or az://CONTAINER/PATH.

Exit codes: 0 all is well, 2 wrong usage, 65 damaged data, 66 no such folder or checkpoint, 74 the storage failed, \
75 a job is running.")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// One line for each checkpoint, newest first.
    List {
        /// Where the checkpoints are.
        dir: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// What is in a checkpoint: operators, files, positions of sources and sinks.
    Inspect {
        /// Where the checkpoints are.
        dir: String,
        /// Which checkpoint, instead of the newest whole one.
        #[arg(long)]
        id: Option<u64>,
        /// Count the keys of each operator, which takes reading all of the state.
        #[arg(long)]
        keys: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Read checkpoints in full, and name what is damaged or missing.
    Verify {
        /// Where the checkpoints are.
        dir: String,
        /// Which checkpoint, instead of all.
        #[arg(long)]
        id: Option<u64>,
    },
    /// Drop old checkpoints, but no savepoints, and files that no checkpoint needs. No job may be running.
    Prune {
        /// Where the checkpoints are.
        dir: String,
        /// Whole checkpoints to keep, the newest.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        keep: u32,
    },
    /// Drop one checkpoint or savepoint, and files that no other needs. No job may be running.
    Drop {
        /// Where the checkpoints are.
        dir: String,
        /// Which one.
        #[arg(long)]
        id: u64,
    },
}

/// Does as told, and says what became of it.
pub fn main(args: Args) -> ExitCode {
    let done = match args.action {
        Action::List { dir, json } => list(&dir, json),
        Action::Inspect { dir, id, keys, json } => inspect(&dir, id, keys, json),
        Action::Verify { dir, id } => verify(&dir, id),
        Action::Prune { dir, keep } => prune(&dir, keep as usize),
        Action::Drop { dir, id } => drop_one(&dir, id),
    };
    ExitCode::from(done.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        match error {
            Error::Address { .. } => USAGE,
            Error::Corrupt { .. } | Error::Newer { .. } => CORRUPT,
            Error::NotFound(_) => NOT_FOUND,
            Error::Locked(_) => LOCKED,
            _ => STORAGE,
        }
    }))
}

fn list(dir: &str, json: bool) -> Result<u8> {
    let listed = found(&Store::open(dir)?, dir)?;
    if json {
        let listed: Vec<_> = listed.iter().map(in_json).collect();
        println!("{}", Value::from(listed));
    } else {
        let rows: Vec<_> = listed.iter().map(in_row).collect();
        print!("{}", table(["id", "epoch", "created", "bases", "deltas", "bytes", "entries", "workers", ""], &rows));
    }
    Ok(if listed.iter().any(|found| found.manifest.is_err()) { CORRUPT } else { 0 })
}

fn in_row(Listed { id, manifest }: &Listed) -> [String; 9] {
    let id = id.to_string();
    let Ok(m) = manifest else {
        let why = manifest.as_ref().err().map_or(String::new(), Error::to_string);
        return std::array::from_fn(|column| match column {
            0 => id.clone(),
            8 => why.clone(),
            _ => "-".to_owned(),
        });
    };
    let of = |kind: PartKind| m.parts.iter().filter(|part| part.kind == kind).count().to_string();
    let entries = m.parts.iter().map(|part| part.entries).sum();
    [
        id,
        m.epoch.to_string(),
        time(m.created_ms),
        of(PartKind::Base),
        of(PartKind::Delta),
        HumanBytes(m.bytes()).to_string(),
        HumanCount(entries).to_string(),
        m.workers.to_string(),
        if m.savepoint { "savepoint".to_owned() } else { String::new() },
    ]
}

fn in_json(Listed { id, manifest }: &Listed) -> Value {
    match manifest {
        Err(error) => json!({ "id": id, "error": error.to_string() }),
        Ok(m) => json!({
            "id": id,
            "epoch": m.epoch,
            "lineage": m.lineage,
            "created_ms": m.created_ms,
            "parts": m.parts.len(),
            "bytes": m.bytes(),
            "entries": m.parts.iter().map(|part| part.entries).sum::<u64>(),
            "workers": m.workers,
            "processes": m.processes,
            "savepoint": m.savepoint,
        }),
    }
}

fn inspect(dir: &str, id: Option<u64>, keys: bool, json: bool) -> Result<u8> {
    let store = Store::open(dir)?;
    let (manifest, skipped) = match id {
        Some(id) => (store.load(id)?, Vec::new()),
        None => {
            let latest = store.latest()?;
            let none = || Error::NotFound(format!("a whole checkpoint in `{dir}`"));
            for (id, error) in &latest.skipped {
                eprintln!("checkpoint {id} is passed over: {error}");
            }
            (latest.manifest.ok_or_else(none)?, latest.skipped)
        }
    };
    let usage = store.usage(&manifest)?;
    let keys = keys.then(|| store.keys(&manifest)).transpose()?;
    if json {
        println!("{}", json!({ "manifest": manifest, "usage": usage, "keys": keys }));
        return Ok(if skipped.is_empty() { 0 } else { CORRUPT });
    }
    println!("checkpoint   {}", manifest.id);
    println!("created      {}", time(manifest.created_ms));
    println!("epoch        {}", manifest.epoch);
    println!("lineage      {}", manifest.lineage);
    println!("engine       {}", manifest.engine_version);
    println!("workers      {} in {} processes", manifest.workers, manifest.processes);
    section("Operators", ["name", "kind", "key", "state", "version", "entries", "keys", "bytes"], {
        let mut infos: BTreeMap<&str, _> = usage.keys().map(|name| (name.as_str(), None)).collect();
        infos.extend(manifest.operators.iter().map(|info| (info.name.as_str(), Some(info))));
        infos.into_iter().map(|(name, info)| {
            let told = |what: fn(&tidemill_checkpoint::OperatorInfo) -> String| info.map_or("-".to_owned(), what);
            let usage = usage.get(name).copied().unwrap_or_default();
            let keys = keys.as_ref().map(|keys| HumanCount(keys.get(name).copied().unwrap_or(0)).to_string());
            [
                name.to_owned(),
                told(|info| info.kind.clone()),
                told(|info| info.key_type.clone()),
                told(|info| info.state_type.clone()),
                told(|info| info.version.to_string()),
                HumanCount(usage.entries).to_string(),
                keys.unwrap_or_else(|| "--keys counts".to_owned()),
                HumanBytes(usage.bytes).to_string(),
            ]
        })
    });
    section(
        "Sources",
        ["name", "partition", "offset", "state bytes"],
        manifest.sources.iter().map(|source| {
            let numbers = [u64::from(source.partition), source.offset, source.state.len() as u64];
            let [partition, offset, state] = numbers.map(|n| n.to_string());
            [source.name.clone(), partition, offset, state]
        }),
    );
    let sinks = manifest.sinks.iter().map(|sink| [sink.name.clone(), sink.state.len().to_string()]);
    section("Sinks", ["name", "state bytes"], sinks);
    let extra = manifest.extra.iter().map(|(name, bytes)| [name.clone(), bytes.len().to_string()]);
    section("Further", ["name", "bytes"], extra);
    section(
        "Parts, oldest first",
        ["file", "kind", "groups", "entries", "bytes"],
        manifest.parts.iter().map(|part| {
            [
                part.path.clone(),
                format!("{:?}", part.kind).to_lowercase(),
                format!("{}..{}", part.groups.start, part.groups.end),
                HumanCount(part.entries).to_string(),
                HumanBytes(part.bytes).to_string(),
            ]
        }),
    );
    Ok(if skipped.is_empty() { 0 } else { CORRUPT })
}

/// Every part once, however many checkpoints list it.
fn verify(dir: &str, id: Option<u64>) -> Result<u8> {
    let store = Store::open(dir)?;
    let listed = match id {
        Some(id) => vec![Listed { id, manifest: Ok(store.load(id)?) }],
        None => found(&store, dir)?,
    };
    let mut parts = BTreeMap::new();
    let mut code = 0;
    for Listed { id, manifest } in listed {
        let mut whole = true;
        match manifest {
            Err(error) => {
                println!("{error}");
                whole = false;
            }
            Ok(manifest) => {
                for part in &manifest.parts {
                    let key = (part.path.clone(), part.checksum);
                    if !parts.contains_key(&key) {
                        let alone = Manifest { parts: vec![part.clone()], ..Manifest::default() };
                        let damage = store.verify(&alone)?;
                        damage.iter().for_each(|error| println!("{error}"));
                        parts.insert(key.clone(), damage.is_empty());
                    }
                    whole &= parts[&key];
                }
                if let Err(error) = store.read_log(&manifest.lineage, manifest.epoch) {
                    println!("{error}");
                    whole = false;
                }
            }
        }
        println!("checkpoint {id} is {}", if whole { "whole" } else { "damaged" });
        code = if whole { code } else { CORRUPT };
    }
    Ok(code)
}

fn prune(dir: &str, keep: usize) -> Result<u8> {
    let store = Store::open(dir)?;
    let _lock = store.lock(Duration::ZERO)?;
    found(&store, dir)?;
    let pruned = store.prune(keep)?;
    let files = pruned.parts.len() + pruned.logs.len();
    println!("dropped {} checkpoints and {files} files", pruned.checkpoints.len());
    Ok(0)
}

fn drop_one(dir: &str, id: u64) -> Result<u8> {
    let store = Store::open(dir)?;
    let _lock = store.lock(Duration::ZERO)?;
    store.drop_checkpoint(id)?;
    let pruned = store.prune(usize::MAX)?;
    println!("dropped checkpoint {id} and {} files", pruned.parts.len() + pruned.logs.len());
    Ok(0)
}

/// The checkpoints in a store, of which there must be one.
fn found(store: &Store, dir: &str) -> Result<Vec<Listed>> {
    let listed = store.list()?;
    if listed.is_empty() { Err(Error::NotFound(format!("a checkpoint in `{dir}`"))) } else { Ok(listed) }
}

fn section<const N: usize>(title: &str, header: [&str; N], rows: impl Iterator<Item = [String; N]>) {
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        print!("\n{title}\n{}", table(header, &rows));
    }
}

fn time(ms: u64) -> String {
    // Beyond the year 9999 there is no such text.
    const LAST: u64 = 253_402_300_799_000;
    if ms > LAST { ms.to_string() } else { format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(ms)).to_string() }
}
