//! Checkpoints: what every operator, source and sink keeps, as it was at the end of one epoch.
//!
//! The ticker marks an epoch now and then. Whoever has something to keep (a [`Participant`]) writes down what has changed
//! since the last checkpoint when its own frontier has passed that epoch, between two epochs of its own, so nobody waits
//! for anybody. When all of a worker's have, a thread makes a part of it; when all workers' parts are safe, worker 0 has
//! that thread write the manifest, and only then is there a checkpoint. Meanwhile the dataflow goes on.

pub(crate) mod coordinate;
pub(crate) mod epoch_log;
mod restore;
mod writer;

pub(crate) use epoch_log::EpochLog;
pub(crate) use restore::Restored;
pub(crate) use writer::Writer;

use crate::error::{Error, Result};
use crate::save::Save;
use crate::time::{Epoch, Millis};
use epoch_log::{Past, Scribe};
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tidemill_checkpoint::{Lock, Manifest, Store};
use timely::scheduling::Activator;

/// Where checkpoints go, how often, and which one a job begins with.
#[derive(Clone, Debug)]
pub struct Checkpointing {
    /// A folder, or an address such as `s3://bucket/path` where the build has that feature.
    pub address: String,
    /// Milliseconds between checkpoints.
    pub interval_ms: Millis,
    /// How many checkpoints are kept.
    pub keep: usize,
    /// Which checkpoint a job begins with.
    pub restore: Restore,
    /// Names of stateful operators, sources and sinks that may be missing in the checkpoint or in the graph.
    pub allow: Vec<String>,
}

impl Checkpointing {
    /// Every ten seconds into this folder, going on from the newest checkpoint there is.
    pub fn to(address: impl Into<String>) -> Self {
        Checkpointing {
            address: address.into(),
            interval_ms: 10_000,
            keep: 3,
            restore: Restore::Newest,
            allow: Vec::new(),
        }
    }
}

/// Which checkpoint a job begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restore {
    /// The newest that is whole, or none where there never was any.
    #[default]
    Newest,
    /// The newest that is whole; that there is none is an error.
    Latest,
    /// This one.
    Id(u64),
    /// None: the job begins anew, beside the checkpoints of another.
    None,
}

impl std::str::FromStr for Restore {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "latest" => Ok(Restore::Latest),
            "none" => Ok(Restore::None),
            id => id.parse().map(Restore::Id).map_err(|_| "give `latest`, `none` or a checkpoint's number".to_owned()),
        }
    }
}

/// How long another run may take to let go of the checkpoints: one that is about to end, as when its launcher was killed.
const PREDECESSOR: Duration = Duration::from_secs(10);

/// What a process knows of its job's checkpoints.
pub(crate) struct Archive {
    pub settings: Checkpointing,
    /// Which history the job goes on with, as the process knows that writes the manifests.
    pub lineage: u64,
    /// The number of this run in it, as the same process knows it.
    pub run: u64,
    pub restored: Option<Restored>,
    pub store: Store,
    pub past: Past,
    pub scribe: Scribe,
    pub writer: Writer,
    /// The number of the first checkpoint to come.
    pub next: u64,
    /// The checkpoint to begin with under a number of its own, where newer ones are there.
    back_to: Option<Manifest>,
    /// One job only writes here.
    _lock: Option<Lock>,
}

impl Archive {
    /// Opens the store and finds the checkpoint to begin with. Of a job's processes, the first `writes` the manifests.
    pub fn open(settings: Checkpointing, writes: bool) -> Result<Arc<Self>> {
        let failed = |error: tidemill_checkpoint::Error| Error::Checkpoint(error.to_string());
        let store = Store::create(&settings.address).map_err(failed)?;
        let lock = writes.then(|| store.lock(PREDECESSOR)).transpose().map_err(failed)?;
        let (restored, begun) = Restored::find(&store, settings.restore)?;
        let known = restored.as_ref().map(|restored| restored.manifest.lineage.clone()).or(begun);
        let mut next = store.next_id().map_err(failed)?;
        let lineage = match &known {
            Some(lineage) => u64::from_str_radix(lineage, 16).map_err(|_| {
                Error::Checkpoint(format!(
                    "lineage `{lineage}` is none of this version: begin anew with `--restore none`"
                ))
            })?,
            None => new_lineage(),
        };
        if known.is_none() && writes {
            if settings.restore == Restore::Newest {
                tracing::warn!("there is no checkpoint in `{}`: the job begins anew", settings.address);
            }
            store.begin(next, &lineage_text(lineage)).map_err(failed)?;
            next += 1;
        }
        let mut back_to = None;
        if let (Restore::Id(_), Some(restored), true) = (settings.restore, &restored, writes) {
            back_to = Some(Manifest { id: next, savepoint: false, ..restored.manifest.clone() });
            next += 1;
        }
        let epoch = restored.as_ref().map_or(0, Restored::epoch);
        let log = store.read_log(&lineage_text(lineage), epoch).map_err(failed)?;
        let (run, past) = (log.next_run, Past::of(log)?);
        let before = restored.as_ref().map(|restored| &restored.manifest);
        let writer = Writer::start(store.clone(), lineage_text(lineage), settings.keep, before)?;
        let scribe = Scribe::default();
        Ok(Arc::new(Archive {
            settings,
            lineage,
            run,
            restored,
            store,
            past,
            scribe,
            writer,
            next,
            back_to,
            _lock: lock,
        }))
    }
}

