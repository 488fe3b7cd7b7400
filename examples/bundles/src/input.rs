//! A shop's lines: of a real shop, of a file, or of a shop that does not exist.

use anyhow::Context;
use flate2::read::MultiGzDecoder;
use rustc_hash::FxHashMap;
use serde::Deserialize;
use shop_simulator::{Settings, Simulation};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use tidemill_shop::{Currency, Kind, Line, Rates, Rules};

/// Lines in the order in which they arrived.
#[derive(Clone, Debug)]
pub struct Lines {
    /// What was said.
    pub lines: Vec<Line>,
    /// What is to be believed of it.
    pub rules: Rules,
    /// How items are called, if not by their number.
    pub names: Names,
    /// How many lines could not be read.
    pub unreadable: usize,
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
    fn number(&mut self, code: String) -> u64 {
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

#[derive(Deserialize)]
struct Invoiced {
    #[serde(rename = "InvoiceNo")]
    invoice: String,
    #[serde(rename = "StockCode")]
    code: String,
    #[serde(rename = "Quantity")]
    quantity: i64,
    /// In seconds since 1970.
    #[serde(rename = "InvoiceEpoch")]
    time: i64,
    #[serde(rename = "UnitPrice")]
    price: f64,
    #[serde(rename = "CustomerID")]
    customer: Option<u64>,
}

/// Numbers of users who are nobody's customers begin here: each is there for one invoice.
pub const GUESTS: u64 = 1 << 32;

/// Reads a year of a real shop's invoices (UCI Online Retail). An invoice whose number begins with C cancels, and does not say
/// which order. Lines without goods, as postage, and stock that was written off are left out. An invoice may have hundreds of
/// lines in a minute: nobody is taken for a bot.
///
/// # Errors
///
/// The file cannot be read, or is not such a file.
pub fn online_retail(file: &Path) -> anyhow::Result<Lines> {
    let (mut lines, mut names) = (Vec::new(), Names::default());
    let mut orders = FxHashMap::<String, u64>::default();
    for line in csv::Reader::from_reader(open(file)?).deserialize() {
        let Invoiced { invoice, code, quantity, time, price, customer } =
            line.with_context(|| file.display().to_string())?;
        let is_goods = code.len() >= 5 && code.as_bytes()[..5].iter().all(u8::is_ascii_digit);
        let cancelled = invoice.starts_with('C');
        if !is_goods || quantity == 0 || cancelled != (quantity < 0) {
            continue;
        }
        let new = orders.len() as u64;
        let order = *orders.entry(invoice).or_insert(new);
        lines.push(Line {
            id: lines.len() as u64,
            time: time * 1_000,
            kind: if cancelled { Kind::Cancellation } else { Kind::Purchase },
            user: Some(customer.unwrap_or(GUESTS + order)),
            item: Some(names.number(code)),
            order: (!cancelled).then_some(order),
            category: None,
            number: Some(quantity.abs()),
            amount: Some(price),
            currency: None,
        });
    }
    let own = Currency::new("GBP").context("pounds are a currency")?;
    Ok(Lines { lines, rules: Rules { most_lines: u32::MAX, ..Rules::new(Rates::new(own)) }, names, unreadable: 0 })
}

/// Reads lines of JSON, of which the rules say what is to be believed.
///
/// # Errors
///
/// The file cannot be read.
pub fn json_lines(file: &Path, rules: Rules) -> anyhow::Result<Lines> {
    let mut all = Lines { lines: Vec::new(), rules, names: Names::default(), unreadable: 0 };
    for (number, line) in BufReader::new(open(file)?).lines().enumerate() {
        let line = line.with_context(|| format!("{}:{}", file.display(), number + 1))?;
        match serde_json::from_str(&line) {
            Ok(line) => all.lines.push(line),
            Err(_) => all.unreadable += 1,
        }
    }
    Ok(all)
}

/// All lines of a shop that does not exist.
pub fn simulated(settings: &Settings, rules: Rules) -> Lines {
    let lines = Simulation::new(settings.clone()).collect();
    Lines { lines, rules, names: Names::default(), unreadable: 0 }
}

/// Opens a file, unpacking it if its name ends with `.gz`.
fn open(path: &Path) -> anyhow::Result<Box<dyn Read>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(match path.extension() {
        Some(ext) if ext == "gz" => Box::new(MultiGzDecoder::new(file)),
        _ => Box::new(file),
    })
}
