//! A network with its weights.

use std::fmt;

use serde_json::Value;
use tch::{Device, Kind as Number, Tensor, nn};

use crate::networks::{self, Layers, Mode};
use crate::{Architecture, Description, Error, Random, Standard};

/// Layers with weights, and the description of both. It belongs to one thread at a time.
pub struct Network {
    description: Description,
    store: nn::VarStore,
    layers: Box<dyn Layers>,
    scale: Scale,
}

impl Network {
    /// A network with first weights drawn from `seed` as PyTorch draws them.
    ///
    /// # Errors
    ///
    /// [`Error::Description`] if the description cannot be; libtorch's own where memory ends.
    pub fn new(description: Description, seed: u64) -> Result<Self, Error> {
        description.check()?;
        let store = nn::VarStore::new(Device::Cpu);
        let layers = networks::build(&description.architecture, store.root(), &mut Random::new(seed))?;
        let scale = Scale::new(&description.standard)?;
        Ok(Self { description, store, layers, scale })
    }

    /// All that is known of it but the weights.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The shape of the input, and the layers.
    pub fn architecture(&self) -> &Architecture {
        &self.description.architecture
    }

    /// Notes how it was trained, to be saved with it.
    pub fn note_training(&mut self, training: Value) {
        self.description.training = training;
    }

    /// How many numbers were learned.
    pub fn weights(&self) -> usize {
        self.store.trainable_variables().iter().map(Tensor::numel).sum()
    }

    /// Logits `[rows]` of input `[rows, sequence, features]` in the inputs' own units. With a generator, the pass is
    /// one of training: dropout draws from it.
    ///
    /// # Errors
    ///
    /// [`Error::Dataset`] if the input has another shape.
    pub fn forward_t(&self, input: &Tensor, training: Option<&mut Random>) -> Result<Tensor, Error> {
        let Architecture { sequence, features, .. } = *self.architecture();
        match input.size()[..] {
            [_, steps, width] if (steps, width) == (sequence as i64, features as i64) => {}
            ref found => {
                let message = format!("the input has shape {found:?}, not [rows, {sequence}, {features}]");
                return Err(Error::Dataset(message));
            }
        }
        let input = self.scale.apply(input)?;
        Ok(self.logits(&input, training))
    }

    /// As [`Network::forward_t`], for input that is standardised already and has the right shape.
    pub(crate) fn logits(&self, input: &Tensor, training: Option<&mut Random>) -> Tensor {
        let mut mode = training.map_or(Mode::Score, Mode::Train);
        self.layers.logits(input, &mut mode)
    }

    /// A score from 0 to 1 for each row of `sequence × features` numbers, in the inputs' own units. Where a row's
    /// history is shorter than the sequence, [`Network::padding`] stands for the missing steps, at the front.
    ///
    /// What is NaN in a row makes that row's score NaN, no other's.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] if the length is no multiple of a row's.
    pub fn score(&self, input: &[f32]) -> Result<Vec<f32>, Error> {
        let Architecture { sequence, features, .. } = *self.architecture();
        let input = rows([sequence, features], input)?;
        tch::no_grad(|| {
            let scores = self.logits(&self.scale.apply(&input)?, None).sigmoid();
            to_vec(&scores)
        })
    }

    /// The step that stands for one that is missing: the training rows' mean.
    pub fn padding(&self) -> &[f32] {
        &self.description.standard.mean
    }

    pub(crate) fn store(&self) -> &nn::VarStore {
        &self.store
    }

    pub(crate) fn scale(&self) -> &Scale {
        &self.scale
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("description", &self.description).finish_non_exhaustive()
    }
}

/// A [`Standard`] as tensors: `x * factor + offset`.
pub(crate) struct Scale {
    factor: Tensor,
    offset: Tensor,
}

impl Scale {
    fn new(standard: &Standard) -> Result<Self, Error> {
        let factor: Vec<f32> = standard.deviation.iter().map(|deviation| 1.0 / deviation).collect();
        let offset: Vec<f32> = standard.mean.iter().zip(&factor).map(|(mean, factor)| -mean * factor).collect();
        Ok(Self { factor: Tensor::f_from_slice(&factor)?, offset: Tensor::f_from_slice(&offset)? })
    }

    /// Standardises `[…, features]`.
    pub(crate) fn apply(&self, input: &Tensor) -> Result<Tensor, Error> {
        Ok(self.offset.f_addcmul(input, &self.factor)?)
    }
}

/// Numbers in a row as a tensor `[rows, sequence, features]`.
pub(crate) fn rows([sequence, features]: [usize; 2], input: &[f32]) -> Result<Tensor, Error> {
    let row = sequence * features;
    if row == 0 || !input.len().is_multiple_of(row) {
        return Err(Error::Input { found: input.len(), row, sequence, features });
    }
    let shape = [(input.len() / row) as i64, sequence as i64, features as i64];
    Ok(Tensor::f_from_slice(input)?.f_view(shape)?)
}

/// A tensor's numbers, in order.
pub(crate) fn to_vec(tensor: &Tensor) -> Result<Vec<f32>, Error> {
    let flat = tensor.f_to_kind(Number::Float)?.f_contiguous()?;
    let mut numbers = vec![0.0; flat.numel()];
    flat.f_copy_data(&mut numbers, flat.numel())?;
    Ok(numbers)
}