impl Archive {
    /// Has whoever starts the job again after this go on from the checkpoint that was asked for, and not from a newer one that
    /// it went back from. The graph is there and fits; nothing has been written yet.
    pub fn go_back(&self) -> Result<()> {
        let Some(manifest) = &self.back_to else { return Ok(()) };
        self.store.commit(manifest).map_err(|error| Error::Checkpoint(error.to_string()))
    }
}

/// Names a job that begins anew: unlike any other's.
pub(crate) fn new_lineage() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}

/// A lineage as it is written.
pub(crate) fn lineage_text(lineage: u64) -> String {
    format!("{lineage:016x}")
}

/// What is kept beside operators' state, of one worker.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// Small things by kind and name, which are the same on all workers that say them.
    pub extra: Vec<(String, Vec<u8>)>,
    /// Source, partition, position, and the offset for people to see.
    pub sources: Vec<(String, u32, Vec<u8>, u64)>,
    pub sinks: Vec<(String, Vec<u8>)>,
}

/// What one worker has written down for a checkpoint.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub state: Vec<(String, Save)>,
    pub facts: Facts,
}

/// The checkpoints of one worker.
pub(crate) struct Checkpoints {
    pub archive: Arc<Archive>,
    /// How many write something down at each checkpoint.
    participants: Cell<usize>,
    /// The checkpoint under way, or the last.
    announced: Cell<Epoch>,
    /// How many have not written down their part of it.
    missing: Cell<usize>,
    written: RefCell<Written>,
    /// Schedules the operator that waits for all to have written.
    complete: RefCell<Option<Activator>>,
    /// Whether one is under way, as worker 0 knows.
    pub under_way: Cell<bool>,
    /// And whether it is one that was asked for.
    pub savepoint: Cell<bool>,
}

impl Checkpoints {
    pub fn new(archive: Arc<Archive>) -> Rc<Self> {
        Rc::new(Checkpoints {
            archive,
            participants: Cell::new(0),
            announced: Cell::new(0),
            missing: Cell::new(0),
            written: RefCell::default(),
            complete: RefCell::default(),
            under_way: Cell::new(false),
            savepoint: Cell::new(false),
        })
    }

    fn announce(&self, epoch: Epoch) {
        if self.announced.get() < epoch {
            self.announced.set(epoch);
            self.missing.set(self.participants.get());
        }
    }

    /// One of those who write has done so.
    fn one_less(&self) {
        self.missing.set(self.missing.get() - 1);
        if self.missing.get() == 0
            && let Some(activator) = &*self.complete.borrow()
        {
            activator.activate();
        }
    }

    /// What this worker has for the checkpoint of `epoch`, once all have written it down.
    pub fn take(&self, epoch: Epoch) -> Option<Written> {
        (self.announced.get() == epoch && self.missing.get() == 0).then(|| self.written.take())
    }

    pub fn when_complete(&self, activator: Activator) {
        *self.complete.borrow_mut() = Some(activator);
    }
}

/// Somebody who writes something down at each checkpoint.
pub(crate) struct Participant {
    checkpoints: Rc<Checkpoints>,
    last: Epoch,
    /// Whether it has begun to write, and not finished.
    writes: bool,
}

impl Participant {
    /// Joins those who do; `None` where there are no checkpoints.
    pub fn join(checkpoints: Option<&Rc<Checkpoints>>) -> Option<Self> {
        let checkpoints = Rc::clone(checkpoints?);
        checkpoints.participants.set(checkpoints.participants.get() + 1);
        Some(Participant { checkpoints, last: 0, writes: false })
    }

    /// There is a checkpoint at the end of `epoch`: every source says so, before it lets go of the epoch.
    pub fn announce(&self, epoch: Epoch) {
        self.checkpoints.announce(epoch);
    }

    /// The checkpoint that waits for this participant.
    pub fn due(&self) -> Option<Epoch> {
        let announced = self.checkpoints.announced.get();
        (announced > self.last).then_some(announced)
    }

    /// Writes down what belongs into the checkpoint that is due.
    pub fn write(&mut self, write: impl FnOnce(&mut Written)) {
        self.begin();
        self.finish(write);
    }

    /// Memory for what is written down.
    pub fn spare(&self) -> Save {
        self.checkpoints.archive.writer.spare()
    }

    /// Begins to write that down; it is no longer due.
    pub fn begin(&mut self) {
        self.last = self.checkpoints.announced.get();
        self.writes = true;
    }

    /// Has all of it.
    pub fn finish(&mut self, write: impl FnOnce(&mut Written)) {
        self.writes = false;
        write(&mut self.checkpoints.written.borrow_mut());
        self.checkpoints.one_less();
    }
}

impl Drop for Participant {
    /// An operator whose inputs have ended has nothing to write any more, and nobody waits for it.
    fn drop(&mut self) {
        self.checkpoints.participants.set(self.checkpoints.participants.get() - 1);
        if self.writes || self.due().is_some() {
            self.checkpoints.one_less();
        }
    }
}

/// Encodes something for [`Facts`].
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    // Into memory, of the engine's own types: the encoder has no way to fail.
    postcard::to_stdvec(value).unwrap_or_default()
}
