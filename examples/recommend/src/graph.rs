//! The graph that learns from what happens and answers what comes next.

use crate::protocol::{Event, Owners, Protocol, Question, STEPS_AT_ONCE, Step};
use crate::transformer::{ALL, Transformer, is_there};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tidemill::differential_dataflow::ExchangeData;
use tidemill::{
    Collection, Config, Context, Epoch, Events, Memory, Process, Reject, Report, Result, Sink, SinkError, Stream,
    Timing, Update, execute,
};
use tidemill_events::{AsOf, Asked, Index};
use tidemill_inference::{Answer, Infer, Model, ModelError, NotAScore, Pool, PoolConfig, Score};
use tidemill_recommend::{
    Candidates, ItemIndex, ItemRow, LastItems, Nearest, Ranker, Scores, Session, SessionIndex, WithItems,
};

/// How far apart two items of an owner are linked.
pub const REACH: usize = 10;

/// How many items each item keeps that follow it, or that are in baskets with it.
pub const KEEP: usize = 200;

/// How many of an owner's last items are kept for nearest sessions.
pub const LAST: usize = 50;

/// The rank of a question's target among different sets of items: `None` where it was not found. All ties count against it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ranks {
    /// Among all.
    pub all: Option<u32>,
    /// Among all but the history's last, which is not found then if it comes again.
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
        let without_current = rank(&scores).filter(|_| history.last() != Some(target));
        scores.retain(|item| item == target || !history.contains(item));
        let without_seen = rank(&scores);
        scores.retain(|item| item == target || among.contains(item));
        Ranks { all, without_current, without_seen, among: rank(&scores) }
    }
}

/// What a model says of a question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    ranks: Ranks,
    /// The best items, or those the question names, with their scores.
    list: Vec<(u32, f64)>,
}

/// Items of a list that are blended with others.
const LISTED: usize = 100;

impl Verdict {
    /// Of scores, where an item of the history may come again or not.
    pub fn of(scores: Scores<u32>, question: &Question, repeats: bool) -> Self {
        let mut list = scores.clone();
        list.retain(|item| {
            let is_named = question.among.is_empty() || *item == question.target || question.among.contains(item);
            is_named && (repeats || *item == question.target || !question.history.contains(item))
        });
        Verdict { ranks: Ranks::of(scores, question), list: list.top(LISTED.max(question.among.len() + 1)) }
    }
}

/// A question on its way through the models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asking {
    question: Question,
    /// What those have said that it has passed.
    said: Vec<Verdict>,
}

impl Asking {
    fn with(mut self, verdict: Verdict) -> Self {
        self.said.push(verdict);
        self
    }
}

/// Items by their links.
struct Counting {
    index: ItemIndex<u32>,
    owners: Owners,
    repeats: bool,
}

impl Index for Counting {
    type Row = ItemRow<u32>;
    type Question = Asking;
    type Answer = Verdict;

    fn change(&mut self, row: ItemRow<u32>, diff: isize) {
        self.index.change(row, diff > 0);
    }

    fn change_all(&mut self, changes: Vec<(ItemRow<u32>, isize)>) {
        self.index.change_all(&changes);
    }

    fn answer(&mut self, Asking { question, .. }: &Asking) -> Verdict {
        let scores = match self.owners {
            Owners::Sessions => self.index.next(&question.history),
            Owners::Baskets => self.index.together(&question.history),
        };
        Verdict::of(scores, question, self.repeats)
    }
}

/// Items by how often they were touched: what every other model must beat.
struct Popular {
    counts: BTreeMap<u32, i64>,
    repeats: bool,
}

impl Index for Popular {
    type Row = ItemRow<u32>;
    type Question = Asking;
    type Answer = Verdict;

    fn change(&mut self, row: ItemRow<u32>, diff: isize) {
        match (row, diff > 0) {
            (ItemRow::Counted { item, count }, true) => _ = self.counts.insert(item, count),
            (ItemRow::Counted { item, .. }, false) => _ = self.counts.remove(&item),
            _ => {}
        }
    }

    fn answer(&mut self, Asking { question, .. }: &Asking) -> Verdict {
        let scores = Scores::new(self.counts.iter().map(|(item, count)| (*item, *count as f64)).collect());
        Verdict::of(scores, question, self.repeats)
    }
}

/// Nearest sessions.
struct Knn {
    index: SessionIndex<u32, u32>,
    repeats: bool,
}

impl Index for Knn {
    type Row = Session<u32, u32>;
    type Question = Asking;
    type Answer = Verdict;

    fn change(&mut self, row: Session<u32, u32>, diff: isize) {
        if diff > 0 { self.index.insert(&row) } else { self.index.remove(&row) }
    }

