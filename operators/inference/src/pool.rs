//! The inference threads of an operator, shared by all workers of the process.

use crate::model::{Model, ModelError};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{Builder, JoinHandle};
use tidemill::timely::scheduling::SyncActivator;
use tidemill::{Error, Job, Stopper};

/// How an operator asks its model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// Rows in a batch at most, 256 by default; an epoch's last batch has what is left.
    pub batch: usize,
    /// Inference threads in each process, 1 by default. Each loads a model of its own.
    pub threads: usize,
    /// Whether a batch may hold rows of several epochs that wait for the model at the same time.
    ///
    /// Off by default: batches are then cut out of one epoch at a time, so what they hold does
    /// not depend on how fast the model is, and neither do the last bits of its answers. Worth
    /// its price in a live job whose epochs bring a few rows each and whose model is slow to
    /// start on a batch: there it more than halves the calls and the time.
    pub across_epochs: bool,
}

impl Default for PoolConfig {
    fn default() -> Self {
        PoolConfig { batch: 256, threads: 1, across_epochs: false }
    }
}

/// A model and the threads that run it, to be made before the job and used in its graph.
///
/// The threads start, and load their models, when the graph is built; they end with the job, also
/// with one that fails, and the job ends when they have. Several operators of a job may use one
/// pool: each has its own threads. A pool can serve one job after another, not two at once.
pub struct Pool<M: Model>(Arc<Shared<M>>);

struct Shared<M: Model> {
    config: PoolConfig,
    load: Box<Load<M>>,
    seats: Mutex<Seats<M>>,
}

type Load<M> = dyn Fn() -> Result<M, ModelError> + Send + Sync;

/// The threads that still take workers: as many as the job has.
struct Seats<M: Model> {
    threads: Weak<Threads<M::In, M::Out>>,
    left: usize,
}

impl<M: Model> Clone for Pool<M> {
    fn clone(&self) -> Self {
        Pool(Arc::clone(&self.0))
    }
}

impl<M: Model> Pool<M> {
    /// A pool whose every thread gets its model from `load`, which runs on that thread.
    ///
    /// If `load` fails or panics, the job stops before it has read anything.
    pub fn new(config: PoolConfig, load: impl Fn() -> Result<M, ModelError> + Send + Sync + 'static) -> Self {
        let seats = Seats { threads: Weak::new(), left: 0 };
        Pool(Arc::new(Shared { config, load: Box::new(load), seats: Mutex::new(seats) }))
    }

    /// How it asks the model.
    pub fn config(&self) -> &PoolConfig {
        &self.0.config
    }

    /// The threads for `operator` on this worker: those that another worker has started, if it
    /// has, else new ones, with their models loaded.
    pub(crate) fn start(&self, job: &Job<'_>, operator: &str) -> tidemill::Result<Arc<Threads<M::In, M::Out>>> {
        let PoolConfig { batch, threads, .. } = self.0.config;
        if batch == 0 || threads == 0 {
            let wrong =
                format!("`{operator}` asks for batches of {batch} rows on {threads} threads: both must be at least 1");
            return Err(Error::Graph(wrong));
        }
        let mut seats = self.0.seats.lock().unwrap_or_else(PoisonError::into_inner);
        if seats.left > 0
            && let Some(running) = seats.threads.upgrade()
        {
            seats.left -= 1;
            return Ok(running);
        }
        let workers = job.scope().peers();
        let stopped = |reason| Error::Operator { operator: operator.to_owned(), reason };
        let started = Arc::new(self.spawn(operator, workers).map_err(stopped)?);
        *seats = Seats { threads: Arc::downgrade(&started), left: workers - 1 };
        Ok(started)
    }

    /// Starts the threads and waits until each has its model; the error says what to do.
    fn spawn(&self, operator: &str, workers: usize) -> Result<Threads<M::In, M::Out>, String> {
        let threads = self.0.config.threads;
        let (requests, taken) = bounded(workers * in_flight(&self.0.config));
        let (loaded, outcomes) = bounded(threads);
        let mut running = Threads { requests, join: Join { closing: Arc::default(), threads: Vec::new() } };
        for _ in 0..threads {
            let (shared, loaded) = (Arc::clone(&self.0), loaded.clone());
            let (taken, closing) = (taken.clone(), Arc::clone(&running.join.closing));
            let thread = Builder::new().name(format!("infer {operator}")).spawn(move || {
                let model = attempt("loading", || (shared.load)());
                drop(shared);
                match model {
                    Ok(model) => {
                        // Whoever waits for the outcome of loading outlives it.
                        let _ = loaded.send(Ok(()));
                        serve(model, &taken, &closing);
                    }
                    Err(reason) => _ = loaded.send(Err(reason)),
                }
            });
            let thread = thread.map_err(|error| format!("an inference thread cannot start: {error}"))?;
            running.join.threads.push(thread);
        }
        for _ in 0..threads {
            let outcome = outcomes.recv().unwrap_or_else(|_| Err("the thread is gone".into()));
            outcome.map_err(|reason| {
                format!("its model cannot be loaded: {reason}; nothing was read: correct the model or its settings and start again")
            })?;
        }
        Ok(running)
    }
}

