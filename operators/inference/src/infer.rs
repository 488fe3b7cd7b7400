//! `infer`, on streams and on collections.

use crate::model::Model;
use crate::pool::Pool;
use crate::score::Answer;
use tidemill::Result;

/// The exact form of what model `M` answers.
pub type ScoreOf<M> = <<M as Model>::Out as Answer>::Score;

/// Asks a model about what is in a stream or a collection.
///
/// Workers never wait for the model. They cut what a closed epoch brings into batches, hold the
/// epoch open downstream until its answers are back, and give epochs on strictly in order. What
/// waits for the model is bounded: the job counts an epoch as under way until it is scored, so a
/// slow model slows the sources.
///
/// An answer that is no [`crate::Score`] (NaN, infinite) sends its record to the job's dead
/// letters; the others of its batch go on.
///
/// # Errors
///
/// [`Infer::infer`] fails if the name is taken, if the pool's settings make no sense, or if a
/// model cannot be loaded. Models are loaded here, so a job whose model is broken reads nothing.
/// A model that fails later, panics, or gives the wrong number of answers stops the job with
/// [`tidemill::Error::Operator`].
pub trait Infer<'s>: Sized {
    /// What the model is asked about.
    type Item;
    /// The same with its scores.
    type Scored<S: crate::Quantised>;

    /// Scores everything by the model of `pool`, which is asked about the `features` of each item.
    ///
    /// **On a stream**, each event is scored once, on the worker where it is, and goes on as
    /// `(event, score)` in its own epoch, at its own event time. Batches hold an epoch's events in
    /// order of event time, ties by place, so they do not depend on timing, but they do depend on
    /// the number of workers, and with them the last bits of what a model answers. Scores differ
    /// only where those bits decide on which side of a millionth they fall.
    ///
    /// **On a collection**, a row's score is kept while the row is true, in checkpoints too, so what is
    /// retracted is exactly what was emitted. A row is scored in the epoch that makes it true, and again
    /// only if it has ceased to be true in between: not when it comes once more (the model is asked, but
    /// what it answers then changes nothing), nor when it comes and goes within one epoch, nor after a
    /// restart. Rows are exchanged by a stable hash, and batches hold an epoch's rows in its order. A row
    /// whose score is none is in the dead letters, and not in the result. The scores are kept by an
    /// operator of their own, called `name: scores`.
    fn infer<M: Model>(
        self,
        name: &str,
        pool: &Pool<M>,
        features: impl Fn(&Self::Item) -> M::In + 'static,
    ) -> Result<Self::Scored<ScoreOf<M>>>;
}
