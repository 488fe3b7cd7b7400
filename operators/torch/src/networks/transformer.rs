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
            let asked = |stream: &Tensor| stream.narrow(1, stream.size()[1] - queries, queries);
            stream = layer.forward(&stream, asked, Visible::All, [self.dropout, 0.0], mode);
        }
        self.last.forward(&self.norm.forward(&stream.select(1, -1))).squeeze_dim(-1)
    }
}

/// Self-attention and a feed-forward part, each normalised before and added to what came in.
pub(super) struct Layer {
    attention_norm: Norm,
    attention: Attention,
    feed_forward_norm: Norm,
    widen: Linear,
    narrow: Linear,
}

/// Which steps a step looks at.
#[derive(Clone, Copy)]
pub(super) enum Visible<'a> {
    /// All.
    All,
    /// Itself and those before it.
    UpToItself,
    /// Those where this is true, `[rows, heads or 1, asking steps, steps]`.
    These(&'a Tensor),
}

impl Layer {
    pub(super) fn new(weights: &mut Weights<'_>, width: i64, heads: i64, feed_forward: i64) -> Result<Self, Error> {
        Ok(Self {
            attention_norm: Norm::new(&mut weights.part("attention_norm"), width)?,
            attention: Attention::new(&mut weights.part("attention"), width, heads)?,
            feed_forward_norm: Norm::new(&mut weights.part("feed_forward_norm"), width)?,
            widen: weights.linear("widen", width, feed_forward)?,
            narrow: weights.linear("narrow", feed_forward, width)?,
        })
    }

    /// From `[rows, steps, width]` to the same of those steps that `asked` picks: of a last layer nothing else is needed. The
    /// shares that training sets to 0 are of what is added, and of what is between the two feed-forward layers.
    pub(super) fn forward(
        &self,
        stream: &Tensor,
        asked: impl Fn(&Tensor) -> Tensor,
        visible: Visible<'_>,
        [added, between]: [f64; 2],
        mode: &mut Mode<'_>,
    ) -> Tensor {
        let normed = self.attention_norm.forward(stream);
        let attended = self.attention.forward(&asked(&normed), &normed, visible);
        let stream = asked(stream) + mode.dropout(attended, added);
        let wide = self.widen.forward(&self.feed_forward_norm.forward(&stream)).gelu("none");
        let fed = self.narrow.forward(&mode.dropout(wide, between));
        stream + mode.dropout(fed, added)
    }
}

/// Scaled dot-product attention of several heads: softmax(QKᵀ / √d) V (Vaswani et al. 2017).
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

    /// What the steps `asked`, `[rows, queries, width]`, see of all, `[rows, steps, width]`.
    fn forward(&self, asked: &Tensor, input: &Tensor, visible: Visible<'_>) -> Tensor {
        let (rows, steps, width) = (input.size()[0], input.size()[1], input.size()[2]);
        let (queries, head) = (asked.size()[1], width / self.heads);
        let query = self.query.forward(asked).view([rows, queries, self.heads, head]).transpose(1, 2);
        let key_value = self.key_value.forward(input).view([rows, steps, 2, self.heads, head]);
        let key = key_value.select(2, 0).transpose(1, 2);
        let value = key_value.select(2, 1).transpose(1, 2);
        let (mask, causal) = match visible {
            Visible::All => (None, false),
            Visible::UpToItself => (None, true),
            Visible::These(mask) => (Some(mask), false),
        };
        let seen = Tensor::scaled_dot_product_attention(&query, &key, &value, mask, 0.0, causal, None, false);
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
        let see = |asked: &Tensor, visible: Visible<'_>| tch::no_grad(|| attention.forward(asked, &input, visible));
        let last = see(&input.narrow(1, 6, 1), Visible::All).view([-1]);
        let all = see(&input, Visible::All).select(1, -1).view([-1]);
        let expected = tch::no_grad(|| naive(&attention, &steps, 2));
        let expected = Tensor::from_slice(&expected).to_kind(Number::Float);
        assert!(last.allclose(&expected, 1e-5, 1e-6, false), "{last} {expected}");
        assert!(all.allclose(&expected, 1e-5, 1e-6, false), "{all} {expected}");

        let four = Tensor::from_slice(&[true, true, true, true, false, false, false]).view([1, 1, 1, 7]);
        let masked = see(&input.narrow(1, 3, 1), Visible::These(&four)).view([-1]);
        let causal = see(&input, Visible::UpToItself).select(1, 3).view([-1]);
        let expected = Tensor::from_slice(&tch::no_grad(|| naive(&attention, &steps[..4], 2))).to_kind(Number::Float);
        assert!(masked.allclose(&expected, 1e-5, 1e-6, false), "{masked} {expected}");
        assert!(causal.allclose(&expected, 1e-5, 1e-6, false), "{causal} {expected}");
    }
}