    fn answer(&mut self, Asking { question, .. }: &Asking) -> Verdict {
        Verdict::of(self.index.scores(&question.history, Some(&question.owner)), question, self.repeats)
    }
}

/// A Transformer.
struct Network {
    transformer: Transformer,
    /// One that was trained on what teaches, too, if there is one: it is asked whatever does not teach.
    all: Option<Transformer>,
    repeats: bool,
}

impl Network {
    fn load(folder: &Path, data: &str, repeats: bool) -> std::result::Result<Self, ModelError> {
        let load = |data: &str| Transformer::load(folder, data).map_err(|error| ModelError::new(format!("{error:#}")));
        let all = format!("{data}{ALL}");
        let all = is_there(folder, &all).then(|| load(&all)).transpose()?;
        Ok(Network { transformer: load(data)?, all, repeats })
    }
}

impl Model for Network {
    type In = Question;
    type Out = Said;

    fn predict(&mut self, questions: &[Question]) -> std::result::Result<Vec<Said>, ModelError> {
        let mut said = Vec::with_capacity(questions.len());
        for some in questions.chunk_by(|a, b| a.teaches == b.teaches) {
            let all = self.all.as_ref().filter(|_| !some[0].teaches);
            let histories: Vec<&[u32]> = some.iter().map(|question| question.history.as_slice()).collect();
            let scores = all.unwrap_or(&self.transformer).scores(&histories).map_err(ModelError::new)?;
            let verdict = |(scores, question)| Said(Verdict::of(scores, question, self.repeats));
            said.extend(scores.into_iter().zip(some).map(verdict));
        }
        Ok(said)
    }
}

/// What a network says. Its scores are kept as logarithms of shares of the best, which fixed point does well.
struct Said(Verdict);

impl Answer for Said {
    type Score = (Ranks, Vec<(u32, Score)>);

    fn quantise(self) -> std::result::Result<Self::Score, NotAScore> {
        let best = self.0.list.first().map_or(1.0, |(_, score)| *score);
        let list = self.0.list.into_iter().map(|(item, score)| Ok((item, (score / best).ln().quantise()?)));
        Ok((self.0.ranks, list.collect::<std::result::Result<_, _>>()?))
    }
}

/// Blends what the models say, and learns how from the questions that are there for that.
struct Blend {
    repeats: bool,
    /// Whether it learns from every question once that has been answered.
    learns_on: bool,
}

/// The items of a history, each once, the latest first: how likely it is that one comes again differs from what models say of
/// those that are new.
fn had(history: &[u32]) -> Vec<(u32, f64)> {
    let mut had: Vec<(u32, f64)> = Vec::new();
    for item in history.iter().rev() {
        if had.iter().all(|(other, _)| other != item) {
            had.push((*item, 1.0 / (had.len() + 1) as f64));
        }
    }
    had
}

impl Process for Blend {
    type Key = ();
    type In = Asking;
    type Out = (Question, Vec<Ranks>);
    type State = Option<Ranker>;

    const UNDO: bool = false;

    fn process(
        &self,
        _: &(),
        asking: Asking,
        ranker: &mut Option<Ranker>,
        ctx: &mut Context<'_, Self::Out>,
    ) -> std::result::Result<(), Reject> {
        let Asking { question, said } = asking;
        let (mut ranks, mut lists): (Vec<_>, Vec<_>) = said.into_iter().map(|said| (said.ranks, said.list)).unzip();
        if self.repeats {
            lists.push(had(&question.history));
        }
        let ranker = ranker.get_or_insert_with(|| Ranker::new(lists.len()));
        let candidates = Candidates::of(&lists);
        if question.teaches {
            ranker.learn(&candidates, &question.target);
        } else {
            ranks.push(Verdict::of(ranker.rank(&candidates), &question, self.repeats).ranks);
            if self.learns_on {
                ranker.learn(&candidates, &question.target);
            }
            ctx.emit((question, ranks));
        }
        Ok(())
    }
}

/// The rows of a collection at the end of a job.
pub struct Rows<R>(Arc<Mutex<BTreeMap<R, isize>>>);

impl<R> Clone for Rows<R> {
    fn clone(&self) -> Self {
        Rows(Arc::clone(&self.0))
    }
}

impl<R> Default for Rows<R> {
    fn default() -> Self {
        Rows(Arc::default())
    }
}

