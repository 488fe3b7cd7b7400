//! Which column of a shop's file is what.

use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tidemill_files::Csv;

use super::calendar::Moment;
use super::decimal::Decimal;

/// A line of a shop's file, as it stands there. What is empty there, or not [mapped](Mapping), is `None` here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Line {
    /// When.
    pub time: Moment,
    /// Who bought.
    pub customer: Option<String>,
    /// What was bought.
    pub item: Option<String>,
    /// The document that the line belongs to.
    #[serde(default)]
    pub invoice: Option<String>,
    /// How many; below 0 if something came back or went missing.
    #[serde(default)]
    pub quantity: Option<Decimal>,
    /// Of one, in currency units.
    #[serde(default)]
    pub price: Option<Decimal>,
    /// Of the line, in currency units.
    #[serde(default)]
    pub amount: Option<Decimal>,
    /// Of the line, in hundredths of the currency unit.
    #[serde(default)]
    pub cents: Option<i64>,
}

/// What a line is about, by the column it is in: `customer=CustomerID,item=StockCode,…`.
///
/// `customer`, `item` and `time` are needed, and the money: `cents` or `amount` of the line, or the `price` of one, with
/// or without a `quantity`. An `invoice` tells cancellations from other lines with a negative quantity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    columns: Vec<(String, String)>,
    /// Where the money is.
    pub money: Money,
    /// Whether there is a column of quantities.
    pub quantity: bool,
    /// Whether there is a column of invoices.
    pub invoice: bool,
}

/// Where a line's money is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Money {
    /// In [`Line::cents`].
    Cents,
    /// In [`Line::amount`].
    Amount,
    /// In [`Line::price`], times the quantity if there is one.
    Price,
}

/// What can be mapped.
const FIELDS: [&str; 8] = ["customer", "item", "time", "cents", "amount", "price", "quantity", "invoice"];

/// Why a mapping makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// A part is no pair.
    #[error("`{0}` is not FIELD=COLUMN, as in customer=CustomerID")]
    NoPair(String),
    /// There is no such field.
    #[error("there is no field `{0}`, only {fields}", fields = FIELDS.join(", "))]
    NoField(String),
    /// A field or a column stands there twice.
    #[error("`{0}` is mapped twice")]
    Twice(String),
    /// A field that is needed is missing.
    #[error("no column is mapped to `{0}`: add {0}=COLUMN")]
    Missing(&'static str),
    /// There is no money, or too much of it.
    #[error("map one of cents, amount and price (price may come with a quantity), not {0} of them")]
    Money(usize),
}

impl FromStr for Mapping {
    type Err = MappingError;

    fn from_str(text: &str) -> Result<Self, MappingError> {
        let mut columns: Vec<(String, String)> = Vec::new();
        for part in text.split(',') {
            let (field, column) = part.split_once('=').ok_or_else(|| MappingError::NoPair(part.to_owned()))?;
            let (field, column) = (field.trim(), column.trim());
            if column.is_empty() {
                return Err(MappingError::NoPair(part.to_owned()));
            }
            if !FIELDS.contains(&field) {
                return Err(MappingError::NoField(field.to_owned()));
            }
            if let Some((other, _)) = columns.iter().find(|(f, c)| f == field || c == column) {
                return Err(MappingError::Twice(if other == field { field.to_owned() } else { column.to_owned() }));
            }
            columns.push((field.to_owned(), column.to_owned()));
        }
        let has = |field: &str| columns.iter().any(|(other, _)| other == field);
        if let Some(missing) = FIELDS[..3].iter().find(|field| !has(field)) {
            return Err(MappingError::Missing(missing));
        }
        let money = [("cents", Money::Cents), ("amount", Money::Amount), ("price", Money::Price)];
        let money: Vec<Money> = money.into_iter().filter(|(field, _)| has(field)).map(|(_, money)| money).collect();
        let &[money] = &money[..] else { return Err(MappingError::Money(money.len())) };
        Ok(Mapping { money, quantity: has("quantity"), invoice: has("invoice"), columns })
    }
}

impl Mapping {
    /// The lines of a CSV file with a header, plain, gzip or zstd, or of a folder of such files.
    pub fn lines(&self, file: &Path, delimiter: u8) -> Csv<Line> {
        Csv::new(file).delimiter(delimiter).columns(self.columns.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill::{Batch, Reader, Source};

    const MAP: &str = "customer=CustomerID,item=StockCode,quantity=Quantity,price=UnitPrice,time=At,invoice=InvoiceNo";

    fn read(mapping: &str, text: &str) -> Result<(Vec<Line>, Vec<String>), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.csv");
        std::fs::write(&path, text).unwrap();
        let mapping: Mapping = mapping.parse().map_err(|error: MappingError| error.to_string())?;
        let mut batch = Batch::new();
        let source = mapping.lines(&path, b',');
        source.open(0, 0).and_then(|mut reader| reader.read(100, &mut batch)).map_err(|error| error.to_string())?;
        Ok((batch.items().to_vec(), batch.rejected().iter().map(|letter| letter.reason.clone()).collect()))
    }

    #[test]
    fn columns_go_by_the_mapping_and_others_are_not_read() {
        let text =
            "item,InvoiceNo,StockCode,Quantity,At,UnitPrice,CustomerID\nx,7,\"a,b\",2,100,1.50,\nx,7,c,two,1,1,9\n";
        let (lines, bad) = read(MAP, text).unwrap();
        assert_eq!(
            lines,
            [Line {
                time: Moment::Number(100),
                customer: None,
                item: Some("a,b".into()),
                invoice: Some("7".into()),
                quantity: "2".parse().ok(),
                price: "1.5".parse().ok(),
                amount: None,
                cents: None,
            }]
        );
        assert_eq!(bad.len(), 1);
        assert!(bad[0].contains("field `quantity`: `two` is not a decimal number"), "{bad:?}");
    }

    #[test]
    fn a_column_that_is_not_there_is_named_with_those_that_are() {
        let error = read(MAP, "InvoiceNo,StockCode,Quantity,When,UnitPrice,CustomerID\n1,2,3,4,5,6\n").unwrap_err();
        assert!(
            error.contains("no column is named `At`, only `InvoiceNo`, `StockCode`, `Quantity`, `When`"),
            "{error}"
        );
    }

    #[test]
    fn a_mapping_that_makes_no_sense_is_refused() {
        let error = |text: &str| text.parse::<Mapping>().unwrap_err().to_string();
        assert_eq!(error("customer"), "`customer` is not FIELD=COLUMN, as in customer=CustomerID");
        assert!(error("shopper=A").starts_with("there is no field `shopper`, only customer, item,"));
        assert_eq!(error("customer=A,customer=B"), "`customer` is mapped twice");
        assert_eq!(error("customer=A,item=A"), "`A` is mapped twice");
        assert_eq!(error("customer=A,item=B,cents=C"), "no column is mapped to `time`: add time=COLUMN");
        assert!(error("customer=A,item=B,time=C").contains("not 0 of them"));
        assert!(error("customer=A,item=B,time=C,cents=D,price=E").contains("not 2 of them"));
        let mapping: Mapping = "customer=A, item=B, time=C, cents=D".parse().unwrap();
        assert_eq!((mapping.money, mapping.quantity, mapping.invoice), (Money::Cents, false, false));
    }
}
