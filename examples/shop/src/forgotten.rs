//! What went from where when users were forgotten.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tidemill::differential_dataflow::{ExchangeData, consolidation::consolidate};
use tidemill::hash::stable_hash;
use tidemill::{
    Closing, Collection, Emit, Kernel, Millis, Order, Record, Result, Save, Saved, StateError, Stream, Update,
};
use tidemill_shop::Forgotten;

use crate::collections::Visit;
use crate::graph::Answers;

/// That a user was forgotten, and what went.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Went {
    /// Who.
    pub user: u64,
    /// The time of the wish, in ms since 1970 UTC.
    pub time: Millis,
    /// Events of the user that were kept until then: cancelled ones and cancellations too.
    pub events: u64,
    /// Rows of the user that went, by collection.
    pub rows: BTreeMap<String, u64>,
    /// Rows that are not of one user, as what follows what: how many went and came in that epoch, for this and for what else
    /// happened in it.
    pub shared: BTreeMap<String, [u64; 2]>,
}

/// A report for each user who is forgotten, in that epoch. All changes of all that is kept go through one worker for it.
///
/// # Errors
///
/// [`Error::Graph`](tidemill::Error::Graph) if a name is taken.
pub fn report<'s>(answers: &Answers<'s>) -> Result<Stream<'s, Went>> {
    let mut changes = Changes(answers.forgotten.clone().map(Change::Forgotten));
    answers.visit(&mut changes);
    Ok(changes.0.key_by(|_| ()).kernel("what went", Reports::default())?.0)
}

/// What happens to all collections.
struct Changes<'s>(Stream<'s, Change>);

impl<'s> Visit<'s> for Changes<'s> {
    fn collection<R: ExchangeData>(
        &mut self,
        name: &'static str,
        rows: &Collection<'s, R>,
        user: impl Fn(&R) -> Option<u64> + 'static,
    ) {
        let changes = rows.clone().changes(|_| 0).map(move |Update { row, diff }| Change::Row {
            collection: name.to_owned(),
            user: user(&row),
            row: stable_hash(&row),
            diff,
        });
        self.0 = self.0.clone().union(changes);
    }
}

/// Something that happens in an epoch.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Change {
    Forgotten(Forgotten),
    Row { collection: String, user: Option<u64>, row: u64, diff: isize },
}

/// Puts an epoch's changes together, and keeps nothing after it.
#[derive(Default)]
struct Reports {
    forgotten: Vec<Record<Forgotten>>,
    rows: Vec<((String, Option<u64>, u64), isize)>,
}

impl Kernel for Reports {
    type In = Change;
    type Out = Record<Went>;

    fn kind(&self) -> String {
        "reports of who was forgotten".to_owned()
    }

    fn state(&self) -> String {
        "none".to_owned()
    }

    fn order(&self) -> Order {
        Order::Any
    }

    fn records(&mut self, _: Closing, changes: &mut Vec<Record<Change>>, _: &mut Emit<Change, Self::Out>) {
        for Record { time, seq, value } in changes.drain(..) {
            match value {
                Change::Forgotten(value) => self.forgotten.push(Record { time, seq, value }),
                Change::Row { collection, user, row, diff } => self.rows.push(((collection, user, row), diff)),
            }
        }
    }

    fn settle(&mut self, _: Closing, emit: &mut Emit<Change, Self::Out>) {
        if !self.forgotten.is_empty() {
            consolidate(&mut self.rows);
            let mut shared: BTreeMap<String, [u64; 2]> = BTreeMap::new();
            for ((collection, _, _), diff) in self.rows.iter().filter(|((_, user, _), _)| user.is_none()) {
                let [went, came] = shared.entry(collection.clone()).or_default();
                *(if *diff < 0 { went } else { came }) += diff.unsigned_abs() as u64;
            }
            for Record { time, seq, value: Forgotten { user, time: wish, events } } in self.forgotten.drain(..) {
                let mut rows: BTreeMap<String, u64> = BTreeMap::new();
                for ((collection, of, _), diff) in &self.rows {
                    if *of == Some(user) && *diff < 0 {
                        *rows.entry(collection.clone()).or_default() += diff.unsigned_abs() as u64;
                    }
                }
                let value = Went { user, time: wish, events, rows, shared: shared.clone() };
                emit.out.push(Record { time, seq, value });
            }
        }
        self.rows.clear();
    }

    fn save(&mut self, _: &mut Save) {}

    fn load(&mut self, _: Closing, _: Saved<'_>, _: &mut Emit<Change, Self::Out>) -> Result<(), StateError> {
        Ok(())
    }
}
