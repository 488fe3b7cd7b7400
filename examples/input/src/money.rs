//! What money is worth in a shop's own lines.

use shop_simulator::RATES;
use tidemill_shop::{Currency, Rates, Rules};

/// Flags for a shop's own lines. Flatten them into a program's own.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Money {
    /// The currency of lines that say none, after ISO 4217.
    #[arg(long, value_name = "CODE", default_value = "EUR", value_parser = currency)]
    currency: Currency,
    /// What one unit of another currency is worth, as USD=0.92; may be given several times. Lines in others are dropped. By
    /// default those that the simulated shop takes.
    #[arg(long, value_name = "CODE=RATE", value_parser = rate)]
    rate: Vec<(Currency, f64)>,
}

impl Money {
    /// What lines may say, with these currencies.
    ///
    /// # Errors
    ///
    /// If a rate is none.
    pub fn rules(&self) -> anyhow::Result<Rules> {
        let known = || RATES.into_iter().filter_map(|(code, rate)| Some((Currency::new(code)?, rate)));
        let said: Vec<(Currency, f64)> = if self.rate.is_empty() { known().collect() } else { self.rate.clone() };
        let mut rates = Rates::new(self.currency);
        for (currency, rate) in said.into_iter().filter(|(currency, _)| *currency != self.currency) {
            rates = rates.with(currency, rate)?;
        }
        Ok(Rules::new(rates))
    }
}

fn currency(code: &str) -> Result<Currency, String> {
    Currency::new(code).ok_or_else(|| "say a currency's three capital letters, as EUR".to_owned())
}

fn rate(text: &str) -> Result<(Currency, f64), String> {
    let (code, rate) = text.split_once('=').ok_or("say what one unit is worth, as USD=0.92")?;
    Ok((currency(code)?, rate.parse().map_err(|_| format!("{rate} is no number: say one as USD=0.92"))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use tidemill_shop::{Action, Clean, Kind, Line};

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        money: Money,
    }

    #[test]
    fn amounts_are_in_the_shop_s_own_currency() {
        let cents = |flags: &[&str], currency: Option<&str>| {
            let money = Program::parse_from([&["program"], flags].concat()).money;
            let (kind, some, amount) = (Kind::Purchase, Some(1), Some(2.5));
            let currency = currency.and_then(Currency::new);
            let (number, time) = (Some(1), 1_700_000_000_000);
            let line = Line {
                id: 1,
                time,
                kind,
                user: some,
                item: some,
                order: some,
                category: None,
                number,
                amount,
                currency,
            };
            match money.rules().unwrap().check(&line) {
                Ok(Clean::Shopper(event)) => match event.action {
                    Action::Purchase { cents, .. } => Some(cents),
                    _ => None,
                },
                _ => None,
            }
        };
        assert_eq!(cents(&[], None), Some(250));
        assert_eq!(cents(&[], Some("USD")), Some(230));
        let pounds = ["--currency", "GBP", "--rate", "EUR=0.8"];
        assert_eq!(
            [None, Some("GBP"), Some("EUR"), Some("USD")].map(|code| cents(&pounds, code)),
            [Some(250), Some(250), Some(200), None]
        );
        assert_eq!(cents(&["--currency", "USD"], Some("USD")), Some(250), "not by the simulated shop's rate of it");
        assert!(Program::try_parse_from(["program", "--rate", "USD"]).is_err());
    }
}
