//! A year of invoices of a real shop (UCI Online Retail).

use anyhow::Context;
use rustc_hash::FxHashMap;
use serde::Deserialize;
use std::path::Path;
use tidemill_shop::{Currency, Kind, Line, Rates, Rules};

use crate::lines::{Lines, Names};
use crate::read::open;

/// A line of an invoice.
#[derive(Clone, Debug, Deserialize)]
pub struct Invoiced {
    /// The invoice; C comes first where it cancels.
    #[serde(rename = "InvoiceNo")]
    pub invoice: String,
    /// What for: an item's code, or a word as POST.
    #[serde(rename = "StockCode")]
    pub code: String,
    /// How many: below 0 where it cancels, or stock is written off.
    #[serde(rename = "Quantity")]
    pub quantity: i64,
    /// In seconds since 1970.
    #[serde(rename = "InvoiceEpoch")]
    pub time: i64,
    /// In pounds.
    #[serde(rename = "UnitPrice")]
    pub price: f64,
    /// Who, if it is known.
    #[serde(rename = "CustomerID")]
    pub customer: Option<u64>,
}

impl Invoiced {
    /// The lines of a file.
    ///
    /// # Errors
    ///
    /// The file cannot be read; a line, if it is none.
    pub fn read(file: &Path) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Self>>> {
        let name = file.display().to_string();
        let lines = csv::Reader::from_reader(open(file)?).into_deserialize();
        Ok(lines.map(move |line| line.with_context(|| name.clone())))
    }

    /// Whether it is for goods, and not for postage, say.
    pub fn is_goods(&self) -> bool {
        self.code.len() >= 5 && self.code.as_bytes()[..5].iter().all(u8::is_ascii_digit)
    }

    /// Whether it cancels.
    pub fn cancels(&self) -> bool {
        self.invoice.starts_with('C')
    }
}

/// Numbers of users who are nobody's customers begin here: each is there for one invoice.
pub const GUESTS: u64 = 1 << 32;

/// Reads the invoices as a shop's lines. Items are listed when they are first sold, in one category with those whose codes begin
/// with the same two digits: stock codes that are alike are of things that are. An invoice whose number begins with C cancels,
/// and does not say which order. Lines without goods, as postage, and stock that was written off are left out. An invoice may
/// have hundreds of lines in a minute: nobody is taken for a bot.
///
/// # Errors
///
/// The file cannot be read, or is not such a file.
pub fn online_retail(file: &Path) -> anyhow::Result<Lines> {
    let (mut lines, mut names) = (Vec::new(), Names::default());
    let (mut orders, mut without_goods) = (FxHashMap::<String, u64>::default(), 0);
    for line in Invoiced::read(file)? {
        let line = line?;
        let (is_goods, cancelled) = (line.is_goods(), line.cancels());
        let Invoiced { invoice, code, quantity, time, price, customer } = line;
        if !is_goods || quantity == 0 || cancelled != (quantity < 0) {
            without_goods += 1;
            continue;
        }
        let new = orders.len() as u64;
        let order = *orders.entry(invoice).or_insert(new);
        let (category, known) = (code[..2].parse().ok(), names.codes());
        let line = Line {
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
        };
        if line.item == Some(known) {
            let listed =
                Line { kind: Kind::Listed, user: None, order: None, category, number: None, amount: None, ..line };
            lines.push(listed);
        }
        lines.push(Line { id: lines.len() as u64, ..line });
    }
    let without_goods = (without_goods > 0)
        .then(|| format!("{without_goods} lines without goods, as postage, or of stock that was written off"));
    let own = Currency::new("GBP").context("pounds are a currency")?;
    Ok(Lines {
        lines,
        // Somebody once bought 80,995 of one, and cancelled it.
        rules: Rules { most_lines: u32::MAX, most_pieces: 100_000, ..Rules::new(Rates::new(own)) },
        names,
        left_out: without_goods.into_iter().collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_listed_before_it_is_sold_first() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lines.csv");
        let text = "InvoiceNo,StockCode,Quantity,InvoiceEpoch,UnitPrice,CustomerID\n\
            536365,85123A,6,1291191960,2.55,17850\n\
            536365,POST,1,1291191960,18,17850\n\
            536366,85123A,2,1291191961,2.55,\n\
            C536367,85123A,-6,1291191962,2.55,17850\n";
        std::fs::write(&file, text).unwrap();
        let Lines { lines, names, left_out, rules } = online_retail(&file).unwrap();
        let kinds: Vec<_> = lines.iter().map(|line| (line.id, line.kind, line.category, line.user)).collect();
        let expected = [
            (0, Kind::Listed, Some(85), None),
            (1, Kind::Purchase, None, Some(17_850)),
            (2, Kind::Purchase, None, Some(GUESTS + 1)),
            (3, Kind::Cancellation, None, Some(17_850)),
        ];
        assert_eq!((&kinds[..], names.show(0).as_str()), (&expected[..], "85123A"));
        assert!(lines.iter().all(|line| rules.check(line).is_ok()) && left_out.len() == 1, "{left_out:?}");
    }
}
