//! Which shop it is.

use tidemill::Millis;

/// What a unit of other currencies is worth in the shop's own, which is the euro.
pub const RATES: [(&str, f64); 2] = [("USD", 0.92), ("JPY", 0.0061)];

/// Which shop is simulated. The same settings give the same shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Shoppers: they are the numbers from 1 on.
    pub users: u64,
    /// Items: they are the numbers from 1 on.
    pub items: u64,
    /// Categories: they are the numbers from 1 on.
    pub categories: u64,
    /// Days.
    pub days: u32,
    /// Items that a shopper looks at, on average over all days.
    pub views: u32,
    /// Draws everything.
    pub seed: u64,
    /// When the first day begins, in ms since 1970 UTC: 2018-04-01 by default.
    pub start: Millis,
}

impl Default for Settings {
    fn default() -> Self {
        let start = 1_522_540_800_000;
        Settings { users: 3_000, items: 2_000, categories: 40, days: 42, views: 60, seed: 1, start }
    }
}
