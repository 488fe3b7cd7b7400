//! The contract of a model, with no libtorch in it.

use crate::score::Answer;
use std::fmt::Display;

/// Answers questions about rows, a batch at a time.
///
/// A model lives on one inference thread: the one that loaded it. So it need not be `Send`, may
/// keep buffers in `&mut self`, and sets what is per thread (libtorch's intra-op threads, its
/// gradient mode) where it is loaded.
///
/// A panic, an error, or the wrong number of answers stops the job with a message that says so.
/// A single answer that is no score (NaN) costs only its own row: see [`Answer`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `Model`",
    label = "no `Model`",
    note = "a model has `In`, `Out` and `predict`; networks of libtorch are in `tidemill-torch`",
    note = "more in `tidemill::guide`, \"When the compiler complains\""
)]
pub trait Model: 'static {
    /// What it is asked about: the features of a record or row. A fixed-size array such as
    /// `[f32; 15]` makes a batch one contiguous block (`rows.as_flattened()`), with no allocation
    /// for each row.
    type In: Send + 'static;
    /// What it answers of each row: `f32`, or several of them.
    type Out: Answer;

    /// Answers for `rows`, of which there is at least one: one answer for each, in their order.
    ///
    /// # Errors
    ///
    /// Whatever keeps the model from answering at all; it stops the job.
    fn predict(&mut self, rows: &[Self::In]) -> Result<Vec<Self::Out>, ModelError>;
}

/// For programs that choose the model when they run.
impl<M: Model + ?Sized> Model for Box<M> {
    type In = M::In;
    type Out = M::Out;

    fn predict(&mut self, rows: &[M::In]) -> Result<Vec<M::Out>, ModelError> {
        (**self).predict(rows)
    }
}

/// Why a model could not be loaded or could not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ModelError(String);

impl ModelError {
    /// An error with this text, which is best to name the file or the setting that is wrong:
    /// a string, or any error (`.map_err(ModelError::new)`).
    pub fn new(text: impl Display) -> Self {
        ModelError(text.to_string())
    }
}
