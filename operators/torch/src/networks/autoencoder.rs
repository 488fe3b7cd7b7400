//! A network that makes its input again, through a narrow middle.

use tch::{Tensor, nn};

use super::{Linear, Weights};
use crate::{Error, Random};

/// Linear layers with tanh between them.
///
/// Tanh and not ReLU, for it is bounded: what is far outside the training rows cannot pass the middle and come out as
/// far outside, so it is rebuilt badly, as it should be.
pub(crate) struct Mirror {
    layers: Vec<Linear>,
}

impl Mirror {
    /// Layers of `sizes[0]` inputs, `sizes[1]`, … and `sizes.last()` outputs.
    pub(crate) fn new(path: nn::Path<'_>, sizes: &[usize], random: &mut Random) -> Result<Self, Error> {
        let mut weights = Weights { path, random };
        let layers = sizes.windows(2).enumerate().map(|(layer, size)| {
            let (inputs, outputs) = (size[0] as i64, size[1] as i64);
            weights.part("layers").linear(&layer.to_string(), inputs, outputs)
        });
        Ok(Mirror { layers: layers.collect::<Result<_, _>>()? })
    }

    /// From `[rows, inputs]` to the same, in the input's precision.
    pub(crate) fn forward(&self, input: &Tensor) -> Tensor {
        let mut activity = input.shallow_clone();
        for (number, Linear { weight, bias }) in self.layers.iter().enumerate() {
            if number > 0 {
                activity = activity.tanh();
            }
            activity = activity.linear(&weight.to_kind(input.kind()), Some(&bias.to_kind(input.kind())));
        }
        activity
    }
}
