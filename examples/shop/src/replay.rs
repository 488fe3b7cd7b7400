//! A stream through the graph, with all that it leaves: to compare runs.

use fraud::features::Features;
use recommend::graph::Rows;
use std::collections::BTreeMap;
use tidemill::time::days;
use tidemill::{Config, Events, Memory, Timing, Update, execute};
use tidemill_inference::Score;
use tidemill_recommend::Ranked;
use tidemill_shop::{Held, Line};

use crate::before_after::EPOCH;
use crate::forgotten::{Went, report};
use crate::graph::{Options, answers};
use crate::record::{Recorded, Recorder, record};

/// What is left of a run.
pub struct Ran {
    /// All that is kept, as text.
    pub recorded: Recorded,
    /// The lists.
    pub lists: BTreeMap<Ranked<u64, u64>, isize>,
    /// What holds.
    pub held: BTreeMap<Held, isize>,
    /// Who was forgotten, and what went.
    pub went: Vec<Went>,
    /// How likely payments are frauds, if there is a model.
    pub scores: BTreeMap<(Features, Score), isize>,
}

/// Replays lines, one epoch every [`EPOCH`] of them.
///
/// # Errors
///
/// What stops the job.
pub fn replay(lines: Vec<Line>, options: &Options, config: Config, recorder: Recorder) -> anyhow::Result<Ran> {
    let (lists, held, went) = (Rows::default(), Rows::default(), Memory::new());
    let (to_lists, to_held, to_went) = (lists.clone(), held.clone(), went.clone());
    let scores = Rows::default();
    let to_scores = scores.clone();
    let (to_recorder, options) = (recorder.clone(), options.clone());
    let input = Events::new(lines);
    execute(Config { epoch_records: EPOCH, ..config }, move |job| {
        let rules = options.rules.clone();
        let timing = Timing::by(move |line: &Line| rules.event_time(line)).disorder(60_000).ahead(days(36_500));
        let answers = answers(job.source("lines", input.clone(), timing)?, &options)?;
        answers.kept.lists.clone().sink("lists out", to_lists.clone())?;
        answers
            .held
            .clone()
            .key_by(|change| change.row)
            .maintain("held", Holding)?
            .sink("held out", to_held.clone())?;
        if let Some(scores) = &answers.scores {
            scores.clone().sink("scores out", to_scores.clone())?;
        }
        report(&answers)?.sink("forgotten", to_went.clone())?;
        record(&answers, &to_recorder)
    })?
    .finished()?;
    Ok(Ran {
        recorded: recorder.take(),
        lists: lists.take(),
        held: held.take(),
        went: went.values(),
        scores: scores.take(),
    })
}

/// What holds, as rows.
struct Holding;

impl tidemill::Maintain for Holding {
    type Key = Held;
    type In = Update<Held>;
    type State = i64;
    type Row = Held;

    const ORDER: tidemill::Order = tidemill::Order::Any;

    fn update(&self, _: &Held, count: &mut i64, changes: &mut Vec<tidemill::Record<Update<Held>>>) {
        *count += changes.drain(..).map(|change| change.value.diff as i64).sum::<i64>();
    }

    fn rows(&self, held: &Held, count: &i64, rows: &mut Vec<Held>) {
        rows.extend((*count > 0).then_some(*held));
    }
}
