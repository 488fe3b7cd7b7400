//! The engine's flags, and what they mean to a job.

use crate::checkpoint::{Checkpointing, Restore};
use crate::clock::Clock;
use crate::cluster::{Cluster, HEARTBEAT, PATIENCE};
use crate::error::{Error, Result};
use crate::plan::Drawing;
use crate::time::Millis;
use std::io::IsTerminal;
use std::path::PathBuf;

/// The engine's command-line flags. Flatten them into a program's own:
///
/// ```
/// #[derive(clap::Parser)]
/// struct Args {
///     #[command(flatten)]
///     engine: tidemill::Flags,
/// }
/// ```
#[derive(Clone, Debug, clap::Args)]
// No argument group of its own name: a program's own struct may be called the same.
#[group(skip)]
#[command(next_help_heading = "Engine", about = None, long_about = None)]
pub struct Flags {
    /// Worker threads.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub workers: usize,

    /// Cut epochs by the clock, one every so many milliseconds, even if all input is bounded; one that takes longer is waited
    /// for.
    #[arg(long, value_name = "MS")]
    pub epoch_ms: Option<u64>,

    /// What to log: error, warn, info, debug, trace, or a filter as in RUST_LOG.
    #[arg(long, default_value = "warn", value_name = "LEVEL")]
    pub log: String,

    /// Write what the job did (records, latencies, CPU, memory) to this file as JSON.
    #[arg(long, value_name = "FILE.json")]
    pub report: Option<PathBuf>,

    /// Keep checkpoints in this folder, or at an address such as s3://bucket/path, and go on from the newest one there.
    #[arg(long, value_name = "DIR")]
    pub checkpoint_dir: Option<String>,

    /// Milliseconds between checkpoints.
    #[arg(long, value_name = "MS", default_value_t = 10_000, requires = "checkpoint_dir")]
    pub checkpoint_interval: u64,

    /// Begin with this checkpoint: `latest` (there must be one), its number, or `none` to begin anew.
    #[arg(long, value_name = "ID", requires = "checkpoint_dir")]
    pub restore: Option<Restore>,

    /// An operator, source or sink with this name may be new in the graph, or be gone from it, against the checkpoint.
    #[arg(long, value_name = "NAME", requires = "checkpoint_dir")]
    pub allow_state_change: Vec<String>,

    /// Print the graph and stop: nothing is read, nothing is written.
    #[arg(long, value_name = "FORMAT")]
    pub explain: Option<Drawing>,

    /// Processes that run the job together, each with as many workers.
    #[arg(long, value_name = "N", help_heading = "Cluster")]
    pub processes: Option<usize>,

    /// Which of the processes this is, from 0; process 0 runs the sinks and writes the report.
    #[arg(long, value_name = "I", env = "TIDEMILL_PROCESS", help_heading = "Cluster")]
    pub process: Option<usize>,

    /// Where each process listens: `host:port`, one a line. Without it, on this machine from port 2101.
    #[arg(long, value_name = "FILE", help_heading = "Cluster")]
    pub hosts: Option<PathBuf>,

    /// Where this process listens, if not at its address among the hosts.
    #[arg(long, value_name = "HOST:PORT", help_heading = "Cluster")]
    pub listen: Option<String>,

    /// The secret that all processes share, by which links are encrypted and strangers refused; else TIDEMILL_SECRET.
    #[arg(long, value_name = "FILE", help_heading = "Cluster")]
    pub secret_file: Option<PathBuf>,

    /// Do without a secret although others can reach the hosts: the data can be read, and anybody can join.
    #[arg(long, help_heading = "Cluster")]
    pub insecure: bool,

    /// Which start of the cluster this is: processes of different generations do not meet.
    #[arg(long, value_name = "G", default_value_t = 0, help_heading = "Cluster")]
    pub generation: u64,

    /// How long to wait for the other processes.
    #[arg(long, value_name = "SECONDS", default_value_t = PATIENCE.as_secs(), help_heading = "Cluster")]
    pub connect_timeout: u64,

    /// A process of which nothing is heard for so long is lost: each says something every second.
    #[arg(long, value_name = "SECONDS", default_value_t = HEARTBEAT.as_secs(), help_heading = "Cluster")]
    pub heartbeat: u64,

    /// Write this file when all processes have met and agree on the graph.
    #[arg(long, value_name = "FILE", help_heading = "Cluster")]
    pub ready_file: Option<PathBuf>,
}

