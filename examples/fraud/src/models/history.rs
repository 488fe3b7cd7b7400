//! A customer's latest payments.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::inputs::{ALL_INPUTS, Usual, all};
use crate::{features::Features, transaction::DAY};

/// How many earlier payments say what is usual for a customer.
const REMEMBERED: usize = 32;

/// How many payments the longest sequence of a model holds.
pub const LONGEST: usize = 10;

/// How far back a large payment is still recent, in seconds.
const RECENT: u32 = 14 * DAY;

/// The latest payments of one customer: all that its next payment's inputs and sequence need beside the windows.
///
/// It is the state of a keyed operator, so it can be written to a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Second and cents of the payments before, the oldest first.
    amounts: VecDeque<(u32, u32)>,
    /// The inputs of the last payments, this one included, the oldest first.
    steps: VecDeque<[f32; ALL_INPUTS]>,
}

impl History {
    /// Takes up the customer's next payment, in the order of the data set, and gives its inputs.
    pub fn push(&mut self, features: &Features) -> [f32; ALL_INPUTS] {
        let inputs = all(features, self.usual(features));
        if self.amounts.len() == REMEMBERED {
            self.amounts.pop_front();
        }
        self.amounts.push_back((features.sec, features.cents));
        if self.steps.len() == LONGEST {
            self.steps.pop_front();
        }
        self.steps.push_back(inputs);
        inputs
    }

    /// Appends the last `len` payments' inputs, the oldest first, the one taken up last at the end. `padding`
    /// stands for payments that never were; its length says how many inputs the model sees. No more than [`LONGEST`]
    /// payments are remembered.
    pub fn sequence(&self, len: usize, padding: &[f32], row: &mut Vec<f32>) {
        let known = self.steps.len().min(len);
        for _ in known..len {
            row.extend_from_slice(padding);
        }
        for step in self.steps.iter().skip(self.steps.len() - known) {
            row.extend(step.iter().take(padding.len()));
        }
    }

    /// What the earlier payments say about one.
    fn usual(&self, now: &Features) -> Usual {
        if self.amounts.is_empty() {
            return Usual { deviations: 0.0, largest_ratio: 1.0 };
        }
        let mut amounts: Vec<u32> = self.amounts.iter().map(|&(_, cents)| cents).collect();
        amounts.sort_unstable();
        let median = units(amounts[amounts.len() / 2]);
        // Without the largest tenth, among which the frauds would be.
        let common = &amounts[..amounts.len() - amounts.len() / 10];
        let count = common.len() as f64;
        let mean = common.iter().map(|&cents| units(cents)).sum::<f64>() / count;
        let variance = common.iter().map(|&cents| (units(cents) - mean).powi(2)).sum::<f64>() / count;
        // A tenth of the mean and one unit keep the division sound where all amounts are alike.
        let deviations = (units(now.cents) - mean) / (variance.sqrt() + 0.1 * mean + 1.0);
        let recent = self.amounts.iter().filter(|(sec, _)| sec + RECENT >= now.sec);
        let largest = recent.map(|&(_, cents)| units(cents)).fold(0.0, f64::max);
        Usual { deviations: deviations.clamp(-5.0, 20.0), largest_ratio: (largest + 1.0) / (median + 1.0) }
    }
}

/// Cents as currency units.
fn units(cents: u32) -> f64 {
    f64::from(cents) / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::WINDOW_INPUTS;

    fn payment(day: u32, units: u32) -> Features {
        Features { sec: day * DAY, cents: 100 * units, ..Features::default() }
    }

    /// The two inputs that come from earlier payments.
    fn ours(inputs: [f32; ALL_INPUTS]) -> [f32; 2] {
        [inputs[WINDOW_INPUTS], inputs[WINDOW_INPUTS + 1]]
    }

    #[test]
    fn a_payment_is_compared_with_those_before() {
        let mut history = History::default();
        assert_eq!(ours(history.push(&payment(0, 500))), [0.0, 0.0], "nothing is unusual of the first");
        for day in 1..10 {
            history.push(&payment(day, 9));
        }
        // The largest of the ten does not count for what is usual: mean 9, deviation 0, so the step is 0.9 + 1.
        let [deviations, largest] = ours(history.push(&payment(13, 28)));
        assert!((deviations - 10.0).abs() < 1e-5, "{deviations}");
        assert!((largest - (501.0f32 / 10.0).ln()).abs() < 1e-5, "{largest}");
        let [deviations, largest] = ours(history.push(&payment(15, 9)));
        assert!(deviations.abs() < 0.4, "{deviations}");
        assert!((largest - (29.0f32 / 10.0).ln()).abs() < 1e-5, "two weeks after the 500: {largest}");
    }

    #[test]
    fn it_stays_small_and_survives_a_checkpoint() {
        let mut history = History::default();
        for day in 0..100 {
            history.push(&payment(day, day));
        }
        assert_eq!((history.amounts.len(), history.steps.len()), (REMEMBERED, LONGEST));
        let bytes = serde_json::to_vec(&history).unwrap();
        assert_eq!(serde_json::from_slice::<History>(&bytes).unwrap(), history);
    }
}
