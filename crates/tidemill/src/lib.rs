//! Tidemill: a dataflow engine for online shops. How to write an operator is told in the [`guide`].

#![deny(missing_docs)]

mod alignment;
mod clock;
mod cluster;
mod collection;
mod config;
mod drain;
mod error;
mod events;
mod explain_time;
pub mod guide;
pub mod harness;
pub mod hash;
mod idle;
mod ingest;
mod job;
mod kernel;
mod maintain;
mod plan;
mod process;
mod processing;
mod record;
pub mod report;
mod run;
mod runtime;
mod signals;
mod sink;
mod source;
mod state;
mod stream;
mod ticker;
mod tide;
pub mod time;
mod timers;
mod watch;

pub use clock::{Clock, ManualClock};
pub use cluster::{Cluster, Secret};
pub use collection::Collection;
pub use config::{Config, Flags};
pub use error::{Error, Reject, Result};
pub use events::{Events, EventsReader, Feed, Live, LiveReader};
pub use explain_time::{Holder, TimeExplainer, TimeReport};
pub use idle::{Touched, UntilIdle};
pub use job::{Job, Stopper};
pub use kernel::{Closing, Emit, Kernel, Order, StateError};
pub use maintain::Maintain;
pub use plan::{Drawing, Node, Plan, type_name};
pub use process::{Context, Process};
pub use record::{Data, DeadLetter, Record, Seq};
pub use report::Report;
pub use run::{execute, exit, run};
pub use runtime::{Metrics, count};
pub use sink::{Console, Memory, Sink, SinkError, Start, Update};
pub use source::{Batch, ReadStatus, Reader, Source, SourceError, Timing};
pub use state::{State, by_group, from_group};
pub use stream::{Key, Keyed, Stream};
pub use tide::Tide;
pub use time::{Epoch, Millis};
pub use timers::Timers;

pub use differential_dataflow;
pub use timely;
