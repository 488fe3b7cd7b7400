//! Our models, with the settings that were best on the validation folds.

use tidemill_torch::{
    Kind,
    train::{Options, Schedule},
};

use super::{Ensemble, Inputs};

/// A model with all its settings but the seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// As it stands in the table.
    pub name: &'static str,
    /// What it sees of a payment.
    pub inputs: Inputs,
    /// How many of the customer's payments it sees, the one to be scored included.
    pub sequence: usize,
    /// Its layers.
    pub network: Kind,
    /// How it is trained.
    pub options: Options,
}

/// The handbook's LSTM: its hidden units, and five payments.
const LSTM: Kind = Kind::Lstm { hidden: 100, head: 500, dropout: 0.4, outputs: 2 };

/// The handbook's feed-forward network.
const MLP: Kind = Kind::Mlp { hidden: 500, layers: 1, dropout: 0.4 };

/// All our models. Names that end in `_15` see the handbook's inputs only.
pub fn specs() -> Vec<Spec> {
    let spec = |name, inputs, sequence, network, options| Spec { name, inputs, sequence, network, options };
    vec![
        spec("logistic_15", Inputs::Handbook, 1, Kind::Logistic, all_negatives(20, 256, 0.1)),
        spec("mlp_15", Inputs::Handbook, 1, MLP, all_negatives(20, 256, 0.003)),
        spec("lstm_15", Inputs::Handbook, 5, LSTM, some_negatives(16, 128, 0.002)),
        spec("transformer_15", Inputs::Handbook, 10, TRANSFORMER, some_negatives(16, 128, 0.002)),
        spec("logistic", Inputs::Windows, 1, Kind::Logistic, all_negatives(20, 256, 0.1)),
        spec("mlp", Inputs::Windows, 1, MLP, all_negatives(20, 256, 0.003)),
        spec("mlp_history", Inputs::All, 1, MLP, all_negatives(20, 256, 0.003)),
        spec("lstm", Inputs::All, 5, LSTM, some_negatives(16, 128, 0.002)),
        spec(
            "lstm_2",
            Inputs::All,
            5,
            Kind::StackedLstm { hidden: 128, layers: 2, dropout: 0.3 },
            some_negatives(12, 128, 0.002),
        ),
        spec("transformer", Inputs::All, 10, TRANSFORMER, some_negatives(16, 128, 0.002)),
    ]
}

/// A small Transformer encoder.
const TRANSFORMER: Kind = Kind::Transformer { width: 32, heads: 4, layers: 2, feed_forward: 64, dropout: 0.1 };

/// The best of ours: the mean of several networks' logits.
pub const ENSEMBLE: Ensemble<'static> =
    Ensemble { name: "ensemble", members: &[("mlp_history", 3), ("lstm", 1), ("lstm_2", 1), ("transformer", 3)] };

fn all_negatives(epochs: usize, batch: usize, learning_rate: f64) -> Options {
    Options {
        epochs,
        batch,
        learning_rate,
        negatives: 1.0,
        schedule: Schedule::Cosine,
        weight_decay: 0.0,
        seed: 0,
        stop: None,
    }
}

/// A fifth of the genuine payments in each epoch, which makes a sequence model's training five times faster.
fn some_negatives(epochs: usize, batch: usize, learning_rate: f64) -> Options {
    Options { negatives: 0.2, ..all_negatives(epochs, batch, learning_rate) }
}
