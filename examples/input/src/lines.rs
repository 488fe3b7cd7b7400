//! A shop's lines, and how its items are called.

use anyhow::{Context, ensure};
use rustc_hash::FxHashMap;
use serde::Deserialize;
use shop_simulator::{Settings, Simulation};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tidemill::time::days;
use tidemill::{Batch, Millis, ReadStatus, Reader, Source};
use tidemill_files::JsonLines;
use tidemill_shop::{Line, Rules};

use crate::read::open;

/// Lines in the order in which they arrived.
#[derive(Clone, Debug)]
pub struct Lines {
    /// What was said.
    pub lines: Vec<Line>,
    /// What is to be believed of it.
    pub rules: Rules,
    /// How items are called, if not by their number.
    pub names: Names,
    /// What was left out: which lines could not be read and what is wrong with them, or how many say nothing of goods.
    pub left_out: Vec<String>,
}

/// How items are called.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Their codes, by number; none where the number is the code.
    codes: Vec<String>,
    numbers: FxHashMap<String, u64>,
    /// What they are, by code.
    products: FxHashMap<String, String>,
}

impl Names {
    /// How many items are called by codes.
    pub(crate) fn codes(&self) -> u64 {
        self.codes.len() as u64
    }

    /// The number of an item with this code, and a new one where it has none yet.
    pub(crate) fn number(&mut self, code: String) -> u64 {
        *self.numbers.entry(code).or_insert_with_key(|code| {
            self.codes.push(code.clone());
            self.codes.len() as u64 - 1
        })
    }

    /// The item with this code, or this number where items have no codes.
    pub fn find(&self, code: &str) -> Option<u64> {
        if self.codes.is_empty() { code.parse().ok() } else { self.numbers.get(code).copied() }
    }

    /// An item's code, and what it is if that is known.
    pub fn show(&self, item: u64) -> String {
        match self.codes.get(item as usize) {
            Some(code) => match self.products.get(code) {
                Some(product) => format!("{code} {product}"),
                None => code.clone(),
            },
            None => item.to_string(),
        }
    }

    /// Reads what products are from a file with the columns `StockCode` and `Description`.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is not such a file.
    pub fn read_products(&mut self, file: &Path) -> anyhow::Result<()> {
        for product in csv::Reader::from_reader(open(file)?).deserialize() {
            let Product { code, description } = product.with_context(|| file.display().to_string())?;
            self.products.insert(code, description);
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Product {
    #[serde(rename = "StockCode")]
    code: String,
    #[serde(rename = "Description")]
    description: String,
}

/// Reads lines of JSON to their end, packed or not, of which the rules say what is to be believed: of a file, of all files of a folder
/// one after the other, or of standard input (`-`). What is there already has not happened later than a day from now: a line of
/// a clock that is ahead by more would move time there, and all that came after it would be late.
///
/// # Errors
///
/// One of them cannot be read, or there is no line.
pub fn json_lines(file: &Path, rules: Rules) -> anyhow::Result<Lines> {
    let (source, mut batch) = (JsonLines::<Line>::new(file.to_owned()), Batch::new());
    for partition in 0..source.partitions()? {
        let mut reader = source.open(partition, 0)?;
        loop {
            match reader.read(10_000, &mut batch)? {
                ReadStatus::Ready => {}
                ReadStatus::Waiting => std::thread::sleep(LOOK_AGAIN),
                ReadStatus::Done => break,
            }
        }
    }
    let left_out: Vec<String> =
        batch.rejected().iter().map(|line| format!("{}: {}", line.place, line.reason)).collect();
    ensure!(!batch.items().is_empty() || !left_out.is_empty(), "{} has no line", file.display());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(Millis::MAX, |now| now.as_millis() as Millis);
    let rules = Rules { latest: rules.latest.min(now.saturating_add(days(1))), ..rules };
    Ok(Lines { lines: batch.items().to_vec(), rules, names: Names::default(), left_out })
}

/// How soon one looks again where whoever writes is slower.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Says which lines were left out, the first ones by name.
pub fn warn(left_out: &[String]) {
    left_out.iter().take(5).for_each(|line| eprintln!("left out: {line}"));
    if left_out.len() > 5 {
        eprintln!("left out: {} lines more that cannot be read", left_out.len() - 5);
    }
}

/// All lines of a shop that does not exist.
pub fn simulated(settings: &Settings, rules: Rules) -> Lines {
    let lines = Simulation::new(settings.clone()).collect();
    Lines { lines, rules, names: Names::default(), left_out: Vec::new() }
}
