//! Ranks: the top of each key, as rows that are true now.
//!
//! - [`Ranks::top_counts`]: the items of a key that had the most events.
//! - [`Ranks::top_sums`]: the items of a key whose events weigh most in all, where weights may be below 0.
//! - [`Ranks::top_k`]: the events of a key with the greatest scores.
//! - [`Ranks::latest`]: the latest event of a key, which makes a table of a stream.
//! - [`ranked`]: the same of a collection's rows, which may be retracted, with the rank of each.
//!
//! A key that falls silent keeps its rows, unless told otherwise: `maintain("latest", Latest::new().until_idle(days(30)))`
//! is [`Ranks::latest`] for keys with an event in the last 30 days, and [`Top`] can be told the same.
//!
//! Which items are viewed most in each category?
//!
//! ```
//! use tidemill::{Config, Events, Memory, Timing, execute};
//! use tidemill_rank::{Counted, Ranks};
//!
//! // Time, category, item.
//! let views = vec![(1, 1, 10), (2, 1, 11), (3, 1, 11), (4, 1, 12), (5, 2, 20)];
//! let top = Memory::new();
//! let to_top = top.clone();
//! execute(Config::workers(2), move |job| {
//!     let views = job.source("views", Events::new(views.clone()), Timing::by(|view: &(i64, u32, u32)| view.0))?;
//!     views.key_by(|view| view.1).top_counts("most viewed", 2, |view| view.2)?.sink("top", to_top.clone())
//! })?;
//! let top: Vec<_> = top.take().into_iter().map(|(_, update)| (update.row, update.diff)).collect();
//! let row = |key, item, count| (Counted { key, item, count }, 1);
//! assert_eq!(top, [row(1, 10, 1), row(1, 11, 2), row(2, 20, 1)]); // 10 and 12 are level: the lower item is first
//! # Ok::<(), tidemill::Error>(())
//! ```

#![deny(missing_docs)]

mod counts;
mod latest;
mod ranked;
mod sums;
mod top;

pub use counts::Counted;
pub use latest::Latest;
pub use ranked::{Ranked, ranked};
pub use sums::Summed;
pub use top::Top;

use counts::CountsKernel;
use std::hash::Hash;
use sums::SumsKernel;
use tidemill::{Collection, Data, Key, Keyed, Result};

/// Ranks within each key of a stream.
pub trait Ranks<'s, T: Data, K: Key>: Sized {
    /// The `n` items of each key that had the most events, with how many; of items with as many, the lesser come first.
    /// Every event counts, also late ones. Rows change in the epoch of the events that change them.
    ///
    /// State: one counter per key and item.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`](tidemill::Error::Graph) if the name is taken.
    fn top_counts<I>(
        self,
        name: &str,
        n: usize,
        item: impl Fn(&T) -> I + 'static,
    ) -> Result<Collection<'s, Counted<K, I>>>
    where
        I: Data + Ord + Hash;

    /// The `n` items of each key with the greatest sums of weights, with the sum; of items with the same sum, the lesser come
    /// first. `weighed` says which item an event is about, and by how much it changes the sum: what is taken back weighs
    /// less than 0. An item with a sum of 0 or less is not there. Every event counts, also late ones. Rows change in the epoch
    /// of the events that change them.
    ///
    /// State: one sum per key and item, as long as it is not 0. A sum stops at what an `i64` holds.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`](tidemill::Error::Graph) if the name is taken.
    fn top_sums<I>(
        self,
        name: &str,
        n: usize,
        weighed: impl Fn(&T) -> (I, i64) + 'static,
    ) -> Result<Collection<'s, Summed<K, I>>>
    where
        I: Data + Ord + Hash;

    /// The `k` events of each key with the greatest scores; of events with the same score, those that arrived first.
    /// Every event counts, also late ones. Rows change in the epoch of the events that change them.
    ///
    /// State: `k` events per key.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`](tidemill::Error::Graph) if the name is taken.
    fn top_k<S: Data + Ord>(
        self,
        name: &str,
        k: usize,
        score: impl Fn(&T) -> S + 'static,
    ) -> Result<Collection<'s, Ranked<K, T>>>
    where
        T: Ord;

    /// The latest event of each key by event time, of those at the same time the greatest. Every event counts, also
    /// late ones. Rows change in the epoch of the events that change them.
    ///
    /// So a stream of versions is a table of what holds now, and a stream of things that happen once each is a table of
    /// them. State: one event per key.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`](tidemill::Error::Graph) if the name is taken.
    fn latest(self, name: &str) -> Result<Collection<'s, T>>
    where
        T: Ord;
}

impl<'s, T: Data, K: Key, F: Fn(&T) -> K + Clone + 'static> Ranks<'s, T, K> for Keyed<'s, T, F> {
    fn top_counts<I>(
        self,
        name: &str,
        n: usize,
        item: impl Fn(&T) -> I + 'static,
    ) -> Result<Collection<'s, Counted<K, I>>>
    where
        I: Data + Ord + Hash,
    {
        let kernel = CountsKernel::new(self.key(), item, n);
        Ok(self.kernel_rows(name, kernel)?.0)
    }

    fn top_sums<I>(
        self,
        name: &str,
        n: usize,
        weighed: impl Fn(&T) -> (I, i64) + 'static,
    ) -> Result<Collection<'s, Summed<K, I>>>
    where
        I: Data + Ord + Hash,
    {
        let kernel = SumsKernel::new(self.key(), weighed, n);
        Ok(self.kernel_rows(name, kernel)?.0)
    }

    fn top_k<S: Data + Ord>(
        self,
        name: &str,
        k: usize,
        score: impl Fn(&T) -> S + 'static,
    ) -> Result<Collection<'s, Ranked<K, T>>>
    where
        T: Ord,
    {
        self.maintain(name, Top::new(k, score))
    }

    fn latest(self, name: &str) -> Result<Collection<'s, T>>
    where
        T: Ord,
    {
        self.maintain(name, Latest::new())
    }
}
