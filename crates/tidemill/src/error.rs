//! What can go wrong with a job, and the process exit code of each.

use crate::sink::SinkError;
use std::path::PathBuf;

/// Why a job could not start or had to stop.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The graph cannot be built as written.
    #[error("the graph is wrong: {0}")]
    Graph(String),
    /// A source could not be opened or read.
    #[error("source `{source_name}`: {reason}")]
    Source {
        /// The source's name in the graph.
        source_name: String,
        /// What happened, and what to do.
        reason: String,
    },
    /// A sink could not be written.
    #[error("sink `{sink}`: {reason}")]
    Sink {
        /// The sink's name in the graph.
        sink: String,
        /// What happened, and what to do.
        reason: String,
    },
    /// An operator stopped the job on purpose: what it depends on failed.
    #[error("operator `{operator}` stopped the job: {reason}")]
    Operator {
        /// The operator's name in the graph.
        operator: String,
        /// What happened, and what to do.
        reason: String,
    },
    /// An operator panicked.
    #[error("operator `{operator}` panicked on worker {worker}: {message}")]
    Panic {
        /// The operator's name in the graph.
        operator: String,
        /// The worker's index.
        worker: usize,
        /// The panic's message and place.
        message: String,
    },
    /// The engine's flags do not make sense together.
    #[error("{0}")]
    Usage(String),
    /// A checkpoint could not be written, found or read.
    #[error("checkpoints: {0}")]
    Checkpoint(String),
    /// The report could not be written.
    #[error("cannot write the report to {path}: {reason}")]
    Report {
        /// Where it should have gone.
        path: PathBuf,
        /// The operating system's words.
        reason: String,
    },
    /// A signal ended the job before its input did: see [`Report::finished`](crate::Report::finished).
    #[error("a signal ended the job before its input did: what it has written is not complete")]
    Interrupted,
    /// Another process of the cluster failed, and this one ended with it.
    #[error("process {process} failed: {reason}")]
    Peer {
        /// The process's index.
        process: usize,
        /// What it said.
        reason: String,
    },
    /// Another process of the cluster is gone, or never came.
    #[error("process {process} was lost: {reason}")]
    Lost {
        /// The process's index.
        process: usize,
        /// How that was seen.
        reason: String,
    },
    /// The processes of a cluster do not fit together: other programs, graphs, secrets or numbers.
    #[error("the processes do not fit together: {0}")]
    Mismatch(String),
    /// The processes of a cluster would begin with different checkpoints: one looked while another was still being made, or
    /// does not see the same folder.
    #[error("the processes would not begin together: {0}")]
    Apart(String),
    /// timely itself could not start.
    #[error("the workers could not start: {0}")]
    Start(String),
}

impl Error {
    /// The process exit code that tells a supervisor what happened: 2 for flags, 65 for a graph
    /// that cannot be built, 66 for a source, 73 for a sink or report, 70 for an operator or a
    /// panic, 71 for workers that cannot start, 74 for checkpoints, 75 for another process that failed or was lost or
    /// has found another checkpoint, 78 for processes that do not fit together (the numbers of `sysexits.h`), and 130 for
    /// a program that a signal interrupted, as shells have it.
    ///
    /// A program gives 1 for what is none of these ([`exit`](crate::exit)), as a file that its own command cannot read, and 141
    /// where nobody reads any more what it prints after a job.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Usage(_) => 2,
            Error::Graph(_) => 65,
            Error::Source { .. } => 66,
            Error::Operator { .. } | Error::Panic { .. } => 70,
            Error::Start(_) => 71,
            Error::Checkpoint(_) => 74,
            Error::Peer { .. } | Error::Lost { .. } | Error::Apart(_) => 75,
            Error::Mismatch(_) => 78,
            Error::Interrupted => 130,
            Error::Sink { .. } | Error::Report { .. } => 73,
        }
    }
}

impl From<SinkError> for Error {
    /// A sink that could not be opened while the graph was built.
    fn from(error: SinkError) -> Self {
        Error::Sink { sink: "being opened".to_owned(), reason: error.0 }
    }
}

/// A job's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a record was refused: it goes to the dead letters with this reason, and the job goes on.
///
/// Made from a string or, by `?`, from any error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject(pub(crate) String);

impl Reject {
    /// Refuses a record for `reason`.
    pub fn new(reason: impl Into<String>) -> Self {
        Reject(reason.into())
    }

    /// Why.
    pub fn reason(&self) -> &str {
        &self.0
    }
}

impl<E: std::error::Error> From<E> for Reject {
    fn from(error: E) -> Self {
        Reject(error.to_string())
    }
}
