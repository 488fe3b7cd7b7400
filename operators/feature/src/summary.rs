//! What a window answers.

use serde::{Deserialize, Serialize};

use crate::array;

/// The answer to a question: one summary for each window, in the order of the windows.
pub type Answer<const N: usize, const W: usize, R = ()> = [Summary<N, R>; W];

/// What one window holds: `N` value columns, and the reading `R` of its [`Aggregate`](crate::Aggregate).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Summary<const N: usize, R = ()> {
    /// How many facts.
    pub count: u64,
    /// The sum of each value column; never wrapped and never rounded (see [`Refused::TooLarge`](crate::Refused)).
    #[serde(with = "array")]
    pub sums: [i64; N],
    /// What the chosen aggregates read.
    pub also: R,
}

impl<const N: usize, R> Summary<N, R> {
    /// The mean of a value column, `None` if the window is empty: the one reading that rounds.
    ///
    /// # Panics
    ///
    /// If there is no such column.
    pub fn mean(&self, column: usize) -> Option<f64> {
        let sum = self.sums[column] as f64;
        (self.count > 0).then(|| sum / self.count as f64)
    }
}
