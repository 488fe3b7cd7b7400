//! The graph that learns from what happens and answers what comes next.

use crate::protocol::{Event, Owners, Protocol, Question, Step};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tidemill::differential_dataflow::ExchangeData;
use tidemill::{
    Collection, Config, Epoch, Events, Memory, Record, Report, Result, Sink, SinkError, Stream, Timing, Update, execute,
};
use tidemill_recommend::{
    AsOf, Asked, Index, ItemIndex, ItemRow, LastItems, Nearest, Scores, Session, SessionIndex, WithItems,
};

/// How far apart two items of an owner are linked.
pub const REACH: usize = 10;

/// How many items each item keeps that follow it, or that are in baskets with it.
pub const KEEP: usize = 200;

/// How many of an owner's last items are kept for nearest sessions.
pub const LAST: usize = 50;

/// The rank of a question's target among different sets of items: `None` where it was not found. All ties count against it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranks {
    /// Among all.
    pub all: Option<u32>,
    /// Among all but the history's last.
    pub without_current: Option<u32>,
    /// Among all but the history's.
    pub without_seen: Option<u32>,
    /// Among those the question names, and the target.
    pub among: Option<u32>,
}

impl Ranks {
    /// Ranks a question's target by its score.
    pub fn of(mut scores: Scores<u32>, question: &Question) -> Self {
        let Question { history, target, among, .. } = question;
        let rank = |scores: &Scores<u32>| scores.rank(target).map(|rank| rank as u32);
        let all = rank(&scores);
        scores.retain(|item| item == target || Some(item) != history.last());
        let without_current = rank(&scores);
        scores.retain(|item| item == target || !history.contains(item));
        let without_seen = rank(&scores);
        scores.retain(|item| item == target || among.contains(item));
        Ranks { all, without_current, without_seen, among: rank(&scores) }
    }
}

/// Items by their links.
struct Counting {
    index: ItemIndex<u32>,
    owners: Owners,
}

impl Index for Counting {
    type Row = ItemRow<u32>;
    type Question = Question;
    type Answer = Ranks;

    fn change(&mut self, row: ItemRow<u32>, diff: isize) {
        self.index.change(row, diff > 0);
    }

    fn answer(&mut self, question: &Question) -> Ranks {
        Ranks::of(counting(&self.index, self.owners, &question.history), question)
    }
}

/// What an index of items says.
pub fn counting(index: &ItemIndex<u32>, owners: Owners, history: &[u32]) -> Scores<u32> {
    match owners {
        Owners::Sessions => index.next(history),
        Owners::Baskets => index.together(history),
    }
}

/// Items by how often they were touched: what every other model must beat.
#[derive(Default)]
struct Popular(BTreeMap<u32, i64>);

impl Index for Popular {
    type Row = ItemRow<u32>;
    type Question = Question;
    type Answer = Ranks;

    fn change(&mut self, row: ItemRow<u32>, diff: isize) {
        match (row, diff > 0) {
            (ItemRow::Counted { item, count }, true) => _ = self.0.insert(item, count),
            (ItemRow::Counted { item, .. }, false) => _ = self.0.remove(&item),
            _ => {}
        }
    }

    fn answer(&mut self, question: &Question) -> Ranks {
        Ranks::of(Scores::new(self.0.iter().map(|(item, count)| (*item, *count as f64)).collect()), question)
    }
}

/// Nearest sessions.
struct Knn(SessionIndex<u32, u32>);

impl Index for Knn {
    type Row = Session<u32, u32>;
    type Question = Question;
    type Answer = Ranks;

    fn change(&mut self, row: Session<u32, u32>, diff: isize) {
        if diff > 0 { self.0.insert(&row) } else { self.0.remove(&row) }
    }

    fn answer(&mut self, question: &Question) -> Ranks {
        Ranks::of(self.0.scores(&question.history, Some(&question.owner)), question)
    }
}

/// The rows of a collection at the end of a job.
pub struct Rows<R>(Arc<Mutex<BTreeMap<R, isize>>>);

impl<R> Clone for Rows<R> {
    fn clone(&self) -> Self {
        Rows(Arc::clone(&self.0))
    }
}

