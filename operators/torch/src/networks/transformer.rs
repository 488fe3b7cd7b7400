//! A small Transformer encoder that answers for the last step.

use tch::Tensor;

use super::{Layers, Linear, Mode, Weights};
use crate::{Architecture, Error, Kind};

/// An embedding of the steps with learned positions, encoder layers, and a linear layer on the last step.
pub(super) struct Transformer {
    embed: Linear,
    positions: Tensor,
    layers: Vec<Layer>,
    norm: Norm,
    last: Linear,
    dropout: f64,
}

impl Transformer {
    /// `architecture.network` must be [`Kind::Transformer`].
    pub(super) fn new(weights: &mut Weights<'_>, architecture: &Architecture) -> Result<Self, Error> {
        let Kind::Transformer { width, heads, layers, feed_forward, dropout } = architecture.network else {
            return Err(Error::Description("not a Transformer".into()));
        };
        let (width, heads, feed_forward) = (width as i64, heads as i64, feed_forward as i64);
        let sequence = architecture.sequence as i64;
        let encoder = (0..layers)
            .map(|layer| Layer::new(&mut weights.part("layers").part(&layer.to_string()), width, heads, feed_forward));
        Ok(Self {
            layers: encoder.collect::<Result<_, _>>()?,
            embed: weights.linear("embed", architecture.features as i64, width)?,
            positions: weights.uniform("positions", &[sequence, width], 0.02)?,
            norm: Norm::new(&mut weights.part("norm"), width)?,
            last: weights.linear("last", width, 1)?,
            dropout,
        })
    }
}

impl Layers for Transformer {
    fn logits(&self, input: &Tensor, mode: &mut Mode<'_>) -> Tensor {
        let mut stream = self.embed.forward(input) + &self.positions;
        for (layer, left) in self.layers.iter().zip((0..self.layers.len()).rev()) {
            // Of the last layer only the last step is asked for.
            let queries = if left == 0 { 1 } else { stream.size()[1] };
            stream = layer.forward(&stream, queries, self.dropout, mode);
        }
        self.last.forward(&self.norm.forward(&stream.select(1, -1))).squeeze_dim(-1)
    }
}

/// Self-attention and a feed-forward part, each normalised before and added to what came in.
struct Layer {
    attention_norm: Norm,
    attention: Attention,
    feed_forward_norm: Norm,
    widen: Linear,
    narrow: Linear,
}

impl Layer {
    fn new(weights: &mut Weights<'_>, width: i64, heads: i64, feed_forward: i64) -> Result<Self, Error> {
        Ok(Self {
            attention_norm: Norm::new(&mut weights.part("attention_norm"), width)?,
            attention: Attention::new(&mut weights.part("attention"), width, heads)?,
            feed_forward_norm: Norm::new(&mut weights.part("feed_forward_norm"), width)?,
            widen: weights.linear("widen", width, feed_forward)?,
            narrow: weights.linear("narrow", feed_forward, width)?,
        })
    }

    /// From `[rows, steps, width]` to the last `queries` steps of the same.
    fn forward(&self, stream: &Tensor, queries: i64, dropout: f64, mode: &mut Mode<'_>) -> Tensor {
        let attended = self.attention.forward(&self.attention_norm.forward(stream), queries);
        let steps = stream.size()[1];
        let stream = stream.narrow(1, steps - queries, queries) + mode.dropout(attended, dropout);
        let wide = self.widen.forward(&self.feed_forward_norm.forward(&stream)).gelu("none");
        let fed = self.narrow.forward(&wide);
        stream + mode.dropout(fed, dropout)
    }
}

/// Scaled dot-product attention of several heads, every step looking at all steps.
struct Attention {
    query: Linear,
    key_value: Linear,
    out: Linear,
    heads: i64,
}