/// How many batches a worker has with the threads at most: enough that none of them runs dry
/// while the worker is busy elsewhere. Where batches fill while they wait, two for each thread:
/// one that it works on, one at hand.
pub(crate) fn in_flight(config: &PoolConfig) -> usize {
    if config.across_epochs { 2 * config.threads } else { 64 * config.threads }
}

/// Running inference threads. Dropping the last handle ends and joins them.
pub(crate) struct Threads<In, Out> {
    /// With room for all that may be in flight, so sending to it never waits.
    pub requests: Sender<Request<In, Out>>,
    // After the sender: a thread ends when that is gone.
    join: Join,
}

struct Join {
    closing: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Join {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            // A thread that panicked (a model's destructor may) has nothing left to say.
            let _ = thread.join();
        }
    }
}

/// A batch of rows, and who wants the answers.
pub(crate) struct Request<In, Out> {
    /// Counts the batches of the one who asks.
    pub batch: u64,
    pub rows: Vec<In>,
    /// Whether the worker waits for this answer to go on.
    pub awaited: bool,
    pub asker: Arc<Asker<Out>>,
}

/// A worker that waits for answers.
pub(crate) struct Asker<Out> {
    /// With room for all that may be in flight, so sending to it never waits.
    pub answers: Sender<(u64, Vec<Out>)>,
    pub wake: SyncActivator,
    /// Whether the worker has been woken and has not looked yet.
    pub woken: AtomicBool,
    /// Batches that it waits for, and how many of them are few: then it had better send more.
    pub unanswered: AtomicUsize,
    pub low: usize,
    pub stopper: Stopper,
}

impl<Out> Asker<Out> {
    /// Gives the worker an answer, and wakes it if there is something to do: an epoch to emit or
    /// batches to send. To wake it for each answer would cost more than the answer. The last
    /// answer of all wakes it in any case, so none is forgotten.
    fn answer(&self, batch: u64, answers: Vec<Out>, awaited: bool) {
        // A worker that is gone wants no answers.
        let _ = self.answers.send((batch, answers));
        let left = self.unanswered.fetch_sub(1, Ordering::AcqRel) - 1;
        if awaited || left == self.low || left == 0 {
            self.wake();
        }
    }

    /// Wakes the worker, once for all that it has not looked at. What it is to see must have been
    /// sent.
    fn wake(&self) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            // A worker that is gone need not be woken.
            let _ = self.wake.activate();
        }
    }
}

/// An inference thread's life: until nobody can ask any more, or the model fails.
fn serve<M: Model>(mut model: M, requests: &Receiver<Request<M::In, M::Out>>, closing: &AtomicBool) {
    for Request { batch, rows, awaited, asker } in requests {
        if closing.load(Ordering::SeqCst) {
            return;
        }
        let answers = attempt("answering", || model.predict(&rows)).and_then(|answers| {
            if answers.len() == rows.len() {
                return Ok(answers);
            }
            let (given, asked) = (answers.len(), rows.len());
            Err(format!("it gave {given} answers for {asked} rows, and must give one for each"))
        });
        match answers {
            Ok(answers) => asker.answer(batch, answers, awaited),
            Err(reason) => {
                closing.store(true, Ordering::SeqCst);
                asker.stopper.stop(format!(
                    "its model failed: {reason}; none of the batch of {} rows was scored: correct the model and start again",
                    rows.len()
                ));
                asker.wake();
                return;
            }
        }
    }
}

/// Runs a model's code, which may fail or panic.
fn attempt<R>(what: &str, code: impl FnOnce() -> Result<R, ModelError>) -> Result<R, String> {
    match catch_unwind(AssertUnwindSafe(code)) {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(error)) => Err(error.to_string()),
        Err(payload) => {
            let text = payload.downcast_ref::<&str>().copied();
            let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
            Err(format!("it panicked while {what}: {}", text.unwrap_or("(no message)")))
        }
    }
}