impl<R: Ord> Rows<R> {
    fn new() -> Self {
        Rows(Arc::default())
    }

    fn take(&self) -> BTreeMap<R, isize> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<R: ExchangeData> Sink for Rows<R> {
    type Item = Update<R>;

    fn write(&mut self, _: Epoch, updates: &mut Vec<Update<R>>) -> std::result::Result<(), SinkError> {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for Update { row, diff } in updates.drain(..) {
            match rows.get_mut(&row) {
                Some(count) if *count + diff == 0 => _ = rows.remove(&row),
                Some(count) => *count += diff,
                None => _ = rows.insert(row, diff),
            }
        }
        Ok(())
    }
}

/// What a replay left.
pub struct Replayed {
    /// Of each model, the ranks of all questions' targets in order.
    pub ranks: BTreeMap<&'static str, Vec<Ranks>>,
    /// What is known of items.
    pub items: BTreeMap<ItemRow<u32>, isize>,
    /// The sessions, where owners are.
    pub sessions: BTreeMap<Session<u32, u32>, isize>,
    /// What the engine reports.
    pub report: Report,
}

/// Replays a protocol's steps as a stream.
pub fn replay(protocol: &Protocol, workers: usize, popular: bool) -> Result<Replayed> {
    let (owners, input) = (protocol.owners, Events::new(protocol.steps.clone()));
    let (items, sessions) = (Rows::new(), Rows::new());
    let models = ["counting", "knn", "popular"].map(|model| (model, Memory::<Record<Ranks>>::new()));
    let (to_items, to_sessions, to_models) = (items.clone(), sessions.clone(), models.clone());
    let test_then_learn = protocol.test_then_learn;
    let epoch_records = if test_then_learn { 1 } else { 1_000 };
    let config = Config { epoch_records, ..Config::workers(workers) };
    let as_of = if test_then_learn { AsOf::Before } else { AsOf::Now };
    let report = execute(config, move |job| {
        let [to_counting, to_knn, to_popular] = to_models.each_ref().map(|(_, memory)| memory.clone());
        let steps = job.source("steps", input.clone(), Timing::by(|step: &Step| step.time))?;
        let questions = steps.clone().flat_map(|step| step.questions);
        let events = steps.flat_map(|step| step.events).map(|row| Update { row, diff: 1 });
        let rows = learn(events.clone(), owners)?;
        rows.clone().sink("items", to_items.clone())?;
        answer(
            &questions,
            "counting",
            (rows.clone(), as_of),
            Counting { index: ItemIndex::new(), owners },
            to_counting,
        )?;
        if popular {
            answer(&questions, "popular", (rows, as_of), Popular::default(), to_popular)?;
        }
        if owners == Owners::Sessions {
            let sessions = events.key_by(|event| event.row.owner).maintain("sessions", LastItems::new(LAST))?;
            sessions.clone().sink("sessions out", to_sessions.clone())?;
            answer(&questions, "knn", (sessions, as_of), Knn(SessionIndex::new(Nearest::default())), to_knn)?;
        }
        Ok(())
    })?;
    let ranks = models.into_iter().map(|(model, ranks)| (model, ranks.values())).filter(|(_, ranks)| !ranks.is_empty());
    Ok(Replayed { ranks: ranks.collect(), items: items.take(), sessions: sessions.take(), report })
}

/// What goes with items, from their owners' events.
fn learn<'s>(events: Stream<'s, Update<Event>>, owners: Owners) -> Result<Collection<'s, ItemRow<u32>>> {
    let events = events.key_by(|event| event.row.owner);
    match owners {
        Owners::Sessions => events.followers("what follows", REACH, KEEP),
        Owners::Baskets => events.companions("what goes together", crate::data::online_retail::CAP, KEEP),
    }
}

/// Asks a model.
fn answer<'s, X>(
    questions: &Stream<'s, Question>,
    name: &str,
    (rows, as_of): (Collection<'s, X::Row>, AsOf),
    index: X,
    to: Memory<Record<Ranks>>,
) -> Result<()>
where
    X: Index<Question = Question, Answer = Ranks>,
{
    let answers = questions.clone().ask(name, rows, as_of, index)?.map(|(_, ranks)| ranks);
    answers.sink(&format!("{name} ranks"), to)
}
