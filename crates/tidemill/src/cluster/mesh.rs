//! What a process of a cluster knows of the others, and how it ends with them.
//!
//! Nothing runs before all have shown the same graph. After that a failure in one is told to all, and so is a loss; each
//! then ends by itself, within a second whatever its workers do. A process that is silent is lost.

use crate::cluster::Cluster;
use crate::cluster::connect::connect;
use crate::cluster::hello::Identity;
use crate::cluster::link::Link;
use crate::cluster::ready::ready;
use crate::cluster::word::Word;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::report::Report;
use crate::runtime::{BEGINS, Shared};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::allocator::{AllocatorBuilder, ProcessBuilder};
use timely::communication::{Hooks, WorkerGuards};

/// Between two looks at what there is to tell.
const GLANCE: Duration = Duration::from_millis(25);

/// Between two beats.
const BEAT: Duration = Duration::from_secs(1);

/// Between two counts for process 0, which ticks faster while somebody reads.
const COUNT: Duration = Duration::from_millis(100);

/// How long the workers of a failed job may take to end.
const GRACE: Duration = Duration::from_secs(1);

/// What a process hears from the others, and what its workers wait for.
pub(crate) struct Bus {
    me: usize,
    shared: Arc<Shared>,
    heard: Mutex<Heard>,
    news: Condvar,
    agreed: AtomicBool,
}

#[derive(Default)]
struct Heard {
    /// By process.
    plans: Vec<Option<String>>,
    reports: Vec<Option<Report>>,
    total: Option<Report>,
}

