//! The epoch log: what came from outside in each epoch, so that a job that is begun again forms the epochs since its last
//! checkpoint as they were.
//!
//! A replay needs none, for its input says how its epochs are cut. In a live job each source says what it took in an epoch (and
//! what that was, if it cannot be read again), and holds the epoch open until that is safe; its records go on at once. So what
//! a sink has committed can be formed again.

use super::{Archive, Checkpoints, encode};
use crate::error::{Error, Result};
use crate::record::DeadLetter;
use crate::runtime::Shared;
use crate::source::Batch;
use crate::ticker::Tick;
use crate::time::{Epoch, Millis};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tidemill_checkpoint::{Log, LogEntry, LogWriter};
use timely::scheduling::SyncActivator;

/// What a partition took in an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Take {
    /// How many records, bad ones included.
    pub read: u64,
    /// Whether it has ended.
    pub done: bool,
}

/// A record of a source that cannot be read again, or what is wrong with it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Kept<T> {
    Item(T),
    Dead(DeadLetter),
}

/// Records of a partition, encoded: what it read from the `first` on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Chunk {
    first: u64,
    kept: Vec<u8>,
}

impl Chunk {
    /// What was read into `batch` beyond its first `items` and `dead`.
    pub fn of<T: Clone + Serialize>(first: u64, batch: &Batch<T>, items: usize, dead: usize) -> Self {
        let items = batch.items[items..].iter().cloned().map(Kept::Item);
        let kept: Vec<Kept<T>> = items.chain(batch.dead[dead..].iter().cloned().map(Kept::Dead)).collect();
        Chunk { first, kept: encode(&kept) }
    }
}

/// A worker's account of an epoch.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Account {
    /// The epoch's wall time, from the worker that ticks.
    wall: Option<Millis>,
    /// Of each source and partition that took something.
    takes: Vec<(String, u32, Take)>,
    chunks: Vec<(String, u32, Chunk)>,
}

/// What an earlier run has logged since the checkpoint that the job begins with.
#[derive(Debug, Default)]
pub(crate) struct Past {
    /// Epochs through this one are formed again as they were.
    pub through: Epoch,
    walls: BTreeMap<Epoch, Millis>,
    takes: HashMap<(String, u32), BTreeMap<Epoch, Take>>,
    chunks: HashMap<(String, u32), Vec<Chunk>>,
    /// By operator and run.
    answers: HashMap<String, BTreeMap<u64, Vec<(Epoch, Vec<u8>)>>>,
}

/// The body of an entry that is no account: what an operator was answered.
#[derive(Serialize, Deserialize)]
struct Answered {
    operator: String,
    run: u64,
    answers: Vec<u8>,
}

impl Past {
    pub fn of(log: Log) -> Result<Self> {
        let mut past = Past { through: log.through, ..Past::default() };
        let entries =
            log.entries.into_iter().map(|entry| (entry, true)).chain(log.rest.into_iter().map(|e| (e, false)));
        for (entry, counts) in entries {
            let epoch = entry.epoch;
            let wrong = |error| {
                let why =
                    format!("epoch {epoch} of the log cannot be decoded ({error}): was it written by another version?");
                Error::Checkpoint(why)
            };
            if !entry.account {
                // Of an epoch that is formed otherwise, an answer may still be about the same item.
                let Answered { operator, run, answers } = postcard::from_bytes(&entry.body).map_err(wrong)?;
                past.answers.entry(operator).or_default().entry(run).or_default().push((epoch, answers));
                continue;
            }
            let account: Account = postcard::from_bytes(&entry.body).map_err(wrong)?;
            for (source, partition, chunk) in account.chunks {
                past.chunks.entry((source, partition)).or_default().push(chunk);
            }
            if counts {
                past.walls.extend(account.wall.map(|wall| (epoch, wall)));
                for (source, partition, take) in account.takes {
                    past.takes.entry((source, partition)).or_default().insert(epoch, take);
                }
            }
        }
        Ok(past)
    }

    /// The wall time of an epoch that is formed again.
    pub fn wall(&self, epoch: Epoch) -> Option<Millis> {
        self.walls.get(&epoch).copied()
    }

    /// What a partition took in each epoch that is formed again, where that was anything.
    pub fn takes(&self, source: &str, partition: usize) -> BTreeMap<Epoch, Take> {
        self.takes.get(&(source.to_owned(), partition as u32)).cloned().unwrap_or_default()
    }

