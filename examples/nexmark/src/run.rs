//! Runs one query and says how long it took.

use crate::answer::Counter;
use crate::queries::Query;
use crate::source::Nexmark;
use anyhow::Context;
use std::path::PathBuf;
use tidemill::{Config, report};

/// What a run took.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// How many events went in.
    pub events: u64,
    /// How many rows came out: those of a stream, and the changes of a collection.
    pub rows: u64,
    /// CPU seconds of the whole process, the generator's included.
    pub cpu_s: f64,
    /// Seconds by the clock.
    pub wall_s: f64,
}

impl Took {
    /// Events per second of CPU time.
    pub fn events_per_cpu_s(&self) -> f64 {
        self.events as f64 / self.cpu_s.max(0.01)
    }

    /// Events per second by the clock.
    pub fn events_per_s(&self) -> f64 {
        self.events as f64 / self.wall_s.max(0.001)
    }
}

/// Runs a query. Its rows are counted and dropped, but for those of q10: it writes them to `folder`, or if that is not
/// given to one that is removed afterwards.
pub fn run(query: &Query, events: Nexmark, folder: Option<PathBuf>, config: Config) -> anyhow::Result<Took> {
    let temporary = tempfile::tempdir().context("there is no folder for temporary files")?;
    let folder = folder.unwrap_or_else(|| temporary.path().to_owned());
    let (rows, answer) = (Counter::default(), query.answer);
    let counted = rows.clone();
    let before = report::cpu_seconds();
    let did = tidemill::execute(config, move |job| answer(events.read(job)?, &counted, &folder))?.finished()?;
    let cpu_s = report::cpu_seconds() - before;
    Ok(Took { events: events.events, rows: rows.rows(), cpu_s, wall_s: did.wall_s })
}
