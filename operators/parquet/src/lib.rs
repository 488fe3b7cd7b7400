//! Parquet as a format of [`Parts`](tidemill_files::Parts): a folder of finished files, each seen once a checkpoint has its rows.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use tidemill::{Config, Events, Timing};
//! use tidemill_files::Parts;
//! use tidemill_parquet::ParquetRows;
//!
//! #[derive(Clone, Debug, Serialize, Deserialize)]
//! struct Order {
//!     at: i64,
//!     cents: Option<i64>,
//! }
//!
//! # let folder = tempfile::tempdir()?;
//! # let lake = folder.path().join("orders");
//! let orders = vec![Order { at: 1, cents: None }];
//! tidemill::execute(Config::default(), move |job| {
//!     let orders = job.source("orders", Events::new(orders.clone()), Timing::by(|order: &Order| order.at))?;
//!     orders.sink("lake", Parts::records(&lake, ParquetRows::new()?)?.max_rows(500_000))
//! })?;
//! # assert_eq!(std::fs::read_dir(folder.path().join("orders"))?.count(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! When a part is seen, and what a restart does, [`Parts`](tidemill_files::Parts) says.
//!
//! # Columns
//!
//! Rows are structs; their fields are columns, by serde's names: integers, floats, `bool`, text, bytes (by `serde_bytes`),
//! `Option`, nested structs, tuples, lists, maps, and enums without data as text. What else there is (`i128`, enums with
//! data, types that call themselves) is an error when the graph is made. A collection's changes have the columns `epoch`
//! and `diff` before the row's.
//!
//! # How parts are made
//!
//! A Parquet file ends with its table of contents, so half of one can neither be read nor gone on with. Closing a file, or a
//! group of rows, at each checkpoint would make parts depend on when checkpoints are; keeping the rows in the checkpoint
//! would make that as large as a part. So rows are appended as blocks of Arrow's own format to the hidden file, which can
//! be cut at any of them, and encoded when the part is to be seen. They are written twice, once uncompressed; memory holds no
//! more than a group of a million rows, compressed. Encoding takes the thread of the worker that has the sink.
//!
//! Files are compressed by zstd at level 1. Parts end by rows or epochs, not by bytes.

#![deny(missing_docs)]

mod blocks;
mod rows;

pub use rows::ParquetRows;