impl Default for Flags {
    fn default() -> Self {
        Flags {
            workers: 1,
            epoch_ms: None,
            log: "warn".into(),
            report: None,
            checkpoint_dir: None,
            checkpoint_interval: 10_000,
            restore: None,
            allow_state_change: Vec::new(),
            explain: None,
            processes: None,
            process: None,
            hosts: None,
            listen: None,
            secret_file: None,
            insecure: false,
            generation: 0,
            connect_timeout: PATIENCE.as_secs(),
            heartbeat: HEARTBEAT.as_secs(),
            ready_file: None,
        }
    }
}

/// How a job runs.
#[derive(Clone, Debug)]
pub struct Config {
    /// Worker threads of each process, from 1 to 256 (the number of key groups) in all.
    pub workers: usize,
    /// The processes that run the job together, where there are several.
    pub cluster: Option<Cluster>,
    /// Milliseconds between epochs of a live job, at least: the next one begins when the results of the one before are out.
    /// Given explicitly, replays use it too.
    pub epoch_ms: Option<u64>,
    /// Records an epoch takes from each partition at most.
    pub epoch_records: usize,
    /// Where wall time is read.
    pub clock: Clock,
    /// Where the report goes when the job ends.
    pub report: Option<PathBuf>,
    /// Whether and where the job keeps checkpoints.
    pub checkpoints: Option<Checkpointing>,
    /// Written when the job runs, which is when all its processes have met and agree on the graph; a file that an earlier
    /// run has left is removed first.
    pub ready_file: Option<PathBuf>,
    /// Instead of running the graph, print it to standard output and end the process, as `--help` does.
    pub explain: Option<Drawing>,
    /// Whether to show progress on a terminal.
    pub progress: bool,
    /// Whether SIGINT and SIGTERM stop the job cleanly (else they kill it, as usual).
    pub signals: bool,
}

/// Milliseconds between epochs of a live job unless told otherwise.
pub(crate) const EPOCH_MS: Millis = 10;

impl Default for Config {
    fn default() -> Self {
        Config {
            workers: 1,
            cluster: None,
            epoch_ms: None,
            epoch_records: 4096,
            clock: Clock::System,
            report: None,
            checkpoints: None,
            ready_file: None,
            explain: None,
            progress: false,
            signals: false,
        }
    }
}

/// Whether nobody has started the job before: a launcher that starts it again means to go on from where it was, whatever
/// checkpoint or none was asked for at first.
fn is_first_start() -> bool {
    std::env::var_os("TIDEMILL_RESTARTED").is_none()
}

impl Config {
    /// The defaults with this many workers: what tests use.
    pub fn workers(workers: usize) -> Self {
        Config { workers, ..Config::default() }
    }

    /// What the flags ask for, with progress and signals as a program wants them. Also starts
    /// logging to standard error, once.
    pub fn from_flags(flags: &Flags) -> Result<Self> {
        let filter = tracing_subscriber::EnvFilter::try_new(&flags.log)
            .map_err(|error| Error::Usage(format!("--log {}: {error}; try --log info", flags.log)))?;
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        let _ = log.with_ansi(std::io::stderr().is_terminal()).try_init();
        let checkpoints = flags.checkpoint_dir.as_ref().map(|address| Checkpointing {
            interval_ms: flags.checkpoint_interval as Millis,
            restore: flags
                .restore
                .filter(|restore| *restore == Restore::Latest || is_first_start())
                .unwrap_or_default(),
            allow: flags.allow_state_change.clone(),
            ..Checkpointing::to(address)
        });
        Ok(Config {
            workers: flags.workers,
            cluster: Cluster::from_flags(flags)?,
            epoch_ms: flags.epoch_ms,
            report: flags.report.clone(),
            checkpoints,
            ready_file: flags.ready_file.clone(),
            explain: flags.explain,
            progress: true,
            signals: true,
            ..Config::default()
        })
    }

    /// The cluster that runs the graph; it is drawn by one process alone.
    pub(crate) fn running_cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref().filter(|_| self.explain.is_none())
    }

    pub(crate) fn check(&self) -> Result<()> {
        if !(1..=crate::hash::KEY_GROUPS).contains(&self.workers) {
            return Err(Error::Usage(format!("--workers {}: choose 1 to 256", self.workers)));
        }
        if let Some(cluster) = &self.cluster {
            cluster.check(self.workers)?;
        }
        if self.epoch_ms == Some(0) {
            return Err(Error::Usage("--epoch-ms 0: choose at least 1; 10 is a practical floor".into()));
        }
        if self.epoch_records == 0 {
            return Err(Error::Usage("an epoch must take at least one record".into()));
        }
        Ok(())
    }
}
