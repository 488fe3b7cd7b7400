//! All that the graph keeps, as text: to compare two runs, and to see what an event touches.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tidemill::{Collection, Epoch, Result, Sink, SinkError, Start, Update, differential_dataflow};

use crate::graph::Answers;

/// A collection's name, and a row of it.
pub type Row = (String, String);

/// What is recorded.
#[derive(Debug, Default)]
pub struct Recorded {
    /// The rows that are true, with how often each is.
    pub rows: BTreeMap<Row, isize>,
    /// What has changed in each epoch, where somebody asked for that.
    pub changes: BTreeMap<Epoch, Vec<Update<Row>>>,
}

/// Records rows, and changes too if it is told.
#[derive(Clone, Default)]
pub struct Recorder {
    recorded: Arc<Mutex<Recorded>>,
    changes: bool,
}

impl Recorder {
    /// One that records each epoch's changes.
    pub fn of_changes() -> Self {
        Recorder { changes: true, ..Recorder::default() }
    }

    /// What was recorded.
    pub fn take(&self) -> Recorded {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Recorded> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Recorder {
    type Item = Update<Row>;

    fn open(&mut self, _: &Start) -> std::result::Result<(), SinkError> {
        Ok(())
    }

    fn write(&mut self, epoch: Epoch, updates: &mut Vec<Update<Row>>) -> std::result::Result<(), SinkError> {
        let mut recorded = self.lock();
        for Update { row, diff } in updates.iter() {
            let count = recorded.rows.entry(row.clone()).or_default();
            *count += diff;
            if *count == 0 {
                recorded.rows.remove(row);
            }
        }
        if self.changes {
            recorded.changes.insert(epoch, std::mem::take(updates));
        }
        Ok(())
    }
}

/// All that is kept of users and what follows from them, but what a ranker has learnt and how many lines were dropped.
pub fn everything<'s>(answers: &Answers<'s>) -> Collection<'s, Row> {
    let (kept, doings) = (&answers.kept, &answers.doings);
    named("lists", &kept.lists)
        .union(named("suggestions", &kept.ranked))
        .union(named("what follows", &kept.after))
        .union(named("histories", &kept.histories))
        .union(named("hidden", &kept.hidden))
        .union(named("bundles", &answers.bundles))
        .union(named("trends", &doings.trends))
        .union(named("funnel", &doings.funnel))
        .union(named("interests", &doings.interests))
        .union(named("habits", &doings.rfm))
        .union(named("segments", &doings.segments))
        .union(named("sessions", &doings.sessions))
        .union(named("sums of sessions", &doings.session_sums))
        .union(named("items", &answers.facts))
}

fn named<'s, R: differential_dataflow::Data + Debug>(
    name: &'static str,
    rows: &Collection<'s, R>,
) -> Collection<'s, Row> {
    rows.clone().map(move |row| (name.to_owned(), format!("{row:?}")))
}

/// Has everything recorded.
pub fn record(answers: &Answers<'_>, recorder: &Recorder) -> Result<()> {
    everything(answers).sink("everything", recorder.clone())
}

/// Rows that only one of two runs has, or has more often, and how many were compared.
pub fn compare(one: &Recorded, other: &Recorded) -> (usize, usize) {
    let differs = |(row, count): &(&Row, &isize)| other.rows.get(row) != Some(count);
    let differing = one.rows.iter().filter(differs).count();
    let missing = other.rows.keys().filter(|row| !one.rows.contains_key(*row)).count();
    (one.rows.len() + missing, differing + missing)
}
