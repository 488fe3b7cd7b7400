//! The benchmark's data set, generated bit for bit as the handbook's notebook does.
//!
//! The notebook draws from NumPy's legacy `RandomState` and from Python's `random` module. Both
//! are [the same generator](mt19937) with different seeding and different ways to turn its words
//! into numbers; [`numpy`] and [`python`] hold those.

pub mod mt19937;
pub mod numpy;
mod profiles;
pub mod python;
mod simulate;

pub use profiles::{Customer, Terminal, customers, terminals};
pub use simulate::transactions;

/// The data set, generated once for all tests.
#[cfg(test)]
pub(crate) static BENCHMARK: std::sync::LazyLock<Vec<crate::transaction::Transaction>> =
    std::sync::LazyLock::new(transactions);
