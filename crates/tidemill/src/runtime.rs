//! What the operators of one worker share while a job runs, and what all workers share.

use crate::alignment::Alignment;
use crate::checkpoint::{Archive, Checkpoints, EpochLog, Restored};
use crate::config::Config;
use crate::error::Error;
use crate::explain_time::{Inside, SourceTime, Views};
use crate::plan::Plan;
use crate::report::{Latency, OperatorReport};
use crate::time::{Epoch, Millis};
use crate::watch::Watch;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use timely::dataflow::ProbeHandle;
use timely::scheduling::Activator;

/// How the line of a fingerprint starts that says where the job begins.
pub(crate) const BEGINS: &str = "begins ";

/// What signals ask for.
#[derive(Clone, Default)]
pub(crate) struct Asked {
    /// The job's end.
    pub stop: Arc<AtomicBool>,
    pub savepoint: Arc<AtomicBool>,
}

/// What all workers of a process share.
#[derive(Default)]
pub(crate) struct Shared {
    failure: Mutex<Option<Error>>,
    failed: AtomicBool,
    /// A signal has come.
    pub stop: Arc<AtomicBool>,
    /// It came before the input had ended.
    pub interrupted: AtomicBool,
    /// Whether epochs are cut by the clock.
    pub live: AtomicBool,
    /// A savepoint is asked for.
    pub savepoint: Arc<AtomicBool>,
    pub records: AtomicU64,
    /// Records that other processes have read, as process 0 knows it.
    pub elsewhere: AtomicU64,
    pub bytes: AtomicU64,
    pub size: AtomicU64,
    pub operators: Mutex<Vec<OperatorReport>>,
    pub epochs: AtomicU64,
    pub latency: Mutex<Latency>,
    pub plan: Mutex<Plan>,
    /// Where checkpoints go, if anywhere.
    pub archive: Option<Arc<Archive>>,
    pub views: Views,
    /// By worker.
    pub inside: Vec<Inside>,
}

impl Shared {
    /// For a job of so many workers, in all processes.
    pub fn new(workers: usize, archive: Option<Arc<Archive>>, asked: Asked) -> Self {
        let Asked { stop, savepoint } = asked;
        Shared {
            archive,
            stop,
            savepoint,
            inside: (0..workers).map(|_| Inside::default()).collect(),
            ..Shared::default()
        }
    }

    /// Records read so far by all processes, as far as this one knows.
    pub fn all_records(&self) -> u64 {
        self.records.load(Ordering::Relaxed) + self.elsewhere.load(Ordering::Relaxed)
    }

    /// Stops the job with `error`, unless it is stopping for another reason already.
    pub fn fail(&self, error: Error) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert(error);
        self.failed.store(true, Ordering::SeqCst);
    }

    pub fn failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    pub fn failure(&self) -> Option<Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What the operators of one worker share.
pub(crate) struct Runtime {
    pub config: Config,
    pub worker: usize,
    pub peers: usize,
    pub shared: Arc<Shared>,
    /// Passes an epoch when everything the job does in it is done, on all workers.
    pub probe: ProbeHandle<Epoch>,
    pub alignment: RefCell<Alignment>,
    /// Whether epochs are cut by the clock; known once the graph is built.
    pub live: Cell<bool>,
    /// How many partitions all sources have; known once the graph is built.
    pub partitions: Cell<usize>,
    /// Times the epochs, on worker 0.
    pub watch: RefCell<Watch>,
    pub metrics: RefCell<Vec<Rc<Metrics>>>,
    pub sources: RefCell<Vec<Rc<RefCell<SourceTime>>>>,
    pub plan: RefCell<Plan>,
    /// Where the job keeps checkpoints, if it does.
    pub checkpoints: Option<Rc<Checkpoints>>,
    /// What came in since the last of them, where there are any.
    pub log: Option<Rc<EpochLog>>,
    names: RefCell<HashMap<usize, String>>,
    /// The names of what runs user code, by [`Label`].
    labels: RefCell<Vec<String>>,
    /// What waits for time: the ticker, and sources.
    sleepers: RefCell<Vec<Activator>>,
}

/// What one operator counted on one worker, for the job's report.
#[derive(Debug, Default)]
pub struct Metrics {
    pub(crate) name: String,
    /// Records taken.
    pub taken: Cell<u64>,
    /// Records or updates given.
    pub given: Cell<u64>,
    /// Records that came too late.
    pub late: Cell<u64>,
    /// Records refused.
    pub dead: Cell<u64>,
    /// The oldest epoch the operator holds although its input is past it: it waits for answers, or for other sources.
    pub(crate) holding: Cell<Option<Epoch>>,
    label: Label,
}

/// A name's place, from 1, among those of operators that run user code.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Label(u32);

impl Metrics {
    /// The oldest epoch that a raw operator holds although its input is past it, if any: for
    /// [`Job::explain_time`](crate::Job::explain_time).
    pub fn holds(&self, epoch: Option<Epoch>) {
        self.holding.set(epoch);
    }
}

