//! Logistic regression.

use tch::Tensor;

use super::{Layers, Linear, Mode, Weights};
use crate::Error;

/// One linear layer on all of a row.
pub(super) struct Logistic {
    linear: Linear,
}

impl Logistic {
    pub(super) fn new(weights: &mut Weights<'_>, row: i64) -> Result<Self, Error> {
        Ok(Self { linear: weights.linear("linear", row, 1)? })
    }
}

impl Layers for Logistic {
    fn logits(&self, input: &Tensor, _: &mut Mode<'_>) -> Tensor {
        self.linear.forward(&input.flatten(1, -1)).squeeze_dim(-1)
    }
}
