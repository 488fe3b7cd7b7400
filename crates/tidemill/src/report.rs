//! What a job did: counts, latencies, CPU and memory.

use crate::error::{Error, Result};
use crate::runtime::Shared;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What a job did, as `--report` writes it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Worker threads, of all processes.
    pub workers: usize,
    /// Processes. Counts and CPU time are theirs in sum; latency is process 0's, which ticks and writes.
    #[serde(default)]
    pub processes: usize,
    /// Records read by all sources.
    pub records: u64,
    /// Epochs begun.
    pub epochs: u64,
    /// Whether a signal ended the job before its input did.
    pub interrupted: bool,
    /// Whether epochs were cut by the clock, as those of a job whose input does not end.
    #[serde(default)]
    pub live: bool,
    /// Wall time, in seconds.
    pub wall_s: f64,
    /// CPU time of the whole process since its start, in seconds, of all processes in sum (0 where the system does not tell).
    pub cpu_s: f64,
    /// Peak resident memory of the process, in KiB, of the largest one (0 where the system does not tell).
    pub peak_kb: u64,
    /// From the beginning of an epoch until all its results were out.
    pub epoch_latency: Latency,
    /// Every source, stateful operator and sink, in the order of the graph.
    pub operators: Vec<OperatorReport>,
}

/// Percentiles of a latency, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Latency {
    /// How many were measured.
    pub count: u64,
    /// Median.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// 99.9th percentile.
    pub p999_ms: f64,
    /// Maximum.
    pub max_ms: f64,
}

/// What one operator counted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct OperatorReport {
    /// Its name.
    pub name: String,
    /// Records taken.
    pub records_in: u64,
    /// Records or updates given.
    pub records_out: u64,
    /// Records that came too late.
    pub late: u64,
    /// Records refused.
    pub dead: u64,
}

impl Report {
    /// Collects what the workers counted.
    pub(crate) fn of(shared: &Shared, workers: usize, wall: Duration) -> Self {
        let operators = sums(&shared.operators.lock().unwrap_or_else(PoisonError::into_inner));
        let epoch_latency = *shared.latency.lock().unwrap_or_else(PoisonError::into_inner);
        Report {
            workers,
            processes: 1,
            records: shared.records.load(Ordering::SeqCst),
            epochs: shared.epochs.load(Ordering::SeqCst),
            interrupted: shared.interrupted.load(Ordering::SeqCst),
            live: shared.live.load(Ordering::SeqCst),
            wall_s: wall.as_secs_f64(),
            cpu_s: cpu_seconds(),
            peak_kb: peak_kb(),
            epoch_latency,
            operators,
        }
    }

    /// Adds what another process of the job did.
    pub(crate) fn add(&mut self, other: &Report) {
        self.workers += other.workers;
        self.processes += other.processes;
        self.records += other.records;
        self.cpu_s += other.cpu_s;
        self.peak_kb = self.peak_kb.max(other.peak_kb);
        self.operators = sums(&[&self.operators[..], &other.operators].concat());
    }

    /// What the operator of this name counted.
    pub fn operator(&self, name: &str) -> Option<&OperatorReport> {
        self.operators.iter().find(|operator| operator.name == name)
    }

    /// The report of a job whose input has ended: for programs that go on with what came out of it.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`] if a signal ended the job before its input did.
    pub fn finished(self) -> Result<Self> {
        if self.interrupted { Err(Error::Interrupted) } else { Ok(self) }
    }

    /// All records that came too late for some operator.
    pub fn late(&self) -> u64 {
        self.operators.iter().map(|operator| operator.late).sum()
    }

    /// Fails if the report cannot be written, before there is anything to report.
    pub(crate) fn check(path: &Path) -> Result<()> {
        let new = !path.exists();
        let opened = OpenOptions::new().create(true).append(true).open(path);
        let checked = opened.and_then(|_| if new { std::fs::remove_file(path) } else { Ok(()) });
        checked.map_err(|error| Error::Report { path: path.to_owned(), reason: error.to_string() })
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let failed = |reason: String| Error::Report { path: path.to_owned(), reason };
        let json = serde_json::to_string_pretty(self).map_err(|error| failed(error.to_string()))?;
        std::fs::write(path, json + "\n").map_err(|error| failed(error.to_string()))
    }

    /// Says in the log what the job did, and what it lost.
    pub(crate) fn log(&self) {
        let Report { records, epochs, wall_s, interrupted, .. } = self;
        tracing::info!(records, epochs, wall_s, interrupted, "the job has ended");
        for OperatorReport { name, records_in, records_out, late, dead } in &self.operators {
            tracing::info!(records_in, records_out, late, dead, "operator `{name}`");
            if *late > 0 {
                tracing::warn!(
                    "{late} records came too late for `{name}`: if nothing reads its late stream they are lost; let its sources be more out of order (Timing::disorder)"
                );
            }
        }
    }

    /// All records that any operator refused.
    pub fn dead(&self) -> u64 {
        self.operators.iter().map(|operator| operator.dead).sum()
    }
}

/// What operators of the same name counted together, in the order of the first of each.
fn sums(operators: &[OperatorReport]) -> Vec<OperatorReport> {
    let mut sums: Vec<OperatorReport> = Vec::new();
    let mut index = BTreeMap::new();
    for counted in operators {
        let at = *index.entry(counted.name.clone()).or_insert(sums.len());
        if at == sums.len() {
            sums.push(OperatorReport { name: counted.name.clone(), ..OperatorReport::default() });
        }
        let sum = &mut sums[at];
        sum.records_in += counted.records_in;
        sum.records_out += counted.records_out;
        sum.late += counted.late;
        sum.dead += counted.dead;
    }
    sums
}

/// CPU seconds of this process so far, user and system (Linux; elsewhere 0).
pub fn cpu_seconds() -> f64 {
    // Fields 14 and 15 of /proc/self/stat, in ticks of 10 ms (proc(5)); the name before them may
    // hold anything, so count from its closing parenthesis.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}

/// Peak resident memory of this process, in KiB (Linux; elsewhere 0).
pub fn peak_kb() -> u64 {
    status_kb("VmHWM:")
}

/// Resident memory of this process now, in KiB (Linux; elsewhere 0).
pub fn resident_kb() -> u64 {
    status_kb("VmRSS:")
}

/// What /proc/self/status says under this name (proc(5)).
fn status_kb(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
