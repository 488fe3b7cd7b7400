#![doc = include_str!("../README.md")]

mod compact;
mod entry;
mod error;
mod log;
mod manifest;
mod part;
mod prune;
mod read;
mod storage;
mod store;
mod usage;

pub use compact::{Compacted, should_compact};
pub use error::{Error, Result};
pub use log::{Log, LogEntry, LogWriter};
pub use manifest::{Manifest, OperatorInfo, PartKind, PartRef, SinkPosition, SourcePosition};
pub use part::{Part, PartWriter};
pub use prune::Pruned;
pub use storage::{Lock, Upload};
pub use store::{Latest, Listed, Store};
pub use usage::Usage;