/// Adds to a counter.
pub fn count(cell: &Cell<u64>, n: usize) {
    cell.set(cell.get() + n as u64);
}

impl Runtime {
    pub fn new(config: Config, worker: usize, peers: usize, shared: Arc<Shared>) -> Rc<Self> {
        let process = config.running_cluster().map_or(0, |cluster| cluster.process);
        let checkpoints = shared.archive.clone().map(Checkpoints::new);
        let log = |checkpoints| Rc::new(EpochLog::new(checkpoints, Arc::clone(&shared), (worker, peers), process));
        Rc::new(Runtime {
            log: checkpoints.clone().map(log),
            checkpoints,
            config,
            worker,
            peers,
            shared,
            probe: ProbeHandle::new(),
            alignment: RefCell::default(),
            live: Cell::new(false),
            partitions: Cell::new(0),
            watch: RefCell::default(),
            metrics: RefCell::default(),
            sources: RefCell::default(),
            plan: RefCell::default(),
            names: RefCell::default(),
            labels: RefCell::default(),
            sleepers: RefCell::default(),
        })
    }

    /// The checkpoint the job began with, if any.
    pub fn restored(&self) -> Option<&Restored> {
        self.checkpoints.as_ref()?.archive.restored.as_ref()
    }

    /// The epoch the job began at, which brings only what was there before: 0, or a checkpoint's.
    pub fn began(&self) -> Epoch {
        self.restored().map_or(0, Restored::epoch)
    }

    /// Through which epoch those of an earlier run are formed again as they were.
    pub fn exact_through(&self) -> Epoch {
        let replayed = !self.live.get() && self.log.as_ref().is_none_or(|log| !log.unseekable.get());
        if replayed { Epoch::MAX } else { self.log.as_ref().map_or(0, |log| log.past().through) }
    }

    /// The wall time of the last epoch of an earlier run.
    pub fn latest_tick(&self) -> Millis {
        let kept = self.restored().map(|restored| restored.extra("wall time", "(ticker)"));
        match kept {
            Some(Ok(Some(wall))) => wall,
            Some(Err(error)) => {
                self.shared.fail(error);
                Millis::MIN
            }
            _ => Millis::MIN,
        }
    }

    /// Remembers which timely operator a name of the graph stands for, for messages.
    pub fn name_operator(&self, id: usize, name: &str) {
        self.names.borrow_mut().insert(id, name.to_owned());
    }

    pub fn operator_name(&self, id: Option<usize>) -> String {
        match id {
            Some(id) => self.names.borrow().get(&id).cloned().unwrap_or_else(|| format!("timely operator {id}")),
            None => "(outside any operator)".into(),
        }
    }

    pub fn metrics(&self, name: &str) -> Rc<Metrics> {
        let metrics = Rc::new(Metrics { name: name.to_owned(), label: self.label(name), ..Metrics::default() });
        self.metrics.borrow_mut().push(Rc::clone(&metrics));
        metrics
    }

    /// What [`Runtime::at_work`] takes for an operator of this name.
    pub fn label(&self, name: &str) -> Label {
        let mut labels = self.labels.borrow_mut();
        labels.push(name.to_owned());
        Label(labels.len() as u32)
    }

    /// The names of all labels.
    pub fn labels(&self) -> Vec<String> {
        self.labels.borrow().clone()
    }

    /// Runs an operator's own code, so that others can see who is at work.
    pub fn inside<R>(&self, metrics: &Metrics, code: impl FnOnce() -> R) -> R {
        self.at_work(metrics.label, code)
    }

    /// The same for an operator that counts nothing.
    pub fn at_work<R>(&self, Label(number): Label, code: impl FnOnce() -> R) -> R {
        let inside = &self.shared.inside[self.worker].0;
        inside.store(number, Ordering::Relaxed);
        let result = code();
        inside.store(0, Ordering::Relaxed);
        result
    }

    pub fn add_sleeper(&self, activator: Activator) {
        self.sleepers.borrow_mut().push(activator);
    }

    /// What must be the same in all processes of a job.
    pub fn fingerprint(&self) -> String {
        let (live, partitions, records) = (self.live.get(), self.partitions.get(), self.config.epoch_records);
        let kind = if live { "live" } else { "replay" };
        let begins = self.restored().map_or("anew".to_owned(), |restored| {
            format!("after checkpoint {} of {}", restored.manifest.id, restored.manifest.lineage)
        });
        let through = self.log.as_ref().map_or(0, |log| log.past().through);
        format!(
            "{BEGINS}{begins}, with a log through epoch {through}\n{kind} of {partitions} partitions, {records} records an \
             epoch\n{}",
            self.plan.borrow()
        )
    }

    /// Schedules whatever waits for an epoch to close or for results to catch up.
    pub fn wake(&self) {
        for sleeper in self.sleepers.borrow().iter() {
            sleeper.activate();
        }
    }
}
