//! Users who want to be forgotten: how long it takes, what goes from where, and whether nothing is left.

use crate::graph::{KEEP, LAST, REACH, Rows};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tidemill::time::days;
use tidemill::{Config, Epoch, Live, Millis, Record, Sink, SinkError, Timing, Update, execute};
use tidemill_events::{AsOf, AskedOfSeveral, Index, Respondent};
use tidemill_recommend::{ItemIndex, ItemRow, LastItems, Nearest, Session, SessionIndex, Touch, WithItems};
use tidemill_shop::{Action, Held, Ledgers, ShopEvent};

/// What is known of a shop's users and items, as rows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Row {
    /// What follows what.
    Item(ItemRow<u64>),
    /// A user's last items.
    User(Session<u64, u64>),
}

/// What happens at once, and whether to say when all of it is true.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Step {
    time: Millis,
    events: Vec<ShopEvent>,
    tell: bool,
}

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The events, and what follows what.
    Links,
    /// Users' last items, and an index of what is nearest to them, as well.
    Everything,
}

/// What forgetting did.
#[derive(Clone, Debug)]
pub struct Forgotten {
    /// From the wish to what is true without the users, in the indices that answer.
    pub took: Duration,
    /// Rows that went, and rows that came in the place of others, by what they are.
    pub rows: Changes,
    /// What is true in the end, if it was asked for; without times, for an event has that of the step it comes in.
    pub left: BTreeSet<Row>,
}

/// Rows that went, and that came, by what they are.
pub type Changes = BTreeMap<&'static str, [usize; 2]>;

/// What follows what, to make lists from. What it answers is only that it is up to date.
struct Items {
    index: ItemIndex<u64>,
    changes: Arc<Mutex<Changes>>,
}

impl Index for Items {
    type Row = ItemRow<u64>;
    type Question = ();
    type Answer = ();

    fn change(&mut self, row: ItemRow<u64>, diff: isize) {
        self.change_all(vec![(row, diff)]);
    }

    fn change_all(&mut self, changes: Vec<(ItemRow<u64>, isize)>) {
        self.index.change_all(&changes);
        let mut counts = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        for (row, diff) in changes {
            let of = match row {
                ItemRow::Linked { .. } => "what follows what",
                ItemRow::Counted { .. } => "how often items were touched",
            };
            counts.entry(of).or_default()[usize::from(diff > 0)] += 1;
        }
    }

    fn answer(&mut self, (): &()) {}
}

/// Users' last items, by which the nearest are found.
struct Users {
    index: SessionIndex<u64, u64>,
    changes: Arc<Mutex<Changes>>,
}

impl Index for Users {
    type Row = Session<u64, u64>;
    type Question = ();
    type Answer = ();

    fn change(&mut self, row: Session<u64, u64>, diff: isize) {
        if diff > 0 {
            self.index.insert(&row)
        } else {
            self.index.remove(&row)
        }
        let mut counts = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        counts.entry("users' last items").or_default()[usize::from(diff > 0)] += 1;
    }

    fn answer(&mut self, (): &()) {}
}

/// Tells whoever waits that an answer has come.
struct Tell(Sender<()>);

impl Sink for Tell {
    type Item = Record<((), Vec<()>)>;

    fn write(&mut self, _: Epoch, answers: &mut Vec<Self::Item>) -> Result<(), SinkError> {
        answers.drain(..).try_for_each(|_| self.0.send(()).map_err(|_| SinkError::new("nobody waits")))
    }
}

/// Has a shop's events come, and then some users forgotten at once. With `audit`, it keeps all rows beside the indices as well, which
/// takes longer.
pub fn forget(events: &[(Millis, ShopEvent)], users: &[u64], kept: Kept, audit: bool) -> anyhow::Result<Forgotten> {
    let (live, mut feeds) = Live::new(1, 64);
    let (tell, told) = channel();
    let (tell, rows) = (Mutex::new(Some(tell)), Rows::default());
    let counts: Arc<Mutex<Changes>> = Arc::default();
    let (to_rows, to_counts) = (rows.clone(), Arc::clone(&counts));
    let job = std::thread::spawn(move || {
        let config = Config { epoch_ms: Some(1), ..Config::workers(1) };
        execute(config, move |job| {
            let tell = tell.lock().ok().and_then(|mut tell| tell.take());
            let Some(tell) = tell else { return Ok(()) };
            let steps = job.source("steps", live.clone(), Timing::by(|step: &Step| step.time))?;
            let questions = steps.clone().flat_map(|step| step.tell.then_some(()));
            let events = steps.flat_map(|step| step.events).key_by(|event| event.user);
            let held = events.ledger("what holds", days(36_500))?.held;
            let touches = held.flat_map(|Update { row: Held { time, seq, event }, diff }| {
                let touch = |item| Update { row: Touch { owner: event.user, time, seq, item }, diff };
                event.action.item().map(touch)
            });
            let touches = touches.key_by(|touch| touch.row.owner);
            let items = touches.clone().followers("what follows", REACH, KEEP)?;
            let index = Items { index: ItemIndex::new(), changes: Arc::clone(&to_counts) };
            let mut indices = vec![Respondent::new(items.clone(), index)];
            let users =
                (kept == Kept::Everything).then(|| touches.maintain("users", LastItems::new(LAST))).transpose()?;
            if let Some(users) = &users {
                let index = Users { index: SessionIndex::new(Nearest::default()), changes: Arc::clone(&to_counts) };
                indices.push(Respondent::new(users.clone(), index));
            }
            if audit {
                let items = items.map(Row::Item);
                let rows = match users {
                    Some(users) => items.union(users.map(Row::User)),
                    None => items,
                };
                rows.sink("rows", to_rows.clone())?;
            }
            questions.ask_several("indices", AsOf::Now, indices)?.sink("told", Tell(tell))
        })
    });
    let feed = feeds.pop().ok_or_else(|| anyhow::anyhow!("no feed"))?;
    let tell = |events: Vec<ShopEvent>, time: Millis| -> anyhow::Result<()> {
        feed.send(Step { time, events, tell: true })?;
        Ok(told.recv_timeout(PATIENCE)?)
    };
    for some in events.chunks(1_000) {
        let time = some.last().map_or(0, |event| event.0);
        feed.send(Step { time, events: some.iter().map(|event| event.1).collect(), tell: false })?;
    }
    let last = events.last().map_or(0, |event| event.0);
    tell(Vec::new(), last)?;
    let take = || std::mem::take(&mut *counts.lock().unwrap_or_else(PoisonError::into_inner));
    take();
    let wishes = users.iter().map(|user| ShopEvent::new(*user, Action::Forget)).collect();
    let began = Instant::now();
    tell(wishes, last + 1)?;
    let (took, changes) = (began.elapsed(), take());
    drop(feed);
    job.join().map_err(|_| anyhow::anyhow!("the job fell over"))??;
    let timeless = |row| match row {
        Row::User(user) => Row::User(Session { time: 0, ..user }),
        row => row,
    };
    Ok(Forgotten { took, rows: changes, left: rows.take().into_keys().map(timeless).collect() })
}

/// How long a year of events may take at most.
const PATIENCE: Duration = Duration::from_secs(600);
