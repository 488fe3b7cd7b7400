//! The layers of each [`Kind`](crate::Kind), one file each.
//!
//! Shapes are checked where data enters a [`Network`](crate::Network), so the plain methods of `tch` do here.

pub(crate) mod autoencoder;
mod logistic;
mod lstm;
mod mlp;
pub(crate) mod sasrec;
mod stacked_lstm;
mod transformer;

use tch::{Tensor, nn};

use crate::{Architecture, Error, Kind, Random};

/// The layers of a network.
pub(crate) trait Layers: Send {
    /// From standardised input `[rows, sequence, features]` to logits `[rows]`.
    fn logits(&self, input: &Tensor, mode: &mut Mode<'_>) -> Tensor;
}

/// What a forward pass is for.
pub(crate) enum Mode<'a> {
    /// Scores: nothing is random.
    Score,
    /// Training: dropout draws from this generator.
    Train(&'a mut Random),
}

impl Mode<'_> {
    /// In training, sets each number to 0 with probability `p`, to the nearest 1/256, and scales the others so that
    /// the mean stays (Srivastava et al., "Dropout", 2014).
    fn dropout(&mut self, input: Tensor, p: f64) -> Tensor {
        let dropped = (p * 256.0).round() as i64;
        match self {
            Mode::Train(random) if dropped > 0 => {
                let mut bytes = vec![0; input.numel()];
                random.fill(&mut bytes);
                let kept = Tensor::from_slice(&bytes).view(input.size().as_slice()).ge(dropped);
                // Multiplying is several times faster than filling by a mask, forwards and backwards.
                &input * (kept.to_kind(input.kind()) * (256.0 / (256 - dropped) as f64))
            }
            _ => input,
        }
    }
}

/// Builds the layers and registers their weights, drawn from the generator.
///
/// # Errors
///
/// libtorch's, memory above all. The architecture has been checked.
pub(crate) fn build(
    architecture: &Architecture,
    path: nn::Path<'_>,
    random: &mut Random,
) -> Result<Box<dyn Layers>, Error> {
    let mut weights = Weights { path, random };
    let row = architecture.row() as i64;
    let features = architecture.features as i64;
    Ok(match architecture.network {
        Kind::Logistic => Box::new(logistic::Logistic::new(&mut weights, row)?),
        Kind::Mlp { hidden, layers, dropout } => {
            Box::new(mlp::Mlp::new(&mut weights, row, hidden as i64, layers, dropout)?)
        }
        Kind::Lstm { hidden, head, dropout, outputs } => {
            let sizes = [features, hidden as i64, head as i64, outputs as i64];
            Box::new(lstm::Lstm::new(&mut weights, sizes, dropout)?)
        }
        Kind::StackedLstm { hidden, layers, dropout } => {
            let (hidden, layers) = (hidden as i64, layers as i64);
            Box::new(stacked_lstm::StackedLstm::new(&mut weights, features, hidden, layers, dropout)?)
        }
        Kind::Transformer { .. } => Box::new(transformer::Transformer::new(&mut weights, architecture)?),
    })
}

/// Where layers get their weights from. Names and first values are PyTorch's, so that its files fit.
pub(crate) struct Weights<'a> {
    pub(crate) path: nn::Path<'a>,
    pub(crate) random: &'a mut Random,
}

impl Weights<'_> {
    /// A part's own weights, under `name.`.
    fn part(&mut self, name: &str) -> Weights<'_> {
        Weights { path: &self.path / name, random: self.random }
    }

    /// A tensor with values from `-bound` to `bound`.
    fn uniform(&mut self, name: &str, shape: &[i64], bound: f32) -> Result<Tensor, Error> {
        let len = shape.iter().product::<i64>() as usize;
        let values: Vec<f32> = (0..len).map(|_| self.random.uniform(bound)).collect();
        let values = Tensor::f_from_slice(&values)?.f_reshape(shape)?;
        Ok(self.path.f_var_copy(name, &values)?)
    }

    /// A linear layer.
    fn linear(&mut self, name: &str, inputs: i64, outputs: i64) -> Result<Linear, Error> {
        let bound = 1.0 / (inputs as f32).sqrt();
        let mut part = self.part(name);
        Ok(Linear {
            weight: part.uniform("weight", &[outputs, inputs], bound)?,
            bias: part.uniform("bias", &[outputs], bound)?,
        })
    }

    /// The weights of `layers` LSTM layers, as `Tensor::lstm` wants them.
    fn lstm(&mut self, inputs: i64, hidden: i64, layers: i64) -> Result<LstmLayers, Error> {
        let bound = 1.0 / (hidden as f32).sqrt();
        let mut part = self.part("lstm");
        let mut weights = Vec::new();
        for layer in 0..layers {
            let width = if layer == 0 { inputs } else { hidden };
            weights.push(part.uniform(&format!("weight_ih_l{layer}"), &[4 * hidden, width], bound)?);
            weights.push(part.uniform(&format!("weight_hh_l{layer}"), &[4 * hidden, hidden], bound)?);
            weights.push(part.uniform(&format!("bias_ih_l{layer}"), &[4 * hidden], bound)?);
            weights.push(part.uniform(&format!("bias_hh_l{layer}"), &[4 * hidden], bound)?);
        }
        Ok(LstmLayers { weights, hidden, layers })
    }
}

/// `x W' + b`.
struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    fn forward(&self, input: &Tensor) -> Tensor {
        input.linear(&self.weight, Some(&self.bias))
    }
}

/// LSTM layers, one upon the other.
struct LstmLayers {
    weights: Vec<Tensor>,
    hidden: i64,
    layers: i64,
}

impl LstmLayers {
    /// From `[rows, sequence, features]` to the last layer's hidden state after the last step, `[rows, hidden]`.
    fn last_hidden(&self, input: &Tensor, mode: &Mode<'_>) -> Tensor {
        // Steps first: a step's rows lie together then, and every step is one matrix product without a copy.
        let steps = input.transpose(0, 1).contiguous();
        let rows = input.size()[0];
        let zero = Tensor::zeros([self.layers, rows, self.hidden], (input.kind(), input.device()));
        let train = matches!(mode, Mode::Train(_));
        let (outputs, _, _) =
            steps.lstm(&[zero.shallow_clone(), zero], &self.weights, true, self.layers, 0.0, train, false, false);
        outputs.select(0, -1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropout_keeps_the_mean_and_scores_are_certain() {
        let ones = Tensor::ones([400, 250], (tch::Kind::Float, tch::Device::Cpu));
        let mut random = Random::new(1);
        let dropped = Mode::Train(&mut random).dropout(ones.shallow_clone(), 0.4);
        let zeros = dropped.eq(0.0).sum(tch::Kind::Int64).int64_value(&[]);
        assert!((39_000..41_000).contains(&zeros), "{zeros}");
        assert!((dropped.mean(None).double_value(&[]) - 1.0).abs() < 0.01);
        assert_eq!(Mode::Train(&mut random).dropout(ones.shallow_clone(), 0.0), ones);
        assert_eq!(Mode::Score.dropout(ones.shallow_clone(), 0.4), ones);
    }
}
