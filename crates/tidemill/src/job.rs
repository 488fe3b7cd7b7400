//! The graph under construction.

use crate::checkpoint::coordinate::coordinate;
use crate::clock::Clock;
use crate::drain::drain;
use crate::error::{Error, Result};
use crate::explain_time::TimeExplainer;
use crate::ingest::ingest;
use crate::plan::{Node, Plan};
use crate::record::{DeadLetter, Record};
use crate::runtime::{Metrics, Runtime, Shared};
use crate::sink::{LogDeadLetters, Sink};
use crate::source::{Source, Timing};
use crate::stream::Stream;
use crate::ticker::{Tick, ticker};
use crate::tide::Tide;
use crate::time::{Epoch, Millis};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tidemill_checkpoint::OperatorInfo;
use timely::dataflow::operators::{Concatenate, Probe, ToStream};
use timely::dataflow::{Scope, StreamVec};

/// The graph a job is built on: sources come from it, and it is reachable from every stream.
///
/// The function given to [`crate::run`] builds the same graph on every worker, so it must not
/// depend on which worker it is.
#[derive(Clone)]
pub struct Job<'s>(Rc<Building<'s>>);

struct Building<'s> {
    scope: Scope<'s, Epoch>,
    ticks: StreamVec<'s, Epoch, Tick>,
    runtime: Rc<Runtime>,
    names: RefCell<HashSet<String>>,
    partitions: Cell<usize>,
    bounded: Cell<bool>,
    /// The places in the plan of sources that do not hold the watermark.
    controls: RefCell<HashSet<usize>>,
    dead: RefCell<Vec<StreamVec<'s, Epoch, Record<DeadLetter>>>>,
    on_dead: RefCell<Option<OnDead<'s>>>,
}

/// Partitions of all sources of a job; the numbers above are for what operators emit.
const MOST_PARTITIONS: usize = 65_000;

type OnDead<'s> = Box<dyn FnOnce(Stream<'s, DeadLetter>) -> Result<()> + 's>;

impl<'s> Job<'s> {
    pub(crate) fn new(scope: Scope<'s, Epoch>, runtime: Rc<Runtime>) -> Self {
        let ticks = ticker(scope, &runtime);
        coordinate(ticks.clone(), &runtime);
        Job(Rc::new(Building {
            scope,
            ticks,
            runtime,
            names: RefCell::default(),
            partitions: Cell::new(0),
            bounded: Cell::new(true),
            controls: RefCell::default(),
            dead: RefCell::default(),
            on_dead: RefCell::default(),
        }))
    }

    /// Reads `source` as a stream. The name identifies it in checkpoints, logs and reports.
    ///
    /// Fails if the name is taken or the source cannot be opened.
    pub fn source<S, F>(&self, name: &str, source: S, timing: Timing<S::Item, F>) -> Result<Stream<'s, S::Item>>
    where
        S: Source,
        F: Fn(&S::Item) -> Millis + 'static,
    {
        self.claim(name)?;
        ingest(self, name, source, timing)
    }

    /// What to do with the records that no operator of the job could process: `handle` gets them
    /// all as one stream. Unless told otherwise, the job logs the first few and counts the rest.
    pub fn dead_letters(&self, handle: impl FnOnce(Stream<'s, DeadLetter>) -> Result<()> + 's) {
        *self.0.on_dead.borrow_mut() = Some(Box::new(handle));
    }

    /// The timely scope, for raw operators.
    pub fn scope(&self) -> Scope<'s, Epoch> {
        self.0.scope
    }

