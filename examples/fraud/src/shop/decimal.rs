//! Decimal numbers as files write them, exactly.

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A decimal number of at most 18 digits, without rounding: `2.55`, `-1`, `.5`.
///
/// Zeros at the end of a fraction do not count: `2.50` is `2.5`. The derived order is of use in sorted maps only; it is
/// not that of the numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal {
    /// The number without its point.
    digits: i64,
    /// How many of the digits follow the point.
    places: u8,
}

/// More digits than this might not fit.
const DIGITS: usize = 18;

impl Decimal {
    /// The number 1.
    pub const ONE: Decimal = Decimal { digits: 1, places: 0 };

    /// The number with the other sign.
    pub fn negated(self) -> Decimal {
        Decimal { digits: -self.digits, ..self }
    }

    /// Below 0.
    pub fn is_negative(self) -> bool {
        self.digits < 0
    }

    /// 0.
    pub fn is_zero(self) -> bool {
        self.digits == 0
    }

    /// The product in hundredths, rounded to the nearest, halves away from 0; `None` if it does not fit.
    pub fn times_in_hundredths(self, other: Decimal) -> Option<i64> {
        // 18 digits times 18 digits have 36 at most, and an i128 holds 38.
        let product = i128::from(self.digits) * i128::from(other.digits);
        let rounded = match i32::from(self.places) + i32::from(other.places) - 2 {
            fewer @ ..0 => product.checked_mul(10_i128.pow(fewer.unsigned_abs()))?,
            more => {
                let unit = 10_i128.pow(more.unsigned_abs());
                (product + product.signum() * (unit / 2)) / unit
            }
        };
        i64::try_from(rounded).ok()
    }
}

/// Why a text is no [`Decimal`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a decimal number like 2.55, of at most {DIGITS} digits and without separators of thousands")]
pub struct NotDecimal(String);

impl FromStr for Decimal {
    type Err = NotDecimal;

    fn from_str(text: &str) -> Result<Self, NotDecimal> {
        let wrong = || NotDecimal(text.chars().take(60).collect());
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let count = whole.len() + fraction.len();
        let written = unsigned.len() > usize::from(unsigned.contains('.'));
        if !written || count > DIGITS || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let digits = whole.bytes().chain(fraction.bytes()).fold(0, |sum, byte| sum * 10 + i64::from(byte - b'0'));
        let digits = if text.starts_with('-') { -digits } else { digits };
        Ok(Decimal { digits, places: fraction.len() as u8 })
    }
}

impl Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (size, places) = (self.digits.unsigned_abs(), usize::from(self.places));
        let text = format!("{size:0width$}", width = places + 1);
        let (whole, fraction) = text.split_at(text.len() - places);
        let sign = if self.digits < 0 { "-" } else { "" };
        if fraction.is_empty() { write!(f, "{sign}{whole}") } else { write!(f, "{sign}{whole}.{fraction}") }
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn products_are_exact_and_rounded_once() {
        let hundredths = |a: &str, b: &str| decimal(a).times_in_hundredths(decimal(b));
        assert_eq!(hundredths("6", "2.55"), Some(1530));
        assert_eq!(hundredths("-80995", "2.08"), Some(-16_846_960));
        assert_eq!(hundredths("3", "0.1"), Some(30), "0.1 has no exact floating-point number");
        assert_eq!(hundredths("1", "1.005"), Some(101), "nor has 1.005, which would become 1.00");
        assert_eq!(hundredths("1", "-1.005"), Some(-101));
        assert_eq!(hundredths("1", "0.001"), Some(0));
        assert_eq!(hundredths("1000", "0.001"), Some(100));
        assert_eq!(hundredths("999999999999999999", "999999999999999999"), None);
        assert_eq!(hundredths("0.000000000000000001", "0.000000000000000001"), Some(0));
    }

    #[test]
    fn numbers_are_read_as_they_are_written() {
        for text in ["0", "1", "-1", "2.55", "-0.05", "123456789012345678", "649.5"] {
            assert_eq!(decimal(text).to_string(), text);
        }
        assert_eq!(decimal("2.50"), decimal("2.5"));
        assert_eq!(decimal("38970.0"), decimal("38970"));
        assert_eq!(decimal(".5"), decimal("0.5"));
        assert_eq!(decimal("3."), decimal("3"));
        assert_eq!(decimal("0.000"), Decimal::default());
        let json = serde_json::to_string(&decimal("-2.55")).unwrap();
        assert_eq!(serde_json::from_str::<Decimal>(&json).unwrap(), decimal("-2.55"));
    }

    #[test]
    fn what_is_no_number_is_said() {
        for text in ["", "-", ".", "-.", "1,5", "1.2.3", "1e3", " 1", "+1", "٣", "1234567890123456789", "NaN"] {
            assert_eq!(text.parse::<Decimal>(), Err(NotDecimal(text.to_owned())), "{text}");
        }
    }
}
