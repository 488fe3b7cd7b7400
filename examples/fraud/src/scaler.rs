//! Standardisation of model inputs.

use serde::{Deserialize, Serialize};

use crate::features::INPUTS;

/// The mean and deviation of each input over the training rows, to subtract and to divide by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scaler {
    /// The mean of each input.
    pub mean: [f64; INPUTS],
    /// The standard deviation of each input over all rows (divided by n, as scikit-learn's
    /// `StandardScaler` does); 1 for an input that never varies.
    pub deviation: [f64; INPUTS],
}

impl Scaler {
    /// Measures the training rows; of no rows, all means are 0 and all deviations 1.
    pub fn fit(rows: &[[f32; INPUTS]]) -> Self {
        let count = rows.len().max(1) as f64;
        let mut mean = [0.0; INPUTS];
        for row in rows {
            for (mean, &input) in mean.iter_mut().zip(row) {
                *mean += f64::from(input) / count;
            }
        }
        let mut variance = [0.0; INPUTS];
        for row in rows {
            for ((variance, mean), &input) in variance.iter_mut().zip(mean).zip(row) {
                *variance += (f64::from(input) - mean).powi(2) / count;
            }
        }
        // Rounding leaves a trace of variance in an input that never varies.
        let varies = |input: usize| rows.iter().any(|row| row[input] != rows[0][input]);
        let deviation = std::array::from_fn(|input| if varies(input) { variance[input].sqrt() } else { 1.0 });
        Self { mean, deviation }
    }

    /// One row, standardised.
    pub fn apply(&self, row: &[f32; INPUTS]) -> [f32; INPUTS] {
        std::array::from_fn(|i| ((f64::from(row[i]) - self.mean[i]) / self.deviation[i]) as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn population_deviation() {
        let scaler = Scaler::fit(&[[0.1; INPUTS], [4.1; INPUTS]]);
        assert!((scaler.mean[3] - 2.1).abs() < 1e-6);
        assert!((scaler.deviation[3] - 2.0).abs() < 1e-6);
        assert_eq!(scaler.apply(&[4.1; INPUTS]), [1.0; INPUTS]);
    }

    #[test]
    fn constant_inputs_become_zero() {
        let rows = [[0.1; INPUTS]; 7];
        let scaler = Scaler::fit(&rows);
        assert_eq!(scaler.deviation, [1.0; INPUTS]);
        assert!(scaler.apply(&rows[0]).iter().all(|input| input.abs() < 1e-6));
    }

    #[test]
    fn nothing_to_fit() {
        assert_eq!(Scaler::fit(&[]).apply(&[3.0; INPUTS]), [3.0; INPUTS]);
    }
}
