//! One card payment of the benchmark, and the canonical CSV form of the data set.

use std::io::{Read, Write};

use serde::{Deserialize, Serialize};

/// The data set's first instant, 2018-04-01T00:00:00Z (a Sunday), in milliseconds since 1970.
pub const START: i64 = 1_522_540_800_000;

/// How many days the data set spans: 2018-04-01 to 2018-09-30.
pub const DAYS: u32 = 183;

/// The seconds of one day.
pub const DAY: u32 = 86_400;

/// One card payment.
///
/// The derived order compares the fields as declared, which is the canonical order of the data
/// set and the column order of its CSV form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Transaction {
    /// When: seconds since [`START`].
    pub sec: u32,
    /// Who paid.
    pub customer: u32,
    /// Where the card was used.
    pub terminal: u32,
    /// How much, in hundredths of the currency unit.
    pub cents: u32,
    /// Whether the payment was fraudulent; written as 0 or 1.
    #[serde(with = "bit")]
    pub fraud: bool,
    /// Which of the simulator's scenarios made it fraudulent (the last one, if several did); 0 if
    /// none. See [`generate::transactions`](crate::generate::transactions).
    pub scenario: u8,
}

impl Transaction {
    /// The day of the payment, counted from 0.
    pub fn day(&self) -> u32 {
        self.sec / DAY
    }

    /// The time of the payment in milliseconds since 1970.
    pub fn time_ms(&self) -> i64 {
        START + i64::from(self.sec) * 1000
    }
}

/// Writes `transactions` as the canonical CSV: a line each, no header, `\n` line ends.
pub fn write_csv(transactions: &[Transaction], to: impl Write) -> csv::Result<()> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(to);
    for transaction in transactions {
        writer.serialize(transaction)?;
    }
    writer.flush()?;
    Ok(())
}

/// Reads transactions from the canonical CSV, in the order of its lines.
pub fn read_csv(from: impl Read) -> csv::Result<Vec<Transaction>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(from);
    reader.deserialize().collect()
}

/// A flag as the number 0 or 1.
mod bit {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(flag: &bool, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u8(u8::from(*flag))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
        match u8::deserialize(from)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(D::Error::custom(format!("expected 0 or 1, found {other}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: Transaction =
        Transaction { sec: 86_431, customer: 596, terminal: 3156, cents: 5716, fraud: true, scenario: 2 };

    #[test]
    fn csv_round_trip() {
        let rows = [ROW, Transaction { fraud: false, scenario: 0, ..ROW }];
        let mut text = Vec::new();
        write_csv(&rows, &mut text).unwrap();
        assert_eq!(text, b"86431,596,3156,5716,1,2\n86431,596,3156,5716,0,0\n");
        assert_eq!(read_csv(&text[..]).unwrap(), rows);
    }

    #[test]
    fn a_flag_is_0_or_1() {
        assert!(read_csv(&b"1,2,3,4,2,0\n"[..]).is_err());
    }

    #[test]
    fn days_and_milliseconds() {
        assert_eq!(ROW.day(), 1);
        assert_eq!(ROW.time_ms(), 1_522_540_800_000 + 86_431_000);
    }
}
