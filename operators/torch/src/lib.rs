//! libtorch networks: described, trained, saved, loaded and asked for scores.
//!
//! A [`Network`] is built from a [`Description`]: its [`Architecture`], the names of its inputs, and how they are
//! standardised. [`train::fit`] trains it on a [`train::Dataset`]; [`Network::save`] writes `NAME.json`, the
//! description, beside `NAME.safetensors`, the weights; [`Network::load`] reads the two. A [`Script`] is what a user
//! of PyTorch exported instead. Both take plain `f32`s, `rows × sequence × features` in a row, and give one score a
//! row.
//!
//! Nothing here depends on libtorch's global random generator: initial weights, the order of examples and dropout
//! come from the seed that the caller gives, so that models trained at the same time on several threads come out the
//! same as one after the other.
//!
//! ```
//! use tidemill_torch::{Architecture, Description, Kind, Network};
//!
//! let architecture = Architecture { sequence: 1, features: 2, network: Kind::Logistic };
//! let network = Network::new(Description::new(architecture, ["amount", "risk"]), 1)?;
//! let scores = network.score(&[10.0, 0.5, 250.0, 0.0])?;
//! assert_eq!(scores.len(), 2);
//! # Ok::<(), tidemill_torch::Error>(())
//! ```

mod architecture;
pub mod autoencoder;
mod error;
mod network;
mod networks;
mod random;
pub mod sasrec;
mod saved;
mod script;
pub mod train;

pub use architecture::{Architecture, Description, Kind, Standard};
pub use error::Error;
pub use network::Network;
pub use random::Random;
pub use script::Script;

/// Makes libtorch use one thread for the work of each of the program's own threads.
///
/// The setting is the process's; call it once at the start, and again first thing in every thread that asks for
/// scores or trains. Small networks lose more by sharing a batch among threads than they gain.
pub fn one_thread_each() {
    tch::set_num_threads(1);
}
