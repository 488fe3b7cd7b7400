//! PostgreSQL as a sink: a stream appended to a table, a collection kept as its rows, each epoch exactly once.
//!
//! ```no_run
//! use serde::{Deserialize, Serialize};
//! use tidemill::{Config, Events, Timing};
//! use tidemill_postgres::Postgres;
//!
//! #[derive(Clone, Debug, Serialize, Deserialize)]
//! struct Alert {
//!     payment: i64,
//!     at: i64,
//!     score: f64,
//! }
//!
//! let alerts = vec![Alert { payment: 7, at: 1_700_000_000_000, score: 0.97 }];
//! tidemill::execute(Config::default(), move |job| {
//!     let alerts = job.source("alerts", Events::new(alerts.clone()), Timing::by(|alert: &Alert| alert.at))?;
//!     // CREATE TABLE alerts (payment bigint, at timestamptz, score double precision)
//!     alerts.sink("alerts", Postgres::events("postgres://me:secret@localhost/shop", "alerts")?)
//! })?;
//! # Ok::<(), tidemill::Error>(())
//! ```
//!
//! A collection is written by `Postgres::rows(url, table, ["key", "columns"])`.
//!
//! # What is promised
//!
//! - **Exactly once.** The rows of a commit and its mark, `(table, lineage, epoch)`, are one transaction. Marks are in the
//!   table `tidemill_epochs` of the same schema. Epochs that are marked are skipped, so a job that goes on from a checkpoint
//!   and forms its epochs again as they were writes nothing twice. There is one writer for the whole job, so a mark names no
//!   key group.
//! - **Epochs that come otherwise** (no log to form them again, a new run): a stream's sink refuses at the start and says
//!   what to do; [`rewind`](Postgres::rewind) deletes what is to come anew, [`append`](Postgres::append) lives with
//!   duplicates. A collection's sink compares the whole table with the rows that are true, and makes it equal in one
//!   transaction: readers may see it go back and forth once. A database that lacks what a checkpoint counts on (restored from
//!   a backup) is refused by a stream's sink, and mended by a collection's.
//! - **One writer.** A sink that is opened later shuts out earlier ones of its table: they stop at their next commit. Several
//!   streams into one table are to be united first.
//! - **Lost connections** are made again, waiting ever longer between tries, for [`patience`](Postgres::patience). The mark
//!   says whether a commit came through unheard. A restarted server, a failover, a deadlock are waited out the same way; a
//!   wrong password, or a missing right, stop the job at once. No message shows a password.
//! - **Bad rows** stop the job: one that the table refuses (out of range, a constraint, a trigger) is found and named, and
//!   nothing of its epoch is written.
//!
//! # Columns
//!
//! Rows are structs, or maps by text; fields are columns by name, upper and lower case as written. `None` is `NULL`. Nested
//! fields go to `jsonb`, `json` or `text`; bytes (by `serde_bytes`) to `bytea`; integers in a `timestamptz`, `timestamp` or
//! `date` are milliseconds since 1970 UTC. Other columns take text that PostgreSQL reads, so `numeric`, `uuid`, `inet` and
//! enums may come as text. The table must have a column for each field; its own further columns need a default. A table is
//! created only for [`create_like`](Postgres::create_like); so is `tidemill_epochs`, but always.
//!
//! # Collections
//!
//! A row is written by its key, never by its old value: retracted and added in one epoch it is updated, only retracted it is
//! deleted, and columns that are not fields are left alone. So a collection must have **one row for each key**; two in one
//! epoch are refused, but two that came in different epochs are not noticed, and the later one stays. If nothing less tells
//! rows apart, take all columns as key. A unique index on the key is needed, and a key has no `NULL`.
//!
//! # Rights, speed, limits
//!
//! The user needs `SELECT`, `INSERT` (of a collection also `UPDATE`, `DELETE` and `TEMPORARY`) on the table and on
//! `tidemill_epochs`, and `CREATE` in the schema if that is not there. Lines go by `COPY`, many changes of a collection by a
//! temporary table, few of them as values.
//! An epoch costs some seven round trips and one wait for the server's disk, whatever its size; several epochs that are written
//! before one commit cost as much as one (`cargo run --release -p tidemill-postgres --example commits`). What is not
//! committed is held in memory, as text.
//!
//! There is **no TLS**: `sslmode=require` is an error, the default `prefer` goes on in plain text. Use a network you trust, a
//! Unix socket (`host=/run/postgresql`), or a tunnel. A password may come by `PGPASSWORD` instead of the address.

#![deny(missing_docs)]

mod encode;
mod error;
mod events;
mod fields;
mod link;
mod mark;
mod rows;
mod sink;
mod table;
mod writer;

pub use sink::Postgres;