    /// What an operator was answered in each run, with the epoch and the name of what it is about.
    pub fn answers<A: DeserializeOwned>(&self, operator: &str) -> Result<Vec<Answers<A>>> {
        let decode = |entries: &Vec<(Epoch, Vec<u8>)>| {
            let mut of_run = Vec::new();
            for (epoch, answers) in entries {
                let answers: Vec<(u64, A)> = postcard::from_bytes(answers).map_err(|error| {
                    Error::Checkpoint(format!(
                        "what `{operator}` was answered in epoch {epoch} cannot be decoded ({error}): was a type changed?"
                    ))
                })?;
                of_run.extend(answers.into_iter().map(|(about, answer)| ((*epoch, about), answer)));
            }
            Ok(of_run)
        };
        self.answers.get(operator).into_iter().flat_map(BTreeMap::values).map(decode).collect()
    }

    /// What a partition that cannot be read again has read since its first `read` records; an earlier run may have read more
    /// than its epochs through [`Past::through`] took.
    pub fn records<T: DeserializeOwned>(&self, source: &str, partition: usize, read: u64) -> Result<VecDeque<Kept<T>>> {
        let mut chunks = self.chunks.get(&(source.to_owned(), partition as u32)).cloned().unwrap_or_default();
        chunks.sort_by_key(|chunk| chunk.first);
        let mut records = VecDeque::new();
        for chunk in chunks {
            let wrong = |why: &str| {
                Error::Checkpoint(format!(
                    "the epoch log has not all records of partition {partition} of `{source}` ({why}): begin anew with \
                     `--restore none`, or with an older checkpoint"
                ))
            };
            let kept: Vec<Kept<T>> = postcard::from_bytes(&chunk.kept).map_err(|error| wrong(&error.to_string()))?;
            let next = read + records.len() as u64;
            // What a later run has read again after this one is the same.
            let known =
                next.checked_sub(chunk.first).ok_or_else(|| wrong(&format!("those from number {next} are missing")))?;
            records.extend(kept.into_iter().skip(known as usize));
        }
        Ok(records)
    }
}

/// Answers by epoch and name of what they are about.
type Answers<A> = Vec<((Epoch, u64), A)>;

pub(crate) type Done = Box<dyn FnOnce() + Send>;

/// The thread that writes a process's part of the log, as seen from its workers.
#[derive(Default)]
pub(crate) struct Scribe(Mutex<Option<(Sender<Task>, JoinHandle<()>)>>);

struct Task {
    entry: LogEntry,
    done: Done,
    /// The last epoch before the entry's at whose end there is a checkpoint, or may be.
    checkpoint: Option<Epoch>,
}

impl Scribe {
    /// Logs an entry, and calls `done` from the thread when that is safe.
    fn write(&self, task: Task, start: impl FnOnce() -> Result<(Sender<Task>, JoinHandle<()>)>, shared: &Shared) {
        let mut thread = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            match start() {
                Ok(started) => *thread = Some(started),
                Err(error) => return shared.fail(error),
            }
        }
        if let Some((tasks, _)) = &*thread {
            // The thread is there until this is dropped.
            let _ = tasks.send(task);
        }
    }
}

impl Drop for Scribe {
    fn drop(&mut self) {
        if let Some((tasks, thread)) = self.0.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            drop(tasks);
            let _ = thread.join();
        }
    }
}

fn start(
    archive: &Archive,
    (lineage, run): (u64, u64),
    process: u32,
    shared: &Arc<Shared>,
) -> Result<(Sender<Task>, JoinHandle<()>)> {
    let log = archive.store.write_log(&super::lineage_text(lineage), run, archive.past.through, process);
    let log = log.map_err(|error| Error::Checkpoint(error.to_string()))?;
    let (tasks, inbox) = channel();
    // The job has the thread, so the thread does not have the job.
    let shared = Arc::downgrade(shared);
    let run = move || {
        if let (Err(error), Some(shared)) = (write(log, &inbox), shared.upgrade()) {
            shared.fail(Error::Checkpoint(error.to_string()));
        }
    };
    let thread = std::thread::Builder::new().name("epoch log".into()).spawn(run);
    Ok((tasks, thread.map_err(|error| Error::Start(error.to_string()))?))
}

/// Appends all that waits, at once, again and again.
fn write(mut log: LogWriter, inbox: &Receiver<Task>) -> Result<(), tidemill_checkpoint::Error> {
    while let Ok(first) = inbox.recv() {
        let (mut entries, mut safe) = (Vec::new(), Vec::new());
        for task in [first].into_iter().chain(inbox.try_iter()) {
            if let Some(epoch) = task.checkpoint.filter(|epoch| log.has_before(*epoch)) {
                append(&mut log, &mut entries, &mut safe)?;
                log.checkpoint(epoch);
            }
            entries.push(task.entry);
            safe.push(task.done);
        }
        append(&mut log, &mut entries, &mut safe)?;
    }
    Ok(())
}

