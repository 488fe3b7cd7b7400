//! All that is kept at the end of each day, beside a recompute of what had not been cancelled by then.

use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use tidemill::differential_dataflow::ExchangeData;
use tidemill::hash::stable_hash;
use tidemill::time::days;
use tidemill::{Collection, Config, Epoch, Events, Memory, Millis, Sink, SinkError, Timing, Update, execute};
use tidemill_shop::{Kind, Line};

use crate::before_after::{EPOCH, fill, filler, uncancelled};
use crate::collections::Visit;
use crate::graph::{Answers, Options, answers};

/// What became of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compared {
    /// When it ended, in ms since 1970 UTC.
    pub end: Millis,
    /// Lines until then.
    pub lines: usize,
    /// Rows that the graph kept, or only the recompute had.
    pub rows: usize,
    /// How many of these only one of both had.
    pub differ: usize,
    /// How many collections they are of.
    pub collections: usize,
}

/// Replays lines that are in order of time, and compares all that is kept at the end of every `every` UTC days, and of all, with a
/// graph that is given at once what had not been cancelled by then. Lists are those of the moment in which their users acted,
/// with what was cancelled later, so at these ends all are made anew. Says what became of each.
///
/// Nobody in the lines wants to be forgotten, and no item moves to another category: what is given at once is all of the last one.
///
/// # Errors
///
/// What stops a job, or if somebody wants to be forgotten.
pub fn compare(
    lines: &[Line],
    options: &Options,
    every: u32,
    config: impl Fn() -> tidemill::Result<Config>,
    mut say: impl FnMut(Compared),
) -> tidemill::Result<()> {
    let mut options = options.clone();
    (options.lists.anew, options.lists.there, options.lists.learns) = (0, Millis::MAX / 4, false);
    let step = days(every.into());
    let ends: Vec<(Millis, usize)> = lines
        .chunk_by(|a, b| a.time.div_euclid(step) == b.time.div_euclid(step))
        .scan(0, |until, of_days| {
            *until += of_days.len();
            of_days.last().map(|last| (last.time, *until))
        })
        .collect();
    // Somebody nobody knows wants to be forgotten: nothing goes, and lists are made anew.
    let wish =
        |nth: usize, time| Line { user: Some(u64::MAX), kind: Kind::Forget, ..filler(u64::MAX / 2 + nth as u64, time) };

    let (mut replayed, mut from) = (Vec::new(), 0);
    for (nth, (time, until)) in ends.iter().enumerate() {
        replayed.extend_from_slice(&lines[from..*until]);
        replayed.push(wish(nth, *time));
        fill(&mut replayed, *time);
        from = *until;
    }
    // Here and below another epoch, since the end of the input makes nothing old.
    replayed.extend(ends.last().map(|(time, _)| filler(u64::MAX, *time)));
    let (mut changes, epochs) = run(replayed, &options, Config { epoch_records: EPOCH, ..config()? })?;
    if epochs.len() != ends.len() {
        return Err(tidemill::Error::Usage(
            "somebody among the lines wants to be forgotten: leave such lines out".to_owned(),
        ));
    }
    let mut kept = State::default();
    for ((nth, (time, until)), epoch) in ends.iter().enumerate().zip(epochs) {
        let later = changes.split_off(&(epoch + 1));
        kept.change(std::mem::replace(&mut changes, later));
        let mut at_once = uncancelled(&lines[..*until], &options.rules);
        at_once.push(wish(nth, *time));
        let epoch_records = at_once.len();
        at_once.push(filler(u64::MAX, *time));
        let mut recomputed = State::default();
        recomputed.change(run(at_once, &options, Config { epoch_records, ..config()? })?.0);
        let (rows, differ) = kept.compare(&recomputed);
        let collections = kept.0.keys().map(|(collection, _)| collection).collect::<FxHashSet<_>>().len();
        say(Compared { end: *time, lines: *until, rows, differ, collections });
    }
    Ok(())
}

/// A row of a collection as a number.
type Mark = (u16, u64);

/// The changes of each epoch.
type Changes = BTreeMap<Epoch, Vec<Update<Mark>>>;

/// The changes of a run, and the epochs in which somebody wanted to be forgotten.
fn run(lines: Vec<Line>, options: &Options, config: Config) -> tidemill::Result<(Changes, Vec<Epoch>)> {
    let (marks, wishes) = (Marks::default(), Memory::new());
    let (to_marks, to_wishes, options, input) = (marks.clone(), wishes.clone(), options.clone(), Events::new(lines));
    execute(config, move |job| {
        let rules = options.rules.clone();
        let timing = Timing::by(move |line: &Line| rules.event_time(line)).disorder(60_000);
        let lines = job.source("lines", input.clone(), timing)?;
        lines.clone().filter(|line| line.kind == Kind::Forget).sink("wishes", to_wishes.clone())?;
        all(&answers(lines, &options)?).sink("all", to_marks.clone())
    })?
    .finished()?;
    Ok((marks.take(), wishes.take().into_iter().map(|(epoch, _)| epoch).collect()))
}

/// All that is kept.
fn all<'s>(answers: &Answers<'s>) -> Collection<'s, Mark> {
    let mut all = All { rows: answers.facts.clone().map(|fact| (0, stable_hash(&fact))), collections: 0 };
    answers.visit(&mut all);
    all.rows
}

struct All<'s> {
    rows: Collection<'s, Mark>,
    collections: u16,
}

impl<'s> Visit<'s> for All<'s> {
    fn collection<R: ExchangeData + Debug>(
        &mut self,
        _: &'static str,
        rows: &Collection<'s, R>,
        _: impl Fn(&R) -> Option<u64> + 'static,
    ) {
        self.collections += 1;
        let number = self.collections;
        self.rows = self.rows.clone().union(rows.clone().map(move |row| (number, stable_hash(&row))));
    }
}

/// Keeps changes by epoch.
#[derive(Clone, Default)]
struct Marks(Arc<Mutex<Changes>>);

impl Marks {
    fn take(&self) -> Changes {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Sink for Marks {
    type Item = Update<Mark>;

    fn write(&mut self, epoch: Epoch, updates: &mut Vec<Update<Mark>>) -> Result<(), SinkError> {
        let mut changes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        changes.entry(epoch).or_default().append(updates);
        Ok(())
    }
}

/// The rows that are true, with how often each is.
#[derive(Default)]
struct State(FxHashMap<Mark, isize>);

impl State {
    fn change(&mut self, changes: Changes) {
        for Update { row, diff } in changes.into_values().flatten() {
            let count = self.0.entry(row).or_default();
            *count += diff;
            if *count == 0 {
                self.0.remove(&row);
            }
        }
    }

    /// How many rows either has, and how many only one of them, or more often.
    fn compare(&self, other: &State) -> (usize, usize) {
        let differ = self.0.iter().filter(|(row, count)| other.0.get(*row) != Some(*count)).count();
        let missing = other.0.keys().filter(|row| !self.0.contains_key(*row)).count();
        (self.0.len() + missing, differ + missing)
    }
}
