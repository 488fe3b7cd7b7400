//! What a network is, apart from its weights.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Error;

/// The shape of a network's input, and its layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// Steps in a row, the oldest first and the one to be scored last; 1 where there is no history.
    pub sequence: usize,
    /// Numbers in a step.
    pub features: usize,
    /// The layers.
    pub network: Kind,
}

/// The networks there are. All end in one logit a row, and the sigmoid of it is the score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Kind {
    /// Logistic regression on all steps' features.
    Logistic,
    /// `layers` times linear, ReLU, dropout on all steps' features, then linear.
    Mlp {
        /// Width of each hidden layer.
        hidden: usize,
        /// Hidden layers.
        layers: usize,
        /// Share of each hidden layer that is dropped in training.
        dropout: f64,
    },
    /// The fraud detection handbook's LSTM (chapter 7, SequentialModeling): one layer over the steps, its last hidden
    /// state through linear, ReLU, dropout, linear.
    Lstm {
        /// Width of the LSTM.
        hidden: usize,
        /// Width of the linear layer behind it; 500 in the handbook.
        head: usize,
        /// Share of the head that is dropped in training.
        dropout: f64,
        /// 2 for the handbook's two outputs, of which the difference is the logit; 1 for the logit itself.
        outputs: usize,
    },
    /// Several LSTM layers, the last hidden state of the last through one linear layer to a sigmoid.
    StackedLstm {
        /// Width of each layer.
        hidden: usize,
        /// Layers.
        layers: usize,
        /// Share of the last hidden state that is dropped in training.
        dropout: f64,
    },
    /// A Transformer encoder (Vaswani et al., "Attention is all you need", 2017) with learned positions and the
    /// normalisation before each part (Xiong et al., 2020). Its last layer works out the last step only.
    Transformer {
        /// Width of the residual stream, a multiple of `heads`.
        width: usize,
        /// Attention heads.
        heads: usize,
        /// Encoder layers.
        layers: usize,
        /// Width inside the feed-forward parts.
        feed_forward: usize,
        /// Share of each part's output that is dropped in training.
        dropout: f64,
    },
}

impl Architecture {
    /// Numbers in a row of input: `sequence × features`.
    pub fn row(&self) -> usize {
        self.sequence * self.features
    }

    /// # Errors
    ///
    /// [`Error::Description`] names what cannot be.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let at_least_one = |name: &str, size: usize| match size {
            0 => Err(Error::Description(format!("`{name}` is 0"))),
            // Sizes go to libtorch as 64-bit signed; and nobody means a width of a million.
            _ if size > 1_000_000 => Err(Error::Description(format!("`{name}` is {size}, more than a million"))),
            _ => Ok(()),
        };
        at_least_one("sequence", self.sequence)?;
        at_least_one("features", self.features)?;
        let dropout = match self.network {
            Kind::Logistic => 0.0,
            Kind::Mlp { hidden, layers, dropout } | Kind::StackedLstm { hidden, layers, dropout } => {
                at_least_one("hidden", hidden)?;
                at_least_one("layers", layers)?;
                dropout
            }
            Kind::Lstm { hidden, head, dropout, outputs } => {
                at_least_one("hidden", hidden)?;
                at_least_one("head", head)?;
                if outputs != 1 && outputs != 2 {
                    return Err(Error::Description(format!("`outputs` is {outputs}, not 1 or 2")));
                }
                dropout
            }
            Kind::Transformer { width, heads, layers, feed_forward, dropout } => {
                at_least_one("width", width)?;
                at_least_one("heads", heads)?;
                at_least_one("layers", layers)?;
                at_least_one("feed_forward", feed_forward)?;
                if !width.is_multiple_of(heads) {
                    return Err(Error::Description(format!("`width` {width} is no multiple of `heads` {heads}")));
                }
                dropout
            }
        };
        if !(0.0..1.0).contains(&dropout) {
            return Err(Error::Description(format!("`dropout` is {dropout}, not from 0 to below 1")));
        }
        Ok(())
    }
}

/// How inputs are brought to one scale: `(x - mean) / deviation`, feature by feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standard {
    /// Of each feature over the training rows.
    pub mean: Vec<f32>,
    /// Standard deviation of each feature over the training rows; 1 where a feature never changes.
    pub deviation: Vec<f32>,
}

impl Standard {
    /// Leaves `features` features as they are.
    pub fn none(features: usize) -> Self {
        Self { mean: vec![0.0; features], deviation: vec![1.0; features] }
    }