fn append(
    log: &mut LogWriter,
    entries: &mut Vec<LogEntry>,
    safe: &mut Vec<Done>,
) -> Result<(), tidemill_checkpoint::Error> {
    if !entries.is_empty() {
        log.append(entries)?;
        entries.clear();
        safe.drain(..).for_each(|done| done());
    }
    Ok(())
}

/// The epoch log of one worker.
pub(crate) struct EpochLog {
    archive: Arc<Archive>,
    checkpoints: Rc<Checkpoints>,
    /// Lineage and run, once the first tick has told.
    run: Cell<(u64, u64)>,
    shared: Arc<Shared>,
    worker: usize,
    workers: usize,
    process: usize,
    /// Whether the job needs one; known once the graph is built.
    pub on: Cell<bool>,
    /// Whether a source cannot be read again.
    pub unseekable: Cell<bool>,
    sources: Arc<Mutex<Vec<SyncActivator>>>,
    /// Of epochs that not all sources have spoken of: how many have, and what they said.
    open: RefCell<BTreeMap<Epoch, (usize, Account)>>,
    safe: Arc<AtomicU64>,
}

impl EpochLog {
    pub fn new(
        checkpoints: Rc<Checkpoints>,
        shared: Arc<Shared>,
        (worker, workers): (usize, usize),
        process: usize,
    ) -> Self {
        EpochLog {
            archive: Arc::clone(&checkpoints.archive),
            checkpoints,
            run: Cell::default(),
            shared,
            worker,
            workers,
            process,
            on: Cell::new(false),
            unseekable: Cell::new(false),
            sources: Arc::default(),
            open: RefCell::default(),
            safe: Arc::default(),
        }
    }

    /// What earlier runs have logged.
    pub fn past(&self) -> &Past {
        &self.archive.past
    }

    /// Whether a log can be kept where the checkpoints are.
    pub fn possible(&self) -> bool {
        self.archive.store.can_log()
    }

    /// Joins the sources, which all speak of each epoch, and are scheduled when what they said is safe.
    pub fn join(&self, source: SyncActivator) {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).push(source);
    }

    /// One source's part of the account of an epoch.
    pub fn account(&self, epoch: Epoch, tick: Tick, took: Took) {
        let mut open = self.open.borrow_mut();
        let (said, account) = open.entry(epoch).or_default();
        *said += 1;
        account.takes.extend(took.takes);
        account.chunks.extend(took.chunks);
        if *said < self.sources.lock().unwrap_or_else(PoisonError::into_inner).len() {
            return;
        }
        let Some((_, mut account)) = open.remove(&epoch) else { return };
        account.wall = (self.worker == 0).then_some(tick.wall);
        let (safe, sources) = (Arc::clone(&self.safe), Arc::clone(&self.sources));
        let done = Box::new(move || {
            safe.store(epoch, Ordering::Release);
            for source in sources.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                // A worker that is gone needs no telling.
                let _ = source.activate();
            }
        });
        self.write(epoch, true, encode(&account), done);
    }

    /// What `operator` was answered in `epoch`; `done` is called when that is safe.
    pub fn answers(&self, epoch: Epoch, operator: &str, answers: Vec<u8>, done: Done) {
        self.write(
            epoch,
            false,
            encode(&Answered { operator: operator.to_owned(), run: self.run.get().1, answers }),
            done,
        );
    }

    /// Which run this is, as each tick says.
    pub fn identify(&self, tick: Tick) {
        self.run.set((tick.lineage, tick.run));
    }

    fn write(&self, epoch: Epoch, account: bool, body: Vec<u8>, done: Done) {
        let (worker, workers) = (self.worker as u32, self.workers as u32);
        let checkpoint = Some(self.checkpoints.announced.get()).filter(|announced| *announced < epoch);
        let task = Task { entry: LogEntry { epoch, worker, workers, account, body }, done, checkpoint };
        let start = || start(&self.archive, self.run.get(), self.process as u32, &self.shared);
        self.archive.scribe.write(task, start, &self.shared);
    }

    /// Through which epoch this worker's accounts are safe.
    pub fn safe(&self) -> Epoch {
        self.safe.load(Ordering::Acquire)
    }
}

/// What a source took in an epoch.
#[derive(Debug, Default)]
pub(crate) struct Took {
    pub takes: Vec<(String, u32, Take)>,
    pub chunks: Vec<(String, u32, Chunk)>,
}
