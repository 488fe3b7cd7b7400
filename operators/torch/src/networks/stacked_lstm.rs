//! LSTM layers, one upon the other.

use tch::Tensor;

use super::{Layers, Linear, LstmLayers, Mode, Weights};
use crate::Error;

/// Several LSTM layers with a linear head.
pub(super) struct StackedLstm {
    lstm: LstmLayers,
    last: Linear,
    dropout: f64,
}

impl StackedLstm {
    pub(super) fn new(
        weights: &mut Weights<'_>,
        features: i64,
        hidden: i64,
        layers: i64,
        dropout: f64,
    ) -> Result<Self, Error> {
        Ok(Self { lstm: weights.lstm(features, hidden, layers)?, last: weights.linear("last", hidden, 1)?, dropout })
    }
}

impl Layers for StackedLstm {
    fn logits(&self, input: &Tensor, mode: &mut Mode<'_>) -> Tensor {
        let state = self.lstm.last_hidden(input, mode);
        self.last.forward(&mode.dropout(state, self.dropout)).squeeze_dim(-1)
    }
}