    /// From training rows of `features` numbers each, with the deviation of the whole (divided by n).
    pub fn of<'a>(features: usize, rows: impl IntoIterator<Item = &'a [f32]>) -> Self {
        let (mut count, mut sum, mut square) = (0.0, vec![0.0; features], vec![0.0; features]);
        for row in rows {
            count += 1.0;
            for ((sum, square), &value) in sum.iter_mut().zip(&mut square).zip(row) {
                *sum += f64::from(value);
                *square += f64::from(value) * f64::from(value);
            }
        }
        let count = f64::max(count, 1.0);
        let mean: Vec<f64> = sum.iter().map(|sum| sum / count).collect();
        let deviation = square.iter().zip(&mean).map(|(square, mean)| {
            let deviation = (square / count - mean * mean).max(0.0).sqrt();
            if deviation > 1e-6 * mean.abs() && deviation > 0.0 { deviation as f32 } else { 1.0 }
        });
        Self { deviation: deviation.collect(), mean: mean.iter().map(|&mean| mean as f32).collect() }
    }

    /// # Errors
    ///
    /// [`Error::Description`] names what cannot be.
    pub(crate) fn check(&self, features: usize) -> Result<(), Error> {
        entries("mean", self.mean.len(), features)?;
        entries("deviation", self.deviation.len(), features)?;
        if !self.mean.iter().all(|mean| mean.is_finite()) {
            return Err(Error::Description("`mean` holds something that is no number".into()));
        }
        if !self.deviation.iter().all(|deviation| deviation.is_finite() && *deviation > 0.0) {
            return Err(Error::Description("`deviation` holds something that is not above 0".into()));
        }
        Ok(())
    }
}

/// # Errors
///
/// [`Error::Description`] if there is not one entry for each feature.
fn entries(name: &str, len: usize, features: usize) -> Result<(), Error> {
    if len == features {
        return Ok(());
    }
    Err(Error::Description(format!("`{name}` has {len} entries for {features} features")))
}

/// All that is known of a network but its weights: what stands in `NAME.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// The layers, and the shape of the input.
    pub architecture: Architecture,
    /// The name of each feature, in order.
    pub inputs: Vec<String>,
    /// How the inputs are standardised, inside the network.
    pub standard: Standard,
    /// Whatever is worth knowing of the training: seed, days, measures. Never read here.
    #[serde(default)]
    pub training: Value,
}

impl Description {
    /// With inputs taken as they are; set `standard` for others.
    pub fn new<S: Into<String>>(architecture: Architecture, inputs: impl IntoIterator<Item = S>) -> Self {
        Self {
            inputs: inputs.into_iter().map(Into::into).collect(),
            standard: Standard::none(architecture.features),
            architecture,
            training: Value::Null,
        }
    }

    /// # Errors
    ///
    /// [`Error::Description`] names what cannot be.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.architecture.check()?;
        let features = self.architecture.features;
        entries("inputs", self.inputs.len(), features)?;
        self.standard.check(features)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standard_has_the_mean_and_deviation_of_the_rows() {
        let rows = [[1.0, 5.0], [3.0, 5.0]];
        let standard = Standard::of(2, rows.iter().map(<[f32; 2]>::as_slice));
        assert_eq!(standard, Standard { mean: vec![2.0, 5.0], deviation: vec![1.0, 1.0] });
    }

    #[test]
    fn what_cannot_be_is_named() {
        let of = |network| Architecture { sequence: 2, features: 3, network }.check();
        assert!(of(Kind::Logistic).is_ok());
        let error = of(Kind::Mlp { hidden: 0, layers: 1, dropout: 0.0 }).unwrap_err();
        assert!(error.to_string().contains("`hidden` is 0"), "{error}");
        let error = of(Kind::Mlp { hidden: 1, layers: 1, dropout: 1.0 }).unwrap_err();
        assert!(error.to_string().contains("dropout"), "{error}");
        let error =
            of(Kind::Transformer { width: 10, heads: 4, layers: 1, feed_forward: 8, dropout: 0.0 }).unwrap_err();
        assert!(error.to_string().contains("no multiple"), "{error}");

        let mut description =
            Description::new(Architecture { sequence: 1, features: 2, network: Kind::Logistic }, ["a"]);
        assert!(description.check().unwrap_err().to_string().contains("`inputs` has 1 entries for 2 features"));
        description.inputs.push("b".into());
        assert!(description.check().is_ok());
        description.standard.deviation[1] = 0.0;
        assert!(description.check().unwrap_err().to_string().contains("deviation"));
    }
}
