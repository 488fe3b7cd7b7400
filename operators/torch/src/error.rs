//! What can go wrong, and what to do about it.

use std::path::PathBuf;

use tch::TchError;

/// Why a network could not be built, loaded, saved, trained or asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read.
    #[error("cannot read {path}: {source}; check the path, or train and save the model first")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {path}: {source}; check that the folder exists and has room")]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The JSON beside the weights is not a description.
    #[error("{path} is not a model's description: {source}; save the model again")]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A description contradicts itself or asks for the impossible.
    #[error("the model's description cannot be: {0}")]
    Description(String),
    /// The weights are not in the safetensors format.
    #[error("{path} does not hold weights as safetensors: {reason}; save the model again")]
    Weights {
        /// The file.
        path: PathBuf,
        /// The reader's reason.
        reason: String,
    },
    /// The weights lack a tensor that the architecture has.
    #[error("{path} has no tensor `{name}`; its description names another architecture than the weights are of")]
    MissingTensor {
        /// The weights.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// The weights hold a tensor that the architecture has not.
    #[error(
        "{path} has a tensor `{name}` too many; its description names another architecture than the weights are of"
    )]
    ExtraTensor {
        /// The weights.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A tensor has another shape than the architecture says.
    #[error(
        "tensor `{name}` in {path} has shape {found:?}, its description says {expected:?}; \
         put the description beside the weights that it was saved with"
    )]
    TensorShape {
        /// The weights.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The shape by the description.
        expected: Vec<i64>,
        /// The shape in the file.
        found: Vec<i64>,
    },
    /// A tensor holds other things than floats, or the 8-bit numbers that some models write where they do.
    #[error("tensor `{name}` in {path} holds {found}, not 32-bit floats; convert the weights to float32")]
    TensorKind {
        /// The weights.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What it holds.
        found: String,
    },
    /// A tensor holds a number that is not one, or is infinite.
    #[error("tensor `{name}` in {path} holds NaN or infinity; train the model again, with a smaller learning rate")]
    TensorNotFinite {
        /// The weights.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A TorchScript file could not be loaded.
    #[error(
        "{path} is not a TorchScript module that this libtorch can load: {reason}; \
         export it with torch.jit.trace(model.eval(), example).save(path)"
    )]
    Script {
        /// The file.
        path: PathBuf,
        /// libtorch's reason.
        reason: String,
    },
    /// The input's length is no whole number of rows.
    #[error("the input holds {found} numbers, not a multiple of {row} ({sequence} steps of {features} features)")]
    Input {
        /// How many numbers came.
        found: usize,
        /// Numbers in a row.
        row: usize,
        /// Steps in a row.
        sequence: usize,
        /// Numbers in a step.
        features: usize,
    },
    /// A TorchScript module gave something else than one score a row.
    #[error("the module gave a tensor of shape {found:?} for {rows} rows; it must give one number a row")]
    Output {
        /// Rows asked for.
        rows: usize,
        /// What came.
        found: Vec<i64>,
    },
    /// A data set's parts do not fit one another, or the network.
    #[error("the data set does not fit: {0}")]
    Dataset(String),
    /// Training came to a loss that is not a number.
    #[error("the loss of epoch {epoch} is {loss}; use a smaller learning rate, and check the data for NaN")]
    Diverged {
        /// Counting from 0.
        epoch: usize,
        /// NaN or infinity.
        loss: f32,
    },
    /// libtorch refused.
    #[error("libtorch: {0}")]
    Torch(String),
}

impl From<TchError> for Error {
    fn from(error: TchError) -> Self {
        Self::Torch(reason(&error))
    }
}

/// The first line of libtorch's message, without the C++ stack that follows.
pub(crate) fn reason(error: &TchError) -> String {
    let text = match error {
        TchError::Torch(text) => text.clone(),
        other => other.to_string(),
    };
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or("no reason given").trim().to_owned()
}
