//! The graph: from a shop's lines to bundles and users' last baskets, and what these answer.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tidemill::time::days;
use tidemill::timely::dataflow::operators::vec::Map;
use tidemill::{Collection, Config, Events, Memory, Millis, Record, Report, Result, Stream, Timing, Update, execute};
use tidemill_events::{AsOf, Asked, Index};
use tidemill_recommend::{
    BasketIndex, Baskets, Bundle, BundleIndex, BundleRow, LastBaskets, Strongest, TifuKnn, Touch, WithBundles,
};
use tidemill_shop::{Action, Clean, Cleaning, CountReasons, Dropped, Held, Ledgers, Line, Reason, Rules};

/// Items of a basket that count.
pub const CAP: usize = 100;

/// How many items each item keeps that are in baskets with it.
pub const KEEP: usize = 200;

/// How many of a user's last baskets are kept.
pub const LAST: usize = 100;

/// Longer than any input goes.
const FOR_EVER: Millis = days(36_500);

/// What comes at once: an epoch. Its questions are answered from what was true before it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Step {
    /// When, in ms since 1970 UTC: of its lines and those before the latest time that is possible.
    pub time: Millis,
    /// What the shop says.
    pub lines: Vec<Line>,
    /// What is asked.
    pub questions: Vec<Question>,
}

/// Lines as steps of up to 1,000, with questions before the lines of these places; those behind the last line come in the end.
pub fn steps(lines: &[Line], rules: &Rules, questions: &BTreeMap<usize, Vec<Question>>) -> Vec<Step> {
    let mut steps = vec![Step { time: rules.earliest, ..Step::default() }];
    for place in 0..=lines.len() {
        let last = &steps[steps.len() - 1];
        let (time, asked) = (last.time, questions.get(&place));
        if asked.is_some() || last.lines.len() == 1_000 {
            steps.push(Step { time, lines: Vec::new(), questions: asked.cloned().unwrap_or_default() });
        }
        if let (Some(line), Some(step)) = (lines.get(place), steps.last_mut()) {
            step.time = step.time.max(rules.event_time(line));
            step.lines.push(*line);
        }
    }
    steps
}

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Question {
    /// Which of all bundles are the strongest?
    Strongest(Strongest),
    /// Which of an item's are?
    Of {
        /// The item.
        item: u64,
        /// Which bundles.
        which: Strongest,
    },
    /// What will be in a user's next basket?
    Next {
        /// Who.
        user: u64,
        /// So many items at most.
        n: usize,
    },
    /// How many baskets are there?
    Baskets,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// The strongest first.
    Bundles(Vec<Bundle<u64>>),
    /// Items and their scores, the best first.
    Items(Vec<(u64, f64)>),
    /// So many.
    Count(i64),
}

/// What is known, as rows of a collection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Row {
    /// What goes together.
    Bundle(BundleRow<u64>),
    /// What a user bought last.
    User(Baskets<u64, u64>),
}

/// Everything that is kept, from the events that hold.
pub fn keep<'s>(held: Stream<'s, Update<Held>>) -> Result<Collection<'s, Row>> {
    Ok(bundles(held.clone())?.map(Row::Bundle).union(users(held)?.map(Row::User)))
}

/// What goes together. A basket is a user's order.
pub fn bundles<'s>(held: Stream<'s, Update<Held>>) -> Result<Collection<'s, BundleRow<u64>>> {
    let touches = purchases(held).map(|Update { row: Touch { owner, time, seq, item: (order, item) }, diff }| Update {
        row: Touch { owner: (owner, order), time, seq, item },
        diff,
    });
    touches.key_by(|touch| touch.row.owner).bundles("bundles", CAP, KEEP)
}

/// What users bought last, order by order.
pub fn users<'s>(held: Stream<'s, Update<Held>>) -> Result<Collection<'s, Baskets<u64, u64>>> {
    purchases(held).key_by(|touch| touch.row.owner).maintain("last baskets", LastBaskets::new(LAST, CAP))
}

