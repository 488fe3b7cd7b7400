//! The LSTM of the fraud detection handbook.

use tch::Tensor;

use super::{Layers, Linear, LstmLayers, Mode, Weights};
use crate::Error;

/// One LSTM layer with a head of two linear layers.
pub(super) struct Lstm {
    lstm: LstmLayers,
    head: Linear,
    last: Linear,
    dropout: f64,
}

impl Lstm {
    pub(super) fn new(
        weights: &mut Weights<'_>,
        [features, hidden, head, outputs]: [i64; 4],
        dropout: f64,
    ) -> Result<Self, Error> {
        Ok(Self {
            lstm: weights.lstm(features, hidden, 1)?,
            head: weights.linear("head", hidden, head)?,
            last: weights.linear("last", head, outputs)?,
            dropout,
        })
    }
}

impl Layers for Lstm {
    fn logits(&self, input: &Tensor, mode: &mut Mode<'_>) -> Tensor {
        let state = self.lstm.last_hidden(input, mode);
        let head = mode.dropout(self.head.forward(&state).relu_(), self.dropout);
        let outputs = self.last.forward(&head);
        match outputs.size()[1] {
            1 => outputs.squeeze_dim(-1),
            // The softmax of two is the sigmoid of their difference.
            _ => outputs.select(1, 1) - outputs.select(1, 0),
        }
    }
}
