//! The Transformer as a source of suggestions: what a user's history leads to.

use crate::transformer::Transformer;
use std::path::{Path, PathBuf};
use tidemill_inference::{Answer, Model, ModelError, NotAScore, Pool, PoolConfig, Score};

/// Tells the items that a history leads to.
pub struct Taste {
    transformer: Transformer,
    n: usize,
}

impl Taste {
    /// Inference threads that load the network called `data` in `folder`, and tell the `n` best items.
    pub fn pool(folder: &Path, data: &str, n: usize) -> Pool<Taste> {
        let (folder, data): (PathBuf, String) = (folder.to_owned(), data.to_owned());
        Pool::new(PoolConfig { batch: 32, ..PoolConfig::default() }, move || {
            tidemill_torch::one_thread_each();
            let transformer =
                Transformer::load(&folder, &data).map_err(|error| ModelError::new(format!("{error:#}")))?;
            Ok(Taste { transformer, n })
        })
    }
}

impl Model for Taste {
    type In = Vec<u64>;
    type Out = Likely;

    fn predict(&mut self, histories: &[Vec<u64>]) -> Result<Vec<Likely>, ModelError> {
        let tops = self.transformer.top(histories, self.n).map_err(ModelError::new)?;
        Ok(tops.into_iter().map(Likely).collect())
    }
}

/// Items, the likeliest first, with the logarithms of how likely they are beside the first.
pub struct Likely(Vec<(u64, f64)>);

impl Answer for Likely {
    type Score = Vec<(u64, Score)>;

    fn quantise(self) -> Result<Self::Score, NotAScore> {
        self.0.into_iter().map(|(item, score)| Ok((item, score.quantise()?))).collect()
    }
}
