//! Amounts of any currency, in the shop's own.

use std::collections::BTreeMap;
use tidemill::{Error, Result};

use crate::clean::Reason;
use crate::line::Currency;

impl Currency {
    /// Digits behind the point: how many its minor unit has after ISO 4217, 2 for cents.
    pub fn digits(&self) -> u32 {
        match self.code() {
            "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI" | "VND"
            | "VUV" | "XAF" | "XOF" | "XPF" => 0,
            "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
            "CLF" | "UYW" => 4,
            _ => 2,
        }
    }
}

/// What a unit of each currency is worth in the shop's own.
///
/// Rates are kept as whole billionths of the shop's minor unit, so that an amount becomes the same cents everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rates {
    own: Currency,
    /// What the minor unit of a currency is worth, in billionths of the own one's.
    worth: BTreeMap<Currency, i64>,
}

/// Minor units beyond which an `f64` does not tell one from the next.
const EXACT: f64 = 9e15;

const BILLION: i64 = 1_000_000_000;

impl Rates {
    /// The shop's own currency alone.
    pub fn new(own: Currency) -> Self {
        Rates { own, worth: BTreeMap::from([(own, BILLION)]) }
    }

    /// One unit of `currency` is worth `rate` of the shop's own: dollars at 0.92 euros.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] if the rate is not above 0, or too small or great to be kept.
    pub fn with(mut self, currency: Currency, rate: f64) -> Result<Self> {
        let shift = self.own.digits() as i32 - currency.digits() as i32;
        let worth = (rate * 10f64.powi(shift) * BILLION as f64).round();
        if !(1.0..EXACT).contains(&worth) {
            let code = currency.code();
            return Err(Error::Usage(format!("a rate of {rate} for {code}: say what one {code} is worth, as 0.92")));
        }
        self.worth.insert(currency, worth as i64);
        Ok(self)
    }

    /// An amount in the shop's cents, or whatever its currency's minor unit is: rounded to the minor unit of its own
    /// currency, then converted and rounded again, each time to the nearest, half to even.
    pub(crate) fn cents(&self, amount: f64, currency: Option<Currency>) -> Result<i64, Reason> {
        let currency = currency.unwrap_or(self.own);
        let worth = *self.worth.get(&currency).ok_or(Reason::UnknownCurrency)?;
        let minor = (amount * 10f64.powi(currency.digits() as i32)).round_ties_even();
        if !(1.0..EXACT).contains(&minor) {
            return Err(Reason::ImpossibleAmount);
        }
        let (worth, billion) = (minor as i128 * i128::from(worth), i128::from(BILLION));
        let (whole, rest) = (worth / billion, worth % billion);
        let up = 2 * rest > billion || 2 * rest == billion && whole % 2 == 1;
        i64::try_from(whole + i128::from(up)).map_err(|_| Reason::ImpossibleAmount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn currency(code: &str) -> Currency {
        Currency::new(code).unwrap()
    }

    #[test]
    fn amounts_become_cents_half_to_even() {
        let rates = Rates::new(currency("EUR"));
        let rates = rates.with(currency("USD"), 0.5).unwrap().with(currency("JPY"), 0.006).unwrap();
        let rates = rates.with(currency("KWD"), 3.0).unwrap();
        let cents = |amount, code| rates.cents(amount, Some(currency(code)));
        assert_eq!(rates.cents(12.5, None), Ok(1_250));
        assert_eq!(cents(0.125, "EUR"), Ok(12), "12.5 cents, which a double holds exactly");
        assert_eq!(cents(0.375, "EUR"), Ok(38));
        assert_eq!((cents(0.05, "USD"), cents(0.07, "USD")), (Ok(2), Ok(4)), "2.5 and 3.5 cents");
        assert_eq!(cents(1_000.0, "JPY"), Ok(600), "a yen has no cents");
        assert_eq!(cents(1.234, "KWD"), Ok(370), "1234 fils are 370.2 cents");
        assert_eq!(cents(1.0, "USD"), Ok(50));
        assert_eq!(cents(1.0, "GBP"), Err(Reason::UnknownCurrency));
        for amount in [0.0, -0.0, -3.0, 0.001, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, f64::MIN_POSITIVE] {
            assert_eq!(cents(amount, "EUR"), Err(Reason::ImpossibleAmount), "{amount}");
        }
    }

    #[test]
    fn a_shop_may_have_a_currency_without_cents() {
        let rates = Rates::new(currency("JPY")).with(currency("USD"), 150.0).unwrap();
        assert_eq!(rates.cents(980.0, None), Ok(980));
        assert_eq!(rates.cents(9.99, Some(currency("USD"))), Ok(1_498), "1498.5 yen, to even");
    }

    #[test]
    fn rates_must_be_above_0() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-12] {
            let told = Rates::new(currency("EUR")).with(currency("USD"), rate).unwrap_err().to_string();
            assert!(told.contains("USD"), "{told}");
        }
    }
}