impl<R: Ord> Rows<R> {
    /// Takes out the rows, with how often each is there.
    pub fn take(&self) -> BTreeMap<R, isize> {
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

/// Replays a protocol's steps as a stream, and asks all models; Transformers too, if there is a folder with them.
pub fn replay(protocol: &Protocol, workers: usize, transformers: Option<&Path>) -> Result<Replayed> {
    let Protocol { owners, repeats, test_then_learn, .. } = *protocol;
    let (input, items, sessions, answers) =
        (Events::new(protocol.steps.clone()), Rows::default(), Rows::default(), Memory::new());
    let (to_items, to_sessions, to_answers) = (items.clone(), sessions.clone(), answers.clone());
    let epoch_records = if test_then_learn { 1 } else { STEPS_AT_ONCE };
    let as_of = if test_then_learn { AsOf::Before } else { AsOf::Now };
    let mut models = vec!["counting"];
    if !test_then_learn {
        models.push("popular");
    }
    if owners == Owners::Sessions {
        models.push("knn");
    }
    let data = protocol.data;
    let pool = transformers.map(Path::to_owned).map(|folder| {
        Pool::new(PoolConfig { batch: 64, ..PoolConfig::default() }, move || {
            tidemill_torch::one_thread_each();
            Network::load(&folder, data, repeats)
        })
    });
    if pool.is_some() {
        models.push("sasrec");
    }
    // Whoever has learnt nothing has no say.
    if test_then_learn || protocol.steps.iter().flat_map(|step| &step.questions).any(|question| question.teaches) {
        models.push("blend");
    }
    let asked = models.clone();
    let report = execute(Config { epoch_records, ..Config::workers(workers) }, move |job| {
        let steps = job.source("steps", input.clone(), Timing::by(|step: &Step| step.time))?;
        let questions = steps.clone().flat_map(|step| step.questions);
        let events = steps.flat_map(|step| step.events).map(|row| Update { row, diff: 1 });
        let items = learn(events.clone(), owners)?;
        items.clone().sink("items", to_items.clone())?;
        let mut asking = questions.map(|question| Asking { question, said: Vec::new() });
        let counting = Counting { index: ItemIndex::new(), owners, repeats };
        asking = asking.ask("counting", items.clone(), as_of, counting)?.map(|(asking, said)| asking.with(said));
        if asked.contains(&"popular") {
            let popular = Popular { counts: BTreeMap::new(), repeats };
            asking = asking.ask("popular", items, as_of, popular)?.map(|(asking, said)| asking.with(said));
        }
        if owners == Owners::Sessions {
            let sessions = events.key_by(|event| event.row.owner).maintain("sessions", LastItems::new(LAST))?;
            sessions.clone().sink("sessions out", to_sessions.clone())?;
            let knn = Knn { index: SessionIndex::new(Nearest::default()), repeats };
            asking = asking.ask("knn", sessions, as_of, knn)?.map(|(asking, said)| asking.with(said));
        }
        if let Some(pool) = &pool {
            asking = asking.infer("sasrec", pool, |asking| asking.question.clone())?.map(|(asking, (ranks, list))| {
                let list = list.into_iter().map(|(item, score)| (item, score.to_f64().exp())).collect();
                asking.with(Verdict { ranks, list })
            });
        }
        let blend = Blend { repeats, learns_on: test_then_learn };
        let answers = asking.key_by(|_| ()).process("blend", blend)?;
        answers.map(|(_, ranks)| ranks).sink("answers", to_answers.clone())
    })?;
    let mut ranks: BTreeMap<&'static str, Vec<Ranks>> = BTreeMap::new();
    for answer in answers.values() {
        for (model, rank) in models.iter().zip(answer) {
            ranks.entry(model).or_default().push(rank);
        }
    }
    Ok(Replayed { ranks, items: items.take(), sessions: sessions.take(), report })
}

/// What goes with items, from their owners' events.
fn learn<'s>(events: Stream<'s, Update<Event>>, owners: Owners) -> Result<Collection<'s, ItemRow<u32>>> {
    let events = events.key_by(|event| event.row.owner);
    match owners {
        Owners::Sessions => events.followers("what follows", REACH, KEEP),
        Owners::Baskets => events.companions("what goes together", crate::data::online_retail::CAP, KEEP),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transformer::{Settings, train_on};

    #[test]
    fn what_counts_is_asked_of_the_network_that_was_shown_all() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { epochs: 1, width: 4, heads: 1, blocks: 1, ..Settings::default() };
        train_on("few", vec![vec![1, 2, 3]; 8], &settings, folder.path()).unwrap();
        let all = Settings { all: true, ..settings };
        train_on("few-all", vec![vec![1, 2, 3, 9]; 8], &all, folder.path()).unwrap();
        let mut network = Network::load(folder.path(), "few", true).unwrap();
        let ask = |teaches| Question { owner: 1, history: vec![1, 2], target: 9, among: Vec::new(), teaches };
        let said = network.predict(&[true, false, true, false].map(ask)).unwrap();
        let found: Vec<bool> = said.iter().map(|Said(verdict)| verdict.ranks.all.is_some()).collect();
        assert_eq!(found, [false, true, false, true]);
    }
}
