//! Models inside the graph: `infer` on a stream scores each event once, `infer` on a collection
//! keeps each row's score for as long as the row is true.
//!
//! What holds:
//!
//! - **Workers never wait for a model.** Inference threads own the models; workers send them
//!   batches and hold the epoch's capability until the answers are back. Epochs come out in order.
//! - **Scores are exact.** A model's `f32`s become whole millionths ([`Score`]), so that a score
//!   can be kept, compared and retracted. NaN costs its own record, which goes to the dead letters.
//! - **A broken model stops the job**, with a message that names the operator, the cause and what
//!   to do: before anything is read if the model cannot be loaded, else when it fails. No hang,
//!   and no thread left behind.
//! - **Queues are bounded**, by batches in flight and by the engine's epochs under way: a slow
//!   model slows the sources.
//!
//! There is no libtorch in here: a [`Model`] is anything that answers for rows.
//!
//! ```
//! use tidemill::{Config, Events, Memory, Timing};
//! use tidemill_inference::{Infer, Model, ModelError, Pool, PoolConfig, Score};
//!
//! /// Suspects large payments.
//! struct Large(f32);
//!
//! impl Model for Large {
//!     type In = [f32; 1];
//!     type Out = f32;
//!     fn predict(&mut self, rows: &[[f32; 1]]) -> Result<Vec<f32>, ModelError> {
//!         Ok(rows.iter().map(|[amount]| (amount / self.0).min(1.0)).collect())
//!     }
//! }
//!
//! let scores = Memory::new();
//! let out = scores.clone();
//! let pool = Pool::new(PoolConfig::default(), || Ok(Large(1000.0)));
//! tidemill::execute(Config::workers(2), move |job| {
//!     let payments = job.source("payments", Events::new(vec![250_i64, 4000]), Timing::by(|_| 0))?;
//!     payments
//!         .infer("suspicion", &pool, |&amount| [amount as f32])?
//!         .sink("scores", out.clone())
//! })?;
//! assert_eq!(scores.values(), [(250, Score::from_millionths(250_000)), (4000, Score::ONE)]);
//! # Ok::<(), tidemill::Error>(())
//! ```

mod ask;
mod collection;
mod infer;
mod lane;
mod model;
mod pool;
mod score;
mod stream;

pub use infer::{Infer, ScoreOf};
pub use model::{Model, ModelError};
pub use pool::{Pool, PoolConfig};
pub use score::{Answer, NotAScore, Quantised, Score};
