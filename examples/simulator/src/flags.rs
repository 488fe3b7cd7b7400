//! The simulated shop of a program's command line.

use tidemill::Result;
use tidemill_shop::{Currency, Rates, Rules};

use crate::settings::{RATES, Settings};

/// Flags that say which shop is simulated. Flatten them into a program's own.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Simulated shop", about = None, long_about = None)]
pub struct Flags {
    /// Shoppers.
    #[arg(long, value_name = "N", default_value_t = Settings::default().users, value_parser = clap::value_parser!(u64).range(1..))]
    pub users: u64,
    /// Items.
    #[arg(long, value_name = "N", default_value_t = Settings::default().items, value_parser = clap::value_parser!(u64).range(1..))]
    pub items: u64,
    /// Categories.
    #[arg(long, value_name = "N", default_value_t = Settings::default().categories, value_parser = clap::value_parser!(u64).range(1..))]
    pub categories: u64,
    /// Days.
    #[arg(long, value_name = "N", default_value_t = Settings::default().days, value_parser = clap::value_parser!(u32).range(1..))]
    pub days: u32,
    /// Items that a shopper looks at, on average over all days.
    #[arg(long, value_name = "N", default_value_t = Settings::default().views, value_parser = clap::value_parser!(u32).range(1..))]
    pub views: u32,
    /// Draws everything.
    #[arg(long, value_name = "N", default_value_t = Settings::default().seed)]
    pub shop_seed: u64,
}

impl Flags {
    /// That none is given, where a file is read and no shop is simulated.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`](tidemill::Error::Usage) if one differs from its default, for it would change nothing.
    pub fn none(&self) -> Result<()> {
        if self.settings() == Settings::default() {
            return Ok(());
        }
        Err(tidemill::Error::Usage(
            "a file is read, and no shop simulated: leave out --users, --items, --categories, --days, --views and --shop-seed"
                .to_owned(),
        ))
    }

    /// As the simulation wants them.
    pub fn settings(&self) -> Settings {
        let Flags { users, items, categories, days, views, shop_seed: seed } = *self;
        Settings { users, items, categories, days, views, seed, ..Settings::default() }
    }
}

/// What lines of the simulated shop may say: it sells in euros, dollars and yen.
///
/// # Errors
///
/// [`Error::Usage`](tidemill::Error::Usage) if one of [`RATES`] is none.
pub fn rules() -> Result<Rules> {
    let currency = |code: &str| {
        Currency::new(code).ok_or_else(|| tidemill::Error::Usage(format!("`{code}` is no currency: say one as EUR")))
    };
    let own = Rates::new(currency("EUR")?);
    let rates = RATES.iter().try_fold(own, |rates, (code, rate)| rates.with(currency(code)?, *rate))?;
    Ok(Rules::new(rates))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        shop: Flags,
    }

    #[test]
    fn flags_that_would_change_nothing_are_refused() {
        let none = |flags: &[&str]| Program::parse_from([&["program"], flags].concat()).shop.none();
        assert!(none(&[]).is_ok());
        for flag in ["--users", "--items", "--categories", "--days", "--views", "--shop-seed"] {
            let error = none(&[flag, "3"]).unwrap_err().to_string();
            assert!(error.contains(flag), "{error}");
        }
    }
}
