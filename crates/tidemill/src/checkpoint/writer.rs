//! The thread that writes checkpoints, so that no worker waits for a disk.

use super::{Facts, Written};
use crate::error::{Error, Result};
use crate::save::Save;
use crate::time::Epoch;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tidemill_checkpoint::{
    Compacted, Manifest, OperatorInfo, PartKind, PartRef, PartWriter, SinkPosition, SourcePosition, Store,
    should_compact,
};

type Done<T> = Box<dyn FnOnce(Result<T, String>) + Send>;

enum Task {
    /// One worker's part.
    Part { id: u64, worker: usize, written: Written, done: Done<Option<PartRef>> },
    /// The manifest, which makes a checkpoint of the parts.
    Manifest { checkpoint: Box<Draft>, done: Done<()> },
}

/// A checkpoint to be.
pub(crate) struct Draft {
    pub id: u64,
    pub epoch: Epoch,
    pub parts: Vec<PartRef>,
    pub facts: Facts,
    pub operators: Vec<OperatorInfo>,
    pub workers: usize,
    pub processes: usize,
    pub created_ms: i64,
    pub savepoint: bool,
}

/// The thread, as seen from outside. It ends when this is dropped and everything is written.
pub(crate) struct Writer {
    tasks: Mutex<Option<Sender<Task>>>,
    /// What earlier parts were written down in, for the next: memory that is new costs as much as what is written to it.
    spare: Arc<Spare>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread. The first checkpoint goes on from `before`.
    pub fn start(store: Store, lineage: String, keep: usize, before: Option<&Manifest>) -> Result<Self> {
        let (tasks, inbox) = channel();
        let (goes_on, parts) = (before.is_some(), before.map_or_else(Vec::new, |before| before.parts.clone()));
        let spare = Arc::new(Spare::default());
        let used = Arc::clone(&spare);
        let run = move || {
            let mut desk = Desk { store, lineage, keep, goes_on, first: None, parts, compacted: None };
            for task in inbox {
                match task {
                    Task::Part { id, worker, written, done } => {
                        done(desk.part(id, worker, &written));
                        used.put(written);
                    }
                    Task::Manifest { checkpoint, done } => {
                        let written = desk.manifest(*checkpoint);
                        done(written.as_ref().map(|_| ()).map_err(String::clone));
                        if let Ok(manifest) = written {
                            desk.tidy(&manifest);
                        }
                    }
                }
            }
        };
        let thread = std::thread::Builder::new().name("checkpoint writer".into()).spawn(run);
        let thread = thread.map_err(|error| Error::Start(error.to_string()))?;
        Ok(Writer { tasks: Mutex::new(Some(tasks)), spare, thread: Mutex::new(Some(thread)) })
    }

    /// Memory to write down something in.
    pub fn spare(&self) -> Save {
        self.spare.take()
    }

    /// Writes a worker's part, and calls `done` with it from the thread; with nothing where nothing has changed.
    pub fn part(&self, id: u64, worker: usize, written: Written, done: Done<Option<PartRef>>) {
        self.send(Task::Part { id, worker, written, done });
    }

    /// Writes a manifest, and calls `done` from the thread.
    pub fn manifest(&self, checkpoint: Draft, done: Done<()>) {
        self.send(Task::Manifest { checkpoint: Box::new(checkpoint), done });
    }

    fn send(&self, task: Task) {
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tasks) = tasks.as_ref() {
            // The thread is there until this is dropped.
            let _ = tasks.send(task);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.tasks.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

/// Memory that was written down in.
#[derive(Default)]
struct Spare(Mutex<Vec<Save>>);

impl Spare {
    fn take(&self) -> Save {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn put(&self, written: Written) {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes: usize = spare.iter().map(Save::room).sum();
        for (_, save) in written.state {
            let room = save.room();
            if (SMALL..=LARGE - bytes.min(LARGE)).contains(&room) {
                bytes += room;
                spare.push(save);
            }
        }
    }
}

/// Bytes from which on memory is worth keeping: less than that, the allocator keeps.
const SMALL: usize = 64 << 10;

/// Bytes that are kept at most.
const LARGE: usize = 32 << 20;

/// What the thread works with.
struct Desk {
    store: Store,
    lineage: String,
    keep: usize,
    /// Whether the job goes on from a checkpoint.
    goes_on: bool,
    /// The first checkpoint that a part was written for here.
    first: Option<u64>,
    /// The parts of the last checkpoint, where manifests are written.
    parts: Vec<PartRef>,
    /// Those that will take the place of its first in the next one.
    compacted: Option<Compacted>,
}

impl Desk {
    fn part(&mut self, id: u64, worker: usize, written: &Written) -> Result<Option<PartRef>, String> {
        if written.state.iter().all(|(_, save)| save.is_empty()) {
            return Ok(None);
        }
        let first = *self.first.get_or_insert(id);
        let kind = if first == id && !self.goes_on { PartKind::Base } else { PartKind::Delta };
        let write = || {
            let mut part = PartWriter::new(kind);
            for (operator, save) in &written.state {
                for change in save.entries() {
                    part.put(operator, change.group, change.key, change.value)?;
                }
            }
            self.store.put_part(id, &format!("worker-{worker}"), part.finish()?)
        };
        write().map(Some).map_err(|error: tidemill_checkpoint::Error| error.to_string())
    }

    fn manifest(&mut self, draft: Draft) -> Result<Manifest, String> {
        let compacted = self.compacted.take();
        if let Some(compacted) = &compacted
            && !compacted.apply(&mut self.parts)
        {
            return Err("the parts of the last checkpoint are not those that were compacted".into());
        }
        let sources = draft.facts.sources.into_iter().map(|(name, partition, state, offset)| SourcePosition {
            name,
            partition,
            state,
            offset,
        });
        let sinks = draft.facts.sinks.into_iter().map(|(name, state)| SinkPosition { name, state });
        let manifest = Manifest {
            id: draft.id,
            lineage: self.lineage.clone(),
            epoch: draft.epoch,
            parts: self.parts.drain(..).chain(draft.parts).collect(),
            operators: draft.operators,
            sources: sources.collect(),
            sinks: sinks.collect(),
            extra: draft.facts.extra.into_iter().collect(),
            created_ms: draft.created_ms.max(0) as u64,
            workers: draft.workers as u32,
            processes: draft.processes as u32,
            savepoint: draft.savepoint,
            engine_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        self.parts.clone_from(&manifest.parts);
        self.store.commit(&manifest).map_err(|error| error.to_string())?;
        Ok(manifest)
    }

    /// Drops what is no longer needed once a checkpoint is there, and makes few parts of many for the next one. Either can
    /// wait for that.
    fn tidy(&mut self, manifest: &Manifest) {
        let tidied = self.store.prune(self.keep).and_then(|_| {
            self.compacted = should_compact(manifest).then(|| self.store.compact(manifest, 1)).transpose()?;
            Ok(())
        });
        if let Err(error) = tidied {
            tracing::warn!("old checkpoints stay for now: {error}");
        }
    }
}
