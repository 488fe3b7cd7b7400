//! All that the graph keeps, as text: to compare two runs, and to see what an event touches.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tidemill::{Collection, Epoch, Result, Sink, SinkError, Start, Update, differential_dataflow};

use crate::collections::Visit;
use crate::graph::Answers;

/// A row of a collection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Row {
    /// The collection's name.
    pub collection: String,
    /// Whose it is, if it is of one user.
    pub user: Option<u64>,
    /// What it says.
    pub text: String,
}

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

/// All that is kept, and what is known of items.
pub fn everything<'s>(answers: &Answers<'s>) -> Collection<'s, Row> {
    let mut rows = Rows(text("items", &answers.facts, |_| None));
    answers.visit(&mut rows);
    rows.0
}

/// The rows of all collections.
struct Rows<'s>(Collection<'s, Row>);

impl<'s> Visit<'s> for Rows<'s> {
    fn collection<R: differential_dataflow::Data + Debug>(
        &mut self,
        name: &'static str,
        rows: &Collection<'s, R>,
        user: impl Fn(&R) -> Option<u64> + 'static,
    ) {
        self.0 = self.0.clone().union(text(name, rows, user));
    }
}

fn text<'s, R: differential_dataflow::Data + Debug>(
    collection: &'static str,
    rows: &Collection<'s, R>,
    user: impl Fn(&R) -> Option<u64> + 'static,
) -> Collection<'s, Row> {
    rows.clone().map(move |row| Row { collection: collection.to_owned(), user: user(&row), text: format!("{row:?}") })
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
