//! Self-attention over the items of a history, each step looking back only.

use std::cell::OnceCell;

use tch::{Kind as Number, Tensor};

use super::transformer::{Layer, Norm, Visible};
use super::{Mode, Weights};
use crate::Error;
use crate::sasrec::{Description, EMBEDDINGS};

/// Embedded items with learned places, blocks of causal attention, and the same embedding again to score items by.
///
/// Attention is scaled dot-product attention: softmax(QKᵀ / √d) V (Vaswani et al. 2017). A score made of a sum of query and
/// key, as in additive attention without its inner layer, would give every query the same weights: softmax does not see
/// what is added to all scores of a row.
pub(crate) struct SasRecLayers {
    /// `[items + 1, width]`; row 0 stands where there is no item.
    items: Tensor,
    places: Tensor,
    blocks: Vec<Layer>,
    norm: Norm,
    dropout: f64,
    /// What embeddings are multiplied by before places are added.
    scale: f64,
    /// What cosines are divided by, where scores are such.
    temperature: Option<f64>,
    /// The rows of `items` at length 1, where scores are cosines: as long as no step of training changes them.
    units: OnceCell<Tensor>,
}

impl SasRecLayers {
    pub(crate) fn new(mut weights: Weights<'_>, of: &Description) -> Result<Self, Error> {
        let [items, width, length, wide] = [of.items, of.width, of.length, of.feed_forward].map(|n| n as i64);
        let block = |block: usize| {
            let mut all = weights.part("blocks");
            Layer::new(&mut all.part(&block.to_string()), width, of.heads as i64, wide)
        };
        let blocks = (0..of.blocks).map(block).collect::<Result<_, _>>()?;
        Ok(Self {
            items: weights.uniform(EMBEDDINGS, &[items + 1, width], 0.04)?,
            places: weights.uniform("places", &[length, width], 0.04)?,
            blocks,
            norm: Norm::new(&mut weights.part("norm"), width)?,
            dropout: of.dropout,
            scale: if of.scaled { (of.width as f64).sqrt() } else { 1.0 },
            temperature: of.temperature,
            units: OnceCell::new(),
        })
    }

    /// Makes embeddings of which only the direction counts 1 long: the longer they are, the less a step of training turns them.
    pub(crate) fn normalise(&mut self) -> Result<(), Error> {
        let units = self.scored(self.items.shallow_clone());
        tch::no_grad(|| self.items.f_copy_(&units))?;
        self.changed();
        Ok(())
    }

    /// The weights have changed.
    pub(crate) fn changed(&mut self) {
        self.units.take();
    }

    /// What items or what leads to them are scored by.
    fn scored(&self, rows: Tensor) -> Tensor {
        match self.temperature {
            None => rows,
            Some(_) => &rows / rows.norm_scalaropt_dim(2.0, [-1i64], true).clamp_min(1e-6),
        }
    }

    /// What the histories `[rows, steps]`, which begin at the left and have 0 behind their ends, lead to: `[rows, steps, width]`
    /// at each step, or `[rows, 1, width]` at the steps `last` `[rows]`.
    pub(crate) fn lead(&self, histories: &Tensor, last: Option<&Tensor>, mode: &mut Mode<'_>) -> Tensor {
        let steps = histories.size()[1];
        let items = self.scored(Tensor::embedding(&self.items, histories, -1, false, false));
        let mut stream = mode.dropout(items * self.scale + self.places.narrow(0, 0, steps), self.dropout);
        for (left, block) in (0..self.blocks.len()).rev().zip(&self.blocks) {
            let dropout = [self.dropout; 2];
            // A step looks back only, so what lies behind a history's end is seen by none of its steps.
            stream = match last.filter(|_| left == 0) {
                None => block.forward(&stream, Tensor::shallow_clone, Visible::UpToItself, dropout, mode),
                Some(last) => {
                    let (rows, width) = (stream.size()[0], stream.size()[2]);
                    let at_last = last.view([rows, 1, 1]).expand([rows, 1, width], false);
                    let places = Tensor::arange(steps, (Number::Int64, stream.device()));
                    let visible = places.view([1, 1, 1, steps]).le_tensor(&last.view([rows, 1, 1, 1]));
                    let asked = |of: &Tensor| of.gather(1, &at_last, false);
                    block.forward(&stream, asked, Visible::These(&visible), dropout, mode)
                }
            };
        }
        let lead = self.scored(self.norm.forward(&stream));
        match self.temperature {
            None => lead,
            Some(temperature) => lead / temperature,
        }
    }

    /// The scores of all items `[rows, items]` for what leads to them, `[rows, width]`.
    pub(crate) fn scores(&self, lead: &Tensor) -> Tensor {
        lead.matmul(&self.items_of(0, self.items.size()[0] - 1, lead.requires_grad()).transpose(0, 1))
    }

    /// The scores of at most `count` items, the first of which has the number `first` + 1, `[items, rows]`.
    pub(crate) fn scores_of(&self, lead: &Tensor, first: i64, count: i64) -> Tensor {
        let items = self.items_of(first, count, lead.requires_grad());
        match lead.size()[0] % 16 {
            // A product reads its left factor where it lies and copies the other first, which should not be the catalogue: with
            // 32 rows it takes a sixth less. It makes 16 columns at a time; any other number is faster as rows.
            0 => items.matmul(&lead.transpose(0, 1)),
            _ => lead.matmul(&items.transpose(0, 1)).transpose(0, 1),
        }
    }

    /// What those items are scored by.
    fn items_of(&self, first: i64, count: i64, learns: bool) -> Tensor {
        let count = count.min(self.items.size()[0] - 1 - first);
        let part = |of: &Tensor| of.narrow(0, first + 1, count);
        match self.temperature {
            Some(_) if !learns => part(self.units.get_or_init(|| self.scored(self.items.shallow_clone()))),
            _ => self.scored(part(&self.items)),
        }
    }

    /// The scores of these items `[count]`, by their numbers, for each of what leads to them: `[rows, count]`.
    pub(crate) fn scores_among(&self, lead: &Tensor, items: &Tensor) -> Tensor {
        lead.matmul(&self.scored(self.items.index_select(0, items)).transpose(0, 1))
    }

    /// The score of one item for each of what leads to them, `[rows]`.
    pub(crate) fn scores_each(&self, lead: &Tensor, items: &Tensor) -> Tensor {
        (lead * self.scored(self.items.index_select(0, items))).sum_dim_intlist(-1, false, Number::Float)
    }
}
