//! One file for each command, and what they share.

pub mod demo;
pub mod generate;
pub mod load;
pub mod run;
pub mod show;
pub mod train;

use fraud::serving::{Padding, Scorer};
use recommend::live::SOURCES;
use recommend::taste::Taste;
use shop::catalogue::Catalogue;
use shop::graph::Options;
use shop::training::{FRAUD, TASTE};
use shop_simulator::{RATES, Settings, Simulation};
use std::path::Path;
use std::sync::Arc;
use tidemill::time::{days, hours};
use tidemill_inference::{Pool, PoolConfig};
use tidemill_recommend::Ranked;
use tidemill_shop::{Currency, Rates, Rules};

/// Which shop is simulated.
#[derive(clap::Args, Clone, Debug)]
pub struct Shop {
    /// Shoppers.
    #[arg(long, value_name = "N", default_value_t = 3_000)]
    pub users: u64,
    /// Items.
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    pub items: u64,
    /// Categories.
    #[arg(long, value_name = "N", default_value_t = 40)]
    pub categories: u64,
    /// Days.
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub days: u32,
    /// Items that a shopper looks at, on average over all days.
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub views: u32,
    /// Draws everything.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub shop_seed: u64,
}

impl Shop {
    /// As the simulator wants it.
    pub fn settings(&self) -> Settings {
        let Shop { users, items, categories, days, views, shop_seed: seed } = *self;
        Settings { users, items, categories, days, views, seed, ..Settings::default() }
    }
}

/// What lines of a simulated shop may say.
pub fn rules() -> Rules {
    Rules::new(rates().unwrap_or_else(|_| unreachable!("all rates are above 0")))
}

/// What other currencies are worth.
fn rates() -> tidemill::Result<Rates> {
    RATES.iter().try_fold(Rates::new(own()), |rates, (code, rate)| match Currency::new(code) {
        Some(currency) => rates.with(currency, *rate),
        None => Ok(rates),
    })
}

/// The shop's own currency.
pub fn own() -> Currency {
    Currency::new("EUR").unwrap_or_else(|| unreachable!("it is one"))
}

/// The graph's options, with the models that are in `models`.
pub fn options(catalogue: Catalogue, models: Option<&Path>) -> Options {
    let there = |name: &str| models.filter(|folder| folder.join(format!("{name}.json")).exists());
    let taste = there(TASTE).map(|folder| Taste::pool(folder, TASTE, 20));
    let scorer = there(FRAUD).map(|folder| {
        let path = folder.join(FRAUD);
        Pool::new(PoolConfig::default(), move || Scorer::load(&path, Padding::No))
    });
    Options {
        keep: days(365),
        half_life: hours(24),
        refresh: None,
        rules: rules(),
        lists: recommend::live::Settings::default(),
        catalogue: Arc::new(catalogue),
        taste,
        scorer,
    }
}

/// The categories of a simulated shop.
pub fn catalogue(settings: &Settings) -> Catalogue {
    Catalogue::of(Simulation::new(settings.clone()))
}

/// A list for reading: each item with its reason.
pub fn print_list(list: &Ranked<u64, u64>, catalogue: &Catalogue) {
    for (place, entry) in (1..).zip(&list.entries) {
        let source = SOURCES.get(usize::from(entry.source)).copied().unwrap_or("suggested");
        let because = entry.because.map_or_else(String::new, |item| format!(" item {item}"));
        println!(
            "    {place:>2}. item {:<6} (category {:>3})   {source}{because}",
            entry.item,
            catalogue.category(entry.item)
        );
    }
}
