//! The sinks against a real server: equal to a model after every epoch, whatever breaks in between.

mod events;
mod faults;
mod jobs;
mod proxy;
mod rows;
mod server;

use serde::{Deserialize, Serialize};
use tidemill::{Epoch, Record, Seq, Sink, SinkError, Start, Update};

/// A row with a key and two values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Row {
    id: i32,
    name: String,
    cents: Option<i64>,
}

pub(crate) const COLUMNS: &str = "(id int PRIMARY KEY, name text NOT NULL, cents bigint)";

pub(crate) fn row(id: i32, name: &str) -> Row {
    Row { id, name: name.to_owned(), cents: (id % 3 != 0).then_some(id as i64 * 100) }
}

pub(crate) fn events<T>(values: impl IntoIterator<Item = T>) -> Vec<Record<T>> {
    values.into_iter().map(|value| Record { time: 0, seq: Seq::default(), value }).collect()
}

pub(crate) fn update<T>(row: T, diff: isize) -> Update<T> {
    Update { row, diff }
}

/// Where the first run of a lineage begins.
pub(crate) fn first(lineage: &str) -> Start {
    Start { lineage: lineage.to_owned(), checkpoints: true, epoch: 0, exact_through: Epoch::MAX, saved: None }
}

/// A restart at a checkpoint.
pub(crate) fn restart(lineage: &str, (epoch, saved): (Epoch, Vec<u8>), exact: bool) -> Start {
    Start {
        lineage: lineage.to_owned(),
        checkpoints: true,
        epoch,
        exact_through: if exact { Epoch::MAX } else { epoch },
        saved: Some(saved),
    }
}

/// Writes an epoch and commits it, and gives the checkpoint of it.
pub(crate) fn epoch<S: Sink>(
    sink: &mut S,
    epoch: Epoch,
    mut items: Vec<S::Item>,
) -> Result<(Epoch, Vec<u8>), SinkError> {
    sink.write(epoch, &mut items)?;
    assert!(items.is_empty(), "what a sink takes is gone");
    sink.commit(epoch)?;
    Ok((epoch, sink.save()?))
}

/// The text of an error, which must not hold the password.
pub(crate) fn error<T>(result: Result<T, SinkError>) -> String {
    let text = result.err().expect("an error").to_string();
    let password = server::url().split([':', '@']).nth(2).expect("an address");
    assert!(!text.contains(password), "{text}");
    text
}
