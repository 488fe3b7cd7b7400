//! Self-attention over the items of a history, each step looking back only.

use tch::{Kind as Number, Tensor};

use super::transformer::Norm;
use super::{Linear, Mode, Weights};
use crate::Error;
use crate::sasrec::Description;

/// Embedded items with learned places, blocks of causal attention, and the same embedding again to score items by.
///
/// Attention is scaled dot-product attention: softmax(QKᵀ / √d) V (Vaswani et al. 2017). A score made of a sum of query and
/// key, as in additive attention without its inner layer, would give every query the same weights: softmax does not see
/// what is added to all scores of a row.
pub(crate) struct SasRecLayers {
    /// `[items + 1, width]`; row 0 stands where there is no item.
    items: Tensor,
    places: Tensor,
    blocks: Vec<Block>,
    norm: Norm,
    heads: i64,
    dropout: f64,
}

struct Block {
    attention_norm: Norm,
    query: Linear,
    key_value: Linear,
    out: Linear,
    feed_forward_norm: Norm,
    widen: Linear,
    narrow: Linear,
}

impl SasRecLayers {
    pub(crate) fn new(mut weights: Weights<'_>, of: &Description) -> Result<Self, Error> {
        let [items, width, length, wide] = [of.items, of.width, of.length, of.feed_forward].map(|n| n as i64);
        let mut blocks = Vec::new();
        for block in 0..of.blocks {
            let mut all = weights.part("blocks");
            let mut weights = all.part(&block.to_string());
            blocks.push(Block {
                attention_norm: Norm::new(&mut weights.part("attention_norm"), width)?,
                query: weights.linear("query", width, width)?,
                key_value: weights.linear("key_value", width, 2 * width)?,
                out: weights.linear("out", width, width)?,
                feed_forward_norm: Norm::new(&mut weights.part("feed_forward_norm"), width)?,
                widen: weights.linear("widen", width, wide)?,
                narrow: weights.linear("narrow", wide, width)?,
            });
        }
        Ok(Self {
            items: weights.uniform("items", &[items + 1, width], 0.04)?,
            places: weights.uniform("places", &[length, width], 0.04)?,
            blocks,
            norm: Norm::new(&mut weights.part("norm"), width)?,
            heads: of.heads as i64,
            dropout: of.dropout,
        })
    }

    /// What the histories `[rows, steps]`, which begin at the left and have 0 behind their ends, lead to: `[rows, steps, width]`
    /// at each step, or `[rows, 1, width]` at the steps `last` `[rows]`.
    pub(crate) fn lead(&self, histories: &Tensor, last: Option<&Tensor>, mode: &mut Mode<'_>) -> Tensor {
        let steps = histories.size()[1];
        let embedded = Tensor::embedding(&self.items, histories, -1, false, false) + self.places.narrow(0, 0, steps);
        let mut stream = mode.dropout(embedded, self.dropout);
        for (left, block) in (0..self.blocks.len()).rev().zip(&self.blocks) {
            stream = block.forward(&stream, last.filter(|_| left == 0), (self.heads, self.dropout), mode);
        }
        self.norm.forward(&stream)
    }

    /// The scores of all items `[rows, items]` for what leads to them, `[rows, width]`.
    pub(crate) fn scores(&self, lead: &Tensor) -> Tensor {
        let items = self.items.size()[0] - 1;
        lead.matmul(&self.items.narrow(0, 1, items).transpose(0, 1))
    }
}

impl Block {
    /// With `last`, only those steps come out: of the last block nothing else is asked.
    fn forward(
        &self,
        stream: &Tensor,
        last: Option<&Tensor>,
        (heads, dropout): (i64, f64),
        mode: &mut Mode<'_>,
    ) -> Tensor {
        let (rows, steps, width) = stream.size3().unwrap_or_default();
        let head = width / heads;
        let normed = self.attention_norm.forward(stream);
        let key_value = self.key_value.forward(&normed).view([rows, steps, 2, heads, head]);
        let (key, value) = (key_value.select(2, 0).transpose(1, 2), key_value.select(2, 1).transpose(1, 2));
        let at_last =
            |of: &Tensor, last: &Tensor| of.gather(1, &last.view([rows, 1, 1]).expand([rows, 1, width], false), false);
        let (asked, asking) = match last {
            Some(last) => (at_last(&normed, last), at_last(stream, last)),
            None => (normed, stream.shallow_clone()),
        };
        let queries = asked.size()[1];
        let query = self.query.forward(&asked).view([rows, queries, heads, head]).transpose(1, 2);
        // Up to and with its own step: what lies behind the end of a history is behind all its steps.
        let visible = last.map(|last| {
            let places = Tensor::arange(steps, (Number::Int64, stream.device()));
            places.view([1, 1, 1, steps]).le_tensor(&last.view([rows, 1, 1, 1]))
        });
        let causal = visible.is_none();
        let seen = Tensor::scaled_dot_product_attention(&query, &key, &value, visible, 0.0, causal, None, false);
        let attended = self.out.forward(&seen.transpose(1, 2).reshape([rows, queries, width]));
        let stream = asking + mode.dropout(attended, dropout);
        let wide = self.widen.forward(&self.feed_forward_norm.forward(&stream)).gelu("none");
        let fed = self.narrow.forward(&mode.dropout(wide, dropout));
        stream + mode.dropout(fed, dropout)
    }
}
