//! What processes tell each other beside the data.

use crate::report::Report;
use serde::{Deserialize, Serialize};

/// A word between two processes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Word {
    /// The sender lives; since its last beat it has read so much. The counts go to process 0.
    Beat { records: u64, bytes: u64 },
    /// The sender's graph, and what else must be the same for all.
    Plan(String),
    /// A signal has come: to process 0, which ends the input for all.
    Stop,
    /// The job has failed: in which process, and why.
    Failed { process: usize, reason: String },
    /// A process is gone: which, and how that was seen.
    Lost { process: usize, reason: String },
    /// No data will follow, only words.
    End,
    /// What the sender counted: to process 0, when its workers have ended.
    Report(Box<Report>),
    /// What all have counted: from process 0, which is the job's end.
    Total(Box<Report>),
}