/// The purchases that hold: of a user an order and an item in it. One of which a part is cancelled goes and comes again.
fn purchases<'s>(held: Stream<'s, Update<Held>>) -> Stream<'s, Update<Touch<u64, (u64, u64)>>> {
    held.filter_map(|Update { row: Held { time, seq, event }, diff }| match event.action {
        Action::Purchase { order, item, .. } => {
            Some(Update { row: Touch { owner: event.user, time, seq, item: (order, item) }, diff })
        }
        _ => None,
    })
}

/// What holds of the lines of steps, and what was dropped.
pub fn clean<'s>(steps: Stream<'s, Step>, rules: &Rules) -> Result<(Stream<'s, Update<Held>>, Stream<'s, Dropped>)> {
    let times = rules.clone();
    // Each line at its own time.
    let lines = steps.inner().flat_map(move |Record { seq, value, .. }| {
        let timed =
            |(nth, line): (usize, Line)| Record { time: times.event_time(&line), seq: seq.child(nth), value: line };
        value.lines.into_iter().enumerate().map(timed).collect::<Vec<_>>()
    });
    let (clean, dropped) = Stream::from_inner(lines, &steps).clean("cleaning", rules.clone())?;
    let events = clean.filter_map(|clean| match clean {
        Clean::Shopper(event) => Some(event),
        Clean::Item(_) => None,
    });
    let held = events.key_by(|event| event.user).ledger("what holds", FOR_EVER)?.held;
    Ok((held, dropped))
}

/// What answers.
struct Known {
    bundles: BundleIndex<u64>,
    users: BasketIndex<u64, u64>,
}

impl Index for Known {
    type Row = Row;
    type Question = Question;
    type Answer = Answer;

    fn change(&mut self, row: Row, diff: isize) {
        match row {
            Row::Bundle(row) => self.bundles.change(row, diff > 0),
            Row::User(row) => self.users.change(&row, diff > 0),
        }
    }

    fn answer(&mut self, question: &Question) -> Answer {
        match question {
            Question::Strongest(which) => Answer::Bundles(self.bundles.strongest(*which)),
            Question::Of { item, which } => Answer::Bundles(self.bundles.of(item, *which)),
            Question::Next { user, n } => Answer::Items(self.users.next(user).top(*n)),
            Question::Baskets => Answer::Count(self.bundles.baskets()),
        }
    }
}

/// What a replay has told.
pub struct Told {
    /// The questions in order, each with its answer.
    pub answers: Vec<(Question, Answer)>,
    /// How many lines were dropped, by why.
    pub dropped: Vec<(Reason, u64)>,
    /// What the engine reports.
    pub report: Report,
}

/// Replays steps, and answers their questions.
///
/// # Errors
///
/// What stops the job.
pub fn replay(steps: Vec<Step>, rules: &Rules, workers: usize) -> Result<Told> {
    let (input, answers, reasons) = (Events::new(steps), Memory::new(), Memory::new());
    let (to_answers, to_reasons, rules) = (answers.clone(), reasons.clone(), rules.clone());
    let config = Config { epoch_records: 1, ..Config::workers(workers) };
    let report = execute(config, move |job| {
        let steps = job.source("steps", input.clone(), Timing::by(|step: &Step| step.time))?;
        let questions = steps.clone().flat_map(|step| step.questions);
        let (held, dropped) = clean(steps, &rules)?;
        dropped.map(|line| line.reason).count_reasons("reasons")?.sink("dropped", to_reasons.clone())?;
        let known = Known { bundles: BundleIndex::new(), users: BasketIndex::new(TifuKnn::default()) };
        questions.ask("known", keep(held)?, AsOf::Before, known)?.sink("answers", to_answers.clone())
    })?;
    let dropped = reasons.rows().into_iter().map(|(row, _)| row).collect();
    Ok(Told { answers: answers.values(), dropped, report })
}