    /// Makes the job wait for a raw timely stream: an epoch counts as done, for back-pressure and
    /// latency, only when this stream has passed it.
    pub fn wait_for<D: Clone + 'static>(&self, stream: StreamVec<'s, Epoch, D>) -> StreamVec<'s, Epoch, D> {
        stream.probe_with(&self.0.runtime.probe)
    }

    /// Adds the dead letters of a raw operator to the job's.
    pub fn add_dead_letters(&self, letters: StreamVec<'s, Epoch, Record<DeadLetter>>) {
        self.0.dead.borrow_mut().push(letters);
    }

    /// A handle by which a raw operator, or a thread that works for one, stops the whole job.
    pub fn stopper(&self, operator: &str) -> Stopper {
        Stopper { operator: operator.to_owned(), shared: Arc::clone(&self.0.runtime.shared) }
    }

    /// Asks the job, while it runs and from any thread, what holds its time back: which source holds the watermark, which
    /// operator the oldest epoch, and since when. A job that stands still for ten seconds by its clock logs the same by
    /// itself, as a warning, also where an operator does not come back.
    ///
    /// ```
    /// # use std::sync::{Arc, OnceLock};
    /// # use tidemill::{Config, Events, Timing, execute};
    /// # let handle = Arc::new(OnceLock::new());
    /// # let to_handle = Arc::clone(&handle);
    /// # execute(Config::workers(1), move |job| {
    /// let time = job.explain_time();
    /// # job.source("events", Events::new(vec![1i64]), Timing::by(|e: &i64| *e))?.for_each(|_| ());
    /// # let _ = to_handle.set(time);
    /// # Ok(()) })?;
    /// # let time = handle.get().unwrap();
    /// if let Some(report) = time.explain() {
    ///     println!("{report}");
    /// }
    /// # Ok::<(), tidemill::Error>(())
    /// ```
    pub fn explain_time(&self) -> TimeExplainer {
        let runtime = &self.0.runtime;
        TimeExplainer { shared: Arc::clone(&runtime.shared), clock: runtime.config.clock.clone() }
    }

    /// The graph as it has been built so far: operators, keys, states, and which rows are maintained; as text, in
    /// Graphviz's and in Mermaid's language. It is the same on every worker. What raw operators and closures connect by
    /// themselves ([`Stream::inner`], another collection inside [`crate::Collection::then`]) is not in it.
    ///
    /// ```
    /// # use tidemill::{Config, Events, Memory, Timing, execute};
    /// execute(Config::workers(1), |job| {
    ///     let sales = job.source("sales", Events::new(vec![(0, 250), (1, 990)]), Timing::by(|sale: &(i64, i64)| sale.0))?;
    ///     sales.filter(|sale| sale.1 > 500).sink("large sales", Memory::new())?;
    ///     assert_eq!(job.explain().to_string(), "  0  sales: source\n  1  filter  of 0\n  2  large sales: sink  of 1\n");
    ///     Ok(())
    /// })?;
    /// # Ok::<(), tidemill::Error>(())
    /// ```
    pub fn explain(&self) -> Plan {
        self.0.runtime.plan.borrow().clone()
    }

    /// Notes an operator for [`Job::explain`].
    pub(crate) fn note(&self, node: Node) -> usize {
        self.0.runtime.plan.borrow_mut().add(node)
    }

    /// Notes that a raw operator reads another one too.
    pub(crate) fn note_input(&self, node: usize, input: usize) {
        if let Some(node) = self.0.runtime.plan.borrow_mut().node(node)
            && !node.inputs.contains(&input)
        {
            node.inputs.push(input);
        }
    }

    /// Notes that the source at `node` does not hold the watermark.
    pub(crate) fn note_control(&self, node: usize) {
        self.0.controls.borrow_mut().insert(node);
    }

    /// Whether everything that the operator at `node` derives from is a control source.
    pub(crate) fn only_controlled(&self, node: usize) -> bool {
        let plan = self.0.runtime.plan.borrow();
        let (controls, nodes) = (self.0.controls.borrow(), plan.nodes());
        let (mut seen, mut open) = (HashSet::new(), vec![node]);
        while let Some(at) = open.pop() {
            if !seen.insert(at) || controls.contains(&at) {
                continue;
            }
            match nodes.get(at) {
                Some(node) if !node.inputs.is_empty() => open.extend(&node.inputs),
                _ => return false,
            }
        }
        true
    }

    /// Says of what [`Job::note`] noted what it is called and what it does.
    pub(crate) fn name_node(&self, node: usize, name: &str, kind: &str) {
        if let Some(node) = self.0.runtime.plan.borrow_mut().node(node) {
            (node.name, node.kind) = (Some(name.to_owned()), kind.to_owned());
        }
    }

    /// Where the job reads time. What an operator reads here is not the same in another run, so it may decide when
    /// something is done, and what is done only in ways a test can drive.
    pub fn clock(&self) -> Clock {
        self.0.runtime.config.clock.clone()
    }

    /// Counters of an operator for the job's report, under this name.
    pub fn metrics(&self, name: &str) -> Rc<Metrics> {
        self.0.runtime.metrics(name)
    }

    /// Gives an operator a name that is unique within the job, and messages about it that name.
    pub fn name_operator(&self, name: &str, timely_id: usize) -> Result<()> {
        self.claim(name)?;
        self.0.runtime.name_operator(timely_id, name);
        Ok(())
    }

    /// Takes `name` for one operator of the job.
    pub(crate) fn claim(&self, name: &str) -> Result<()> {
        if self.0.names.borrow_mut().insert(name.to_owned()) {
            return Ok(());
        }
        Err(Error::Graph(format!("two operators are named `{name}`: state is found by name, so give one another")))
    }

    pub(crate) fn runtime(&self) -> &Rc<Runtime> {
        &self.0.runtime
    }

    pub(crate) fn ticks(&self) -> StreamVec<'s, Epoch, Tick> {
        self.0.ticks.clone()
    }

    /// Numbers for `count` partitions, unique in the job.
    pub(crate) fn take_partitions(&self, name: &str, count: usize) -> Result<Vec<u16>> {
        let first = self.0.partitions.get();
        let last = first + count;
        if last > MOST_PARTITIONS {
            return Err(Error::Source {
                source_name: name.to_owned(),
                reason: format!("it has {count} partitions, and a job can have 65,000 in all: read fewer, larger ones"),
            });
        }
        self.0.partitions.set(last);
        Ok((first..last).map(|p| p as u16).collect())
    }

    pub(crate) fn note_source(&self, bounded: bool) {
        self.0.bounded.set(self.0.bounded.get() && bounded);
    }

    /// Connects what had to wait until the whole graph was known.
    pub(crate) fn finish(&self) -> Result<()> {
        self.check_state()?;
        let config = &self.0.runtime.config;
        self.0.runtime.partitions.set(self.0.partitions.get());
        self.0.runtime.live.set(config.epoch_ms.is_some() || !self.0.bounded.get());
        self.0.runtime.shared.live.store(self.0.runtime.live.get(), Ordering::SeqCst);
        if let Some(log) = &self.0.runtime.log {
            let needed = self.0.runtime.live.get() || log.unseekable.get();
            log.on.set(needed && log.possible());
            if needed && !log.possible() && self.0.runtime.worker == 0 {
                tracing::warn!(
                    "a bucket can hold no epoch log: after a crash, the epochs since the last checkpoint are formed otherwise"
                );
            }
        }
        let Some(handle) = self.0.on_dead.borrow_mut().take() else {
            return self.log_dead_letters("(dead letters)");
        };
        // Every stateful operator may refuse something: an epoch that is over here is over in all of them, whatever `handle` does.
        let letters = self.wait_for(self.0.scope.concatenate(self.0.dead.take()));
        let nothing: StreamVec<'s, Epoch, Tide> = None::<Tide>.to_stream(self.0.scope);
        let node = self.note(Node::new("dead letters", None, &[]));
        handle(Stream::new(letters, nothing, self.clone(), node))?;
        // Operators that handle dead letters may refuse some of them in turn.
        self.log_dead_letters("(dead letters of dead letters)")
    }

    /// Compares what the checkpoint that the job begins with has with what the graph has: what has state in one must have
    /// it in the other, unless the user says otherwise.
    fn check_state(&self) -> Result<()> {
        let runtime = &self.0.runtime;
        let (Some(restored), Some(checkpoints)) = (runtime.restored(), &runtime.checkpoints) else { return Ok(()) };
        let allowed = |name: &String| checkpoints.archive.settings.allow.contains(name);
        let (plan, manifest) = (runtime.plan.borrow(), &restored.manifest);
        let named = |kind: &str| -> HashSet<String> {
            let of_kind = plan
                .nodes()
                .iter()
                .filter(|node| if kind.is_empty() { node.state.is_some() } else { node.kind == kind });
            of_kind.filter_map(|node| node.name.clone()).collect()
        };
        let operators = (named(""), manifest.operators.iter().map(|at| at.name.clone()).collect());
        let sources = (named("source"), manifest.sources.iter().map(|at| at.name.clone()).collect());
        let sinks = (
            named("sink"),
            manifest.sinks.iter().map(|at| at.name.clone()).filter(|name| !name.starts_with('(')).collect(),
        );
        for (kind, (here, there)) in [("operator", operators), ("source", sources), ("sink", sinks)] {
            let there: HashSet<String> = there;
            if let Some(name) = here.symmetric_difference(&there).filter(|name| !allowed(name)).min() {
                let (has, lacks) = match here.contains(name) {
                    true => ("the graph".to_owned(), format!("checkpoint {}", manifest.id)),
                    false => (format!("checkpoint {}", manifest.id), "the graph".to_owned()),
                };
                return Err(Error::Checkpoint(format!(
                    "{has} has {kind} `{name}`, {lacks} does not: if that is meant, say `--allow-state-change '{name}'`"
                )));
            }
        }
        Ok(())
    }

    /// Compares what an operator keeps with what it kept when the checkpoint was made that the job begins with.
    pub(crate) fn check_operator(&self, node: &Node) -> Result<()> {
        let (Some(restored), Some(name), Some(state)) = (self.0.runtime.restored(), &node.name, &node.state) else {
            return Ok(());
        };
        let fits = |before: &OperatorInfo| {
            let migrates = node.version > before.version;
            let unlike = !before.shape.is_empty() && !node.shape.is_empty() && before.shape != node.shape;
            let same = node.version == before.version && *state == before.state_type && !unlike;
            (migrates || same) && node.key.as_ref() == Some(&before.key_type)
        };
        let settings = self.0.runtime.checkpoints.as_ref().map(|checkpoints| &checkpoints.archive.settings);
        let allowed = settings.is_some_and(|settings| settings.allow.contains(name));
        match restored.manifest.operators.iter().find(|before| before.name == *name) {
            Some(before) if !fits(before) => Err(Error::Checkpoint(format!(
                "operator `{name}` keeps `{state}` (version {}) as `{}` by `{}`, and kept `{}` (version {}) as `{}` by `{}` \
                 when checkpoint {} was made: raise its version and write `migrate`, or give it another name and allow both \
                 changes by `--allow-state-change`",
                node.version,
                node.shape,
                node.key.as_deref().unwrap_or_default(),
                before.state_type,
                before.version,
                before.shape,
                before.key_type,
                restored.manifest.id
            ))),
            // State of the same type may mean something else: that of windows of a minute is not that of windows of an hour.
            Some(before) if before.kind != node.kind && before.version == node.version && !allowed => {
                Err(Error::Checkpoint(format!(
                    "operator `{name}` is `{}`, and was `{}` when checkpoint {} was made: if what it kept fits both, say                  `--allow-state-change '{name}'`; else give it another name, and allow both changes so",
                    node.kind, before.kind, restored.manifest.id
                )))
            }
            _ => Ok(()),
        }
    }

    /// Has what was refused so far logged and counted.
    fn log_dead_letters(&self, name: &str) -> Result<()> {
        self.claim(name)?;
        let letters = self.0.scope.concatenate(self.0.dead.take());
        let order = |letters: &mut Vec<Record<DeadLetter>>| letters.sort_by_key(|r| (r.time, r.seq));
        drain(self, name, letters, order, LogDeadLetters::default());
        Ok(())
    }
}

impl<'s> Job<'s> {
    /// Writes all dead letters of the job to `sink`.
    pub fn dead_letters_to<S: Sink<Item = Record<DeadLetter>>>(&self, sink: S) {
        self.dead_letters(move |letters| letters.sink("(dead letters)", sink));
    }
}

/// Stops a job from outside the engine's own code: see [`Job::stopper`].
#[derive(Clone)]
pub struct Stopper {
    operator: String,
    shared: Arc<Shared>,
}

impl Stopper {
    /// Stops the job: something it cannot work without has failed. `reason` says what to do.
    pub fn stop(&self, reason: impl Into<String>) {
        self.shared.fail(Error::Operator { operator: self.operator.clone(), reason: reason.into() });
    }
}
