//! A feed-forward network.

use tch::Tensor;

use super::{Layers, Linear, Mode, Weights};
use crate::Error;

/// Hidden layers with ReLU and dropout, then a linear one.
pub(super) struct Mlp {
    hidden: Vec<Linear>,
    last: Linear,
    dropout: f64,
}

impl Mlp {
    pub(super) fn new(
        weights: &mut Weights<'_>,
        row: i64,
        hidden: i64,
        layers: usize,
        dropout: f64,
    ) -> Result<Self, Error> {
        let hidden_layers = (0..layers).map(|layer| {
            let inputs = if layer == 0 { row } else { hidden };
            weights.part("hidden").linear(&layer.to_string(), inputs, hidden)
        });
        Ok(Self { hidden: hidden_layers.collect::<Result<_, _>>()?, last: weights.linear("last", hidden, 1)?, dropout })
    }
}

impl Layers for Mlp {
    fn logits(&self, input: &Tensor, mode: &mut Mode<'_>) -> Tensor {
        let mut activity = input.flatten(1, -1);
        for layer in &self.hidden {
            activity = mode.dropout(layer.forward(&activity).relu_(), self.dropout);
        }
        self.last.forward(&activity).squeeze_dim(-1)
    }
}