impl Attention {
    fn new(weights: &mut Weights<'_>, width: i64, heads: i64) -> Result<Self, Error> {
        Ok(Self {
            query: weights.linear("query", width, width)?,
            key_value: weights.linear("key_value", width, 2 * width)?,
            out: weights.linear("out", width, width)?,
            heads,
        })
    }

    /// From `[rows, steps, width]` to what the last `queries` steps see, `[rows, queries, width]`.
    fn forward(&self, input: &Tensor, queries: i64) -> Tensor {
        let (rows, steps, width) = (input.size()[0], input.size()[1], input.size()[2]);
        let head = width / self.heads;
        let asked = input.narrow(1, steps - queries, queries);
        let query = self.query.forward(&asked).view([rows, queries, self.heads, head]).transpose(1, 2);
        let key_value = self.key_value.forward(input).view([rows, steps, 2, self.heads, head]);
        let key = key_value.select(2, 0).transpose(1, 2);
        let value = key_value.select(2, 1).transpose(1, 2);
        let seen = Tensor::scaled_dot_product_attention(&query, &key, &value, None::<Tensor>, 0.0, false, None, false);
        self.out.forward(&seen.transpose(1, 2).reshape([rows, queries, width]))
    }
}

/// Layer normalisation over the width.
pub(super) struct Norm {
    weight: Tensor,
    bias: Tensor,
}

impl Norm {
    pub(super) fn new(weights: &mut Weights<'_>, width: i64) -> Result<Self, Error> {
        Ok(Self { weight: weights.path.f_ones("weight", &[width])?, bias: weights.path.f_zeros("bias", &[width])? })
    }

    pub(super) fn forward(&self, input: &Tensor) -> Tensor {
        input.layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), 1e-5, true)
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind as Number, nn};

    use super::*;
    use crate::Random;

    /// The definition, written out number by number.
    fn naive(attention: &Attention, input: &[Vec<f32>], heads: usize) -> Vec<f32> {
        let apply = |linear: &Linear, input: &[f32]| -> Vec<f32> {
            Vec::<f32>::try_from(linear.forward(&Tensor::from_slice(input))).unwrap()
        };
        let width = input[0].len();
        let head = width / heads;
        let query = apply(&attention.query, &input[input.len() - 1]);
        let pairs: Vec<Vec<f32>> = input.iter().map(|step| apply(&attention.key_value, step)).collect();
        let mut seen = vec![0.0; width];
        for first in (0..heads).map(|number| number * head) {
            let weigh = |pair: &Vec<f32>| -> f32 {
                let product: f32 = (first..first + head).map(|i| query[i] * pair[i]).sum();
                (product / (head as f32).sqrt()).exp()
            };
            let weights: Vec<f32> = pairs.iter().map(weigh).collect();
            let total: f32 = weights.iter().sum();
            for (weight, pair) in weights.iter().zip(&pairs) {
                for i in first..first + head {
                    seen[i] += weight / total * pair[width + i];
                }
            }
        }
        apply(&attention.out, &seen)
    }

    #[test]
    fn attention_is_as_defined() {
        let store = nn::VarStore::new(Device::Cpu);
        let mut random = Random::new(5);
        let steps: Vec<Vec<f32>> = (0..7).map(|_| (0..8).map(|_| random.uniform(2.0)).collect()).collect();
        let mut weights = Weights { path: store.root(), random: &mut random };
        let attention = Attention::new(&mut weights, 8, 2).unwrap();

        let input = Tensor::from_slice(&steps.concat()).view([1, 7, 8]);
        let last = tch::no_grad(|| attention.forward(&input, 1)).view([-1]);
        let all = tch::no_grad(|| attention.forward(&input, 7)).select(1, -1).view([-1]);
        let expected = tch::no_grad(|| naive(&attention, &steps, 2));
        let expected = Tensor::from_slice(&expected).to_kind(Number::Float);
        assert!(last.allclose(&expected, 1e-5, 1e-6, false), "{last} {expected}");
        assert!(all.allclose(&expected, 1e-5, 1e-6, false), "{all} {expected}");
    }
}