impl Bus {
    fn new(me: usize, processes: usize, shared: Arc<Shared>) -> Arc<Self> {
        let nothing = Heard { plans: vec![None; processes], reports: vec![None; processes], total: None };
        let (heard, news, agreed) = (Mutex::new(nothing), Condvar::new(), AtomicBool::new(false));
        Arc::new(Bus { me, shared, heard, news, agreed })
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn has_failed(&self) -> bool {
        self.shared.failed()
    }

    pub fn fail(&self, error: Error) {
        self.shared.fail(error);
    }

    /// What others must know of this process's failure, if it has failed.
    pub fn failure_word(&self) -> Option<Word> {
        Some(match self.shared.failure()? {
            Error::Lost { process, reason } => Word::Lost { process, reason },
            Error::Peer { process, reason } => Word::Failed { process, reason },
            error => Word::Failed { process: self.me, reason: error.to_string() },
        })
    }

    /// Takes what process `from` says.
    pub fn hear(&self, from: usize, word: Word) {
        let mut heard = self.heard();
        match word {
            Word::Beat { records, bytes } => {
                self.shared.elsewhere.fetch_add(records, Ordering::Relaxed);
                self.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
            }
            Word::Plan(plan) => heard.plans[from] = Some(plan),
            Word::Stop => self.shared.stop.store(true, Ordering::SeqCst),
            Word::Failed { process, reason } => self.fail(Error::Peer { process, reason }),
            Word::Lost { process, reason } => self.fail(Error::Lost { process, reason }),
            Word::Report(report) => heard.reports[from] = Some(*report),
            Word::Total(report) => heard.total = Some(*report),
            Word::End => {}
        }
        drop(heard);
        self.news.notify_all();
    }

    /// Shows the others the graph that this process has built.
    pub fn propose(&self, plan: String) {
        self.heard().plans[self.me] = Some(plan);
        self.news.notify_all();
    }

    /// Waits until all processes have shown the same graph, or the job has failed.
    pub fn agree(&self) {
        let mut heard = self.heard();
        while !self.agreed.load(Ordering::SeqCst) && !self.has_failed() {
            heard = self.news.wait_timeout(heard, GLANCE).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Compares the graphs, once all are there.
    fn compare(&self) -> Option<Result<()>> {
        let heard = self.heard();
        let ours = heard.plans[self.me].as_ref()?;
        for (process, theirs) in heard.plans.iter().enumerate() {
            let theirs = theirs.as_ref()?;
            if ours != theirs {
                let differ = |(one, other): &(&str, &str)| one != other;
                let end = std::iter::repeat("nothing");
                let lines = ours.lines().chain(end.clone()).zip(theirs.lines().chain(end));
                let most = ours.lines().count().max(theirs.lines().count());
                let (one, other) = lines.take(most).find(differ).unwrap_or(("", ""));
                if one.starts_with(BEGINS) {
                    return Some(Err(Error::Apart(format!(
                        "process {process} {other}, and this one {one}: start all again, and see that all find the same \
                         checkpoints"
                    ))));
                }
                return Some(Err(Error::Mismatch(format!(
                    "process {process} has built another graph: `{}` there, `{}` here; start all with the same arguments",
                    other.trim(),
                    one.trim()
                ))));
            }
        }
        Some(Ok(()))
    }
}

/// This process's connections to the others.
pub(crate) struct Mesh {
    cluster: Cluster,
    ready: Option<PathBuf>,
    workers: usize,
    bus: Arc<Bus>,
    links: Vec<Option<Link>>,
}

impl Mesh {
    /// Meets all other processes of the cluster that `config` names. When all agree on the graph, the ready file is written.
    pub fn connect(cluster: &Cluster, config: &Config, shared: &Arc<Shared>) -> Result<Self> {
        let (process, processes, workers) = (cluster.process, cluster.processes(), config.workers);
        let build = cluster.fingerprint()?;
        let me = Identity { process, processes, workers, build, generation: cluster.generation };
        if cluster.insecure {
            tracing::warn!(
                "links between processes are neither encrypted nor authenticated: whoever reaches them can join"
            );
        }
        let bus = Bus::new(process, processes, Arc::clone(shared));
        let mut links = Vec::new();
        for (peer, met) in connect(cluster, me, &shared.stop)?.into_iter().enumerate() {
            let link =
                met.map(|met| Link::new(peer, met.socket, met.seal, cluster.heartbeat, Arc::clone(&bus))).transpose();
            links.push(link.map_err(|error| Error::Lost { process: peer, reason: error.to_string() })?);
        }
        tracing::info!("process {process} of {processes} has met all others");
        Ok(Mesh { cluster: cluster.clone(), ready: config.ready_file.clone(), workers, bus, links })
    }

    pub fn bus(&self) -> &Arc<Bus> {
        &self.bus
    }

    /// What timely makes its workers of. Within a process they exchange values as they are.
    pub fn allocators(&self) -> Result<(Vec<AllocatorBuilder>, Box<dyn Any + Send>)> {
        let hooks = Hooks::default();
        let local = ProcessBuilder::new_typed_vector(self.workers, hooks.refill.clone(), None);
        let (me, links) = (self.cluster.process, self.links.clone());
        let made = initialize_networking_from_sockets(local, links, me, self.workers, hooks);
        let (builders, comms) = made.map_err(|error| Error::Start(error.to_string()))?;
        Ok((builders.into_iter().map(AllocatorBuilder::Tcp).collect(), Box::new(comms)))
    }

    /// Waits for the workers' end, and meanwhile tells and hears what there is. Where the workers of a failed job do not come
    /// back, they are left behind.
    pub fn join(&self, guards: WorkerGuards<()>) {
        let (to_joined, joined) = channel();
        let join = move || {
            // Timely's own guards panic where a connection broke, of which the bus knows.
            let _ = to_joined.send(catch_unwind(AssertUnwindSafe(|| guards.join())).ok());
        };
        if let Err(error) = std::thread::Builder::new().name("timely:join".into()).spawn(join) {
            self.bus.fail(Error::Start(error.to_string()));
        }
        let mut beating = Beating::new();
        let results = loop {
            match joined.recv_timeout(GLANCE) {
                Ok(results) => break results,
                Err(RecvTimeoutError::Disconnected) => break None,
                Err(RecvTimeoutError::Timeout) => self.glance(&mut beating),
            }
            if beating.failed.is_some_and(|failed| failed.elapsed() > GRACE) {
                tracing::warn!("the workers of the failed job do not come back: they are left behind");
                break None;
            }
        };
        match results {
            Some(results) => results.into_iter().filter_map(Result::err).for_each(|e| self.bus.fail(Error::Start(e))),
            None => self.bus.fail(Error::Start("the workers' threads could not be joined".into())),
        }
        self.tell_failure(&mut beating);
    }

    /// Tells the others what they must know, and hears those that have no more data.
    fn glance(&self, beating: &mut Beating) {
        self.tell_failure(beating);
        if beating.failed.is_some() {
            return;
        }
        self.show_plan(beating);
        let shared = &self.bus.shared;
        if self.cluster.process != 0 && !beating.stopped && shared.stop.load(Ordering::SeqCst) {
            beating.stopped = self.tell(0, &Word::Stop);
        }
        let (records, bytes) = (shared.records.load(Ordering::Relaxed), shared.bytes.load(Ordering::Relaxed));
        let counted = (records - beating.records, bytes - beating.bytes);
        let (due, silent) = (beating.counted.elapsed() >= COUNT, beating.beat.elapsed() >= BEAT);
        if self.cluster.process != 0 && (counted != (0, 0) && due || silent) {
            if self.tell(0, &Word::Beat { records: counted.0, bytes: counted.1 }) {
                (beating.records, beating.bytes) = (records, bytes);
            }
            beating.counted = Instant::now();
        }
        if silent {
            for link in self.links.iter().flatten().filter(|link| link.peer() != 0) {
                link.tell(&Word::Beat { records: 0, bytes: 0 }, Duration::ZERO);
            }
            beating.beat = Instant::now();
        }
        self.links.iter().flatten().for_each(Link::listen);
    }

    fn tell(&self, peer: usize, word: &Word) -> bool {
        self.links[peer].as_ref().is_some_and(|link| link.tell(word, Duration::ZERO))
    }

    fn tell_failure(&self, beating: &mut Beating) {
        if beating.failed.is_none()
            && let Some(word) = self.bus.failure_word()
        {
            beating.failed = Some(Instant::now());
            let patience = GRACE / self.links.len() as u32;
            self.links.iter().flatten().for_each(|link| _ = link.tell(&word, patience));
            self.bus.news.notify_all();
        }
    }

    /// Shows the graph to the others, and compares it with theirs.
    fn show_plan(&self, beating: &mut Beating) {
        if !beating.shown
            && let Some(plan) = self.bus.heard().plans[self.cluster.process].clone()
        {
            beating.shown = true;
            let word = Word::Plan(plan);
            self.links.iter().flatten().for_each(|link| _ = link.tell(&word, GRACE));
        }
        if !self.bus.agreed.load(Ordering::SeqCst)
            && let Some(same) = self.bus.compare()
        {
            match same.and_then(|()| ready(self.ready.as_deref())) {
                Ok(()) => self.bus.agreed.store(true, Ordering::SeqCst),
                Err(error) => self.bus.fail(error),
            }
            self.bus.news.notify_all();
        }
    }

    /// Brings together what all processes have counted, when the workers of this one have ended well: all give the same.
    pub fn conclude(&self, report: Report) -> Result<Report> {
        let until = Instant::now() + self.cluster.heartbeat;
        let mut total = report.clone();
        if self.cluster.process > 0 {
            let link = self.links[0].as_ref();
            link.inspect(|link| _ = link.tell(&Word::Report(Box::new(report)), GRACE));
            total = self.await_word(until, 0, |heard| heard.total.take())?;
        } else {
            for peer in self.links.iter().flatten().map(Link::peer) {
                total.add(&self.await_word(until, peer, |heard| heard.reports[peer].take())?);
            }
            let word = Word::Total(Box::new(total.clone()));
            self.links.iter().flatten().for_each(|link| _ = link.tell(&word, GRACE));
        }
        Ok(total)
    }

    fn await_word<T>(&self, until: Instant, peer: usize, take: impl Fn(&mut Heard) -> Option<T>) -> Result<T> {
        loop {
            if let Some(word) = take(&mut self.bus.heard()) {
                return Ok(word);
            }
            if let Some(error) = self.bus.shared.failure() {
                return Err(error);
            }
            if Instant::now() > until {
                let reason = format!("nothing was heard of it for {} s", self.cluster.heartbeat.as_secs());
                return Err(Error::Lost { process: peer, reason });
            }
            self.links[peer].iter().for_each(Link::listen);
        }
    }
}

/// What was told, and when.
struct Beating {
    beat: Instant,
    counted: Instant,
    records: u64,
    bytes: u64,
    shown: bool,
    stopped: bool,
    failed: Option<Instant>,
}

impl Beating {
    fn new() -> Self {
        let now = Instant::now();
        Beating { beat: now, counted: now, records: 0, bytes: 0, shown: false, stopped: false, failed: None }
    }
}
