//! Files as sources and sinks: CSV and JSON lines typed by serde, lines parsed by hand, results
//! as CSV or JSON lines; plain, gzip and zstd.
//!
//! # What all sources here promise
//!
//! - **Input** is a file, several files, a folder or standard input (`-`): see [`Files`]. Each
//!   file is one partition, in the order given, a folder's files by name.
//! - **Compression** is recognised by content, never by name.
//! - **Bad lines** are rejected with `file:line`, a reason and their text, and reading goes on
//!   with the next line. Nothing is dropped in silence but empty lines; a byte order mark and
//!   carriage returns before line ends are no part of the data.
//! - **Limits**: a record longer than [`MAX_RECORD`] bytes (each source can set another limit) is
//!   a bad line. No input makes memory grow further.
//! - **Offsets** are bytes of (decompressed) text and resume exactly. A plain file is sought,
//!   a compressed one is read again up to the offset. The line number of a sought file is
//!   counted when the first bad line needs it, by one pass over what lies before.
//! - **Standard input** is live: a thread reads ahead by a bounded amount, and what is not there
//!   yet is [`ReadStatus::Waiting`](tidemill::ReadStatus). It cannot be read
//!   again: a job that keeps checkpoints puts its records into the epoch log, and after a restart goes on with what comes
//!   next (where the format has a header, that begins with one). What the thread had read ahead when a process was killed
//!   is lost.
//!
//! # Which one
//!
//! [`Csv`] and [`JsonLines`] need no more than a type with serde's derives. [`Lines`] takes a
//! parser written by hand, compiled into the reading loop: about twice the speed.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use tidemill::{Batch, Reader, Source};
//! use tidemill_files::Csv;
//!
//! #[derive(Clone, Debug, Serialize, Deserialize)]
//! struct Order {
//!     customer: u32,
//!     cents: i64,
//! }
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("orders.csv");
//! # std::fs::write(&path, "customer,cents\n7,1999\n8,oops\n9,250\n")?;
//! let orders = Csv::<Order>::new(path);
//! let mut batch = Batch::new();
//! orders.open(0, 0)?.read(100, &mut batch)?;
//! assert_eq!(batch.items().len(), 2);
//! assert!(batch.rejected()[0].place.ends_with("orders.csv:3"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod blocks;
mod csv;
mod csv_rows;
mod csv_sink;
mod de;
mod decode;
mod feed;
mod input;
mod json;
mod json_rows;
mod json_sink;
mod line;
mod lines;
mod misfit;
mod output;
mod parts;
mod reader;
mod split;

pub use csv::Csv;
pub use csv_rows::CsvRows;
pub use csv_sink::CsvSink;
pub use input::{Files, MAX_RECORD};
pub use json::JsonLines;
pub use json_rows::JsonRows;
pub use json_sink::JsonLinesSink;
pub use line::{Line, Number};
pub use lines::{Lines, ParseLine};
pub use output::Output;
pub use parts::{CountsBytes, PartFormat, PartItem, Parts};
