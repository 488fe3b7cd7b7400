//! Examples of sequences of rows, gathered batch by batch.

use tch::{Device, Kind as Number, Tensor};

use crate::{Error, Network, network};

/// The number of a step that is missing from a sequence.
pub const PADDING: i64 = -1;

/// A table of feature rows that examples refer to by number. A clone is the same table.
#[derive(Debug)]
pub struct Rows {
    /// `[1 + rows, features]`; row 0 stands for padding.
    table: Tensor,
}

impl Rows {
    /// A table of `features` numbers a row, in the inputs' own units.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] if the length is no multiple of `features`.
    pub fn new(features: usize, rows: &[f32]) -> Result<Self, Error> {
        let rows = network::rows([1, features], rows)?.f_squeeze_dim(1)?;
        let padding = Tensor::f_zeros([1, features as i64], (Number::Float, Device::Cpu))?;
        Ok(Self { table: Tensor::f_cat(&[padding, rows], 0)? })
    }

    fn len(&self) -> i64 {
        self.table.size()[0] - 1
    }
}

impl Clone for Rows {
    fn clone(&self) -> Self {
        Self { table: self.table.shallow_clone() }
    }
}

/// Examples to train on or to score: each a sequence of numbers of rows.
///
/// Sequences are gathered batch by batch, so that a row which stands in many of them is kept once.
#[derive(Debug)]
pub struct Dataset {
    rows: Rows,
    /// `[examples, sequence]`, one more than the caller's numbers, so that 0 is padding.
    index: Tensor,
}

impl Dataset {
    /// Examples of `sequence` steps each, the oldest first, as numbers of rows or [`PADDING`]. Examples should stand
    /// in the order of time, so that the last ones can serve to stop early.
    ///
    /// # Errors
    ///
    /// [`Error::Dataset`] for a length that is no multiple of `sequence`, or a number that no row has.
    pub fn new(rows: &Rows, sequence: usize, index: &[i64]) -> Result<Self, Error> {
        if sequence == 0 || !index.len().is_multiple_of(sequence) {
            return Err(Error::Dataset(format!("{} numbers of rows for sequences of {sequence}", index.len())));
        }
        if let Some(wrong) = index.iter().find(|&&row| row < PADDING || row >= rows.len()) {
            return Err(Error::Dataset(format!("an example names row {wrong} of {}", rows.len())));
        }
        let shape = [(index.len() / sequence) as i64, sequence as i64];
        let index = (Tensor::f_from_slice(index)?.f_view(shape)?).f_add_scalar(1)?;
        Ok(Self { rows: rows.clone(), index })
    }

    /// The number of examples.
    pub fn len(&self) -> usize {
        self.index.size()[0] as usize
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same, standardised for `network`, with padding at the mean.
    pub(super) fn standardised(&self, network: &Network) -> Result<Self, Error> {
        let architecture = network.architecture();
        let found = [self.index.size()[1], self.rows.table.size()[1]];
        let wanted = [architecture.sequence as i64, architecture.features as i64];
        if found != wanted {
            let message = format!("its examples are {found:?}, the network takes {wanted:?} (steps, features)");
            return Err(Error::Dataset(message));
        }
        let table = network.scale().apply(&self.rows.table)?;
        let _padding = table.select(0, 0).f_zero_()?;
        Ok(Self { rows: Rows { table }, index: self.index.shallow_clone() })
    }

    /// The examples of those numbers, `[examples, sequence, features]`.
    pub(super) fn gather(&self, examples: &Tensor) -> Tensor {
        let index = self.index.index_select(0, examples);
        let shape = [index.size()[0], index.size()[1], self.rows.table.size()[1]];
        self.rows.table.index_select(0, &index.view([-1])).view(shape)
    }
}
