//! Why is time stuck? Which source holds the watermark, and what holds the oldest epoch, and since when.
//!
//! Each worker writes down what it knows once a second; whoever asks reads it.

use crate::clock::Clock;
use crate::runtime::{Runtime, Shared};
use crate::tide::{MarkState, Tide};
use crate::time::{BEGINNING, END, Epoch, Millis};
use std::collections::BTreeMap;
use std::fmt::{Display, Formatter};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// What holds time back in a running job: see [`crate::Job::explain_time`]. Its text says it in two lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeReport {
    /// Wall time of this report, in milliseconds since 1970 UTC.
    pub now: Millis,
    /// The job's watermark, the least of its sources' that are not idle: [`BEGINNING`] where nothing is known, [`END`] when all have ended.
    pub watermark: Millis,
    /// The source that holds the watermark where it is; where all are idle, the one that got furthest.
    pub watermark_held_by: Option<Holder>,
    /// The latest epoch that has begun.
    pub begun: Epoch,
    /// The oldest epoch that is not done, if any is under way.
    pub oldest: Option<Epoch>,
    /// What holds that epoch: an operator that waits for answers or is at work, or a source that is waiting for others.
    pub epoch_held_by: Option<Holder>,
}

/// What holds time back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The source's or operator's name in the graph: what it does (`filter`), if it has none, and `(raw code)` for an
    /// operator that the engine does not know.
    pub name: String,
    /// The source's partition, from 0.
    pub partition: Option<usize>,
    /// The worker that holds an epoch.
    pub worker: Option<usize>,
    /// Whether it is a source without an active partition: it has been idle since then, and so is every other one.
    pub idle: bool,
    /// Since when, by the wall clock, in milliseconds since 1970 UTC.
    pub since: Millis,
}

impl Display for TimeReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let ago = |since: Millis| format!("{:.1} s", self.now.saturating_sub(since).max(0) as f64 / 1000.0);
        let at = if self.watermark == BEGINNING { "not known".to_owned() } else { format!("at {} ms", self.watermark) };
        match (self.watermark, &self.watermark_held_by) {
            (END, _) => writeln!(f, "watermark: the input has ended")?,
            (_, Some(Holder { name, partition, idle, since, .. })) => {
                let place = partition.map_or(String::new(), |partition| format!(", partition {partition}"));
                if *idle {
                    writeln!(f, "watermark: {at}, source `{name}`{place}, has been idle for {}", ago(*since))?;
                } else {
                    writeln!(f, "watermark: {at}, held for {} by source `{name}`{place}", ago(*since))?;
                }
            }
            (_, None) => writeln!(f, "watermark: {at}")?,
        }
        match (self.oldest, &self.epoch_held_by) {
            (None, _) if self.begun == 0 => write!(f, "epochs: none has begun"),
            (None, _) => write!(f, "epochs: all {} are done", self.begun),
            (Some(epoch), Some(Holder { name, worker, since, .. })) => {
                let worker = worker.map_or(String::new(), |worker| format!(" on worker {worker}"));
                write!(f, "epochs: {epoch} of {} is not done, held for {} by `{name}`{worker}", self.begun, ago(*since))
            }
            (Some(epoch), None) => write!(f, "epochs: {epoch} of {} is under way", self.begun),
        }
    }
}

/// Asks a running job what holds its time back; may be sent to any thread.
#[derive(Clone)]
pub struct TimeExplainer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) clock: Clock,
}

impl TimeExplainer {
    /// What holds time back, as of a second ago at most. `None` before the job runs and after it has ended.
    pub fn explain(&self) -> Option<TimeReport> {
        let views = self.shared.views.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Of several processes each knows its own workers; what they know of sources is the same.
        let (_, first) = views.first_key_value()?;
        let mut report = TimeReport {
            now: self.clock.now(),
            watermark: END,
            watermark_held_by: None,
            begun: self.shared.epochs.load(Ordering::Relaxed),
            oldest: None,
            epoch_held_by: None,
        };
        report.watermark = Tide::UNKNOWN.then(first.sources.iter().map(|source| source.tide)).watermark;
        let waited_for = first.sources.iter().filter(|source| source.tide.watermark < END);
        let active = waited_for.clone().filter(|source| !source.tide.idle).min_by_key(|source| source.tide.watermark);
        let holding = active.or_else(|| waited_for.rev().max_by_key(|source| source.tide.watermark));
        report.watermark_held_by = holding.and_then(|source| source.held_by.clone());
        // Data begins at epoch 1, and before it nothing is done.
        let oldest = views.values().filter_map(|view| view.oldest).min().map(|oldest| oldest.max(1));
        report.oldest = oldest.filter(|oldest| *oldest <= report.begun);
        if let Some(oldest) = report.oldest {
            // Who is at work keeps everyone waiting; then come those who wait for answers themselves.
            let inside = views.iter().filter_map(|(worker, view)| {
                let operator = self.shared.inside[*worker].0.load(Ordering::Relaxed).checked_sub(1)?;
                let name = view.names.get(operator as usize)?.clone();
                // It has written nothing down since then.
                Some(Holder { name, partition: None, worker: Some(*worker), idle: false, since: view.at })
            });
            let holding = views.iter().flat_map(|(worker, view)| {
                view.holding.iter().filter(|(_, epoch, _)| *epoch <= oldest).map(move |(name, epoch, since)| {
                    let (name, worker) = (name.clone(), Some(*worker));
                    (*epoch, Holder { name, partition: None, worker, idle: false, since: *since })
                })
            });
            // Between operators, a worker writes something down in time.
            let silent = views.iter().filter(|(_, view)| report.now.saturating_sub(view.at) > 2 * EVERY);
            let silent = silent.min_by_key(|(_, view)| view.at).map(|(worker, view)| {
                let name = "(raw code)".to_owned();
                Holder { name, partition: None, worker: Some(*worker), idle: false, since: view.at }
            });
            report.epoch_held_by = inside
                .min_by_key(|holder| holder.since)
                .or_else(|| holding.min_by_key(|(epoch, _)| *epoch).map(|(_, h)| h))
                .or(silent);
        }
        Some(report)
    }
}

/// What each worker wrote down last.
#[derive(Default)]
pub(crate) struct Views(Mutex<BTreeMap<usize, View>>);

/// What one worker knows.
#[derive(Clone, Default)]
struct View {
    at: Millis,
    sources: Vec<SourceView>,
    oldest: Option<Epoch>,
    /// Operators that hold an epoch although their input is past it: which, and since when.
    holding: Vec<(String, Epoch, Millis)>,
    /// The names of what runs user code, by label.
    names: Vec<String>,
}

#[derive(Clone)]
struct SourceView {
    tide: Tide,
    held_by: Option<Holder>,
}

/// What a source said of its partitions, kept by each worker.
pub(crate) struct SourceTime {
    pub name: String,
    pub tide: Tide,
    /// By partition from 0: watermark, state, and since when the worker has known both.
    pub partitions: Vec<(Millis, MarkState, Millis)>,
}

impl SourceTime {
    fn view(&self) -> SourceView {
        let of = |wanted| self.partitions.iter().enumerate().filter(move |(_, (_, state, _))| *state == wanted);
        let active = of(MarkState::Active).min_by_key(|(_, (watermark, ..))| *watermark);
        // Where all are idle, the last to become so is who stopped time.
        let holding = active.or_else(|| of(MarkState::Idle).max_by_key(|(_, (.., since))| *since));
        let held_by = holding.map(|(partition, (_, state, since))| Holder {
            name: self.name.clone(),
            partition: Some(partition),
            worker: None,
            idle: *state == MarkState::Idle,
            since: *since,
        });
        SourceView { tide: self.tide, held_by }
    }
}

/// Writes down what one worker knows, from time to time.
pub(crate) struct Chronicle {
    last: Option<Millis>,
    view: View,
}

/// In ms.
const EVERY: Millis = 1_000;

impl Chronicle {
    /// Begins with what the worker of `runtime` knows before its first step.
    pub fn new(runtime: &Runtime) -> Self {
        let mut chronicle = Chronicle { last: None, view: View::default() };
        chronicle.write(runtime);
        chronicle
    }

    pub fn write(&mut self, runtime: &Runtime) {
        let now = runtime.config.clock.now();
        // A clock set back must not end the chronicle.
        if self.last.is_some_and(|last| (0..EVERY).contains(&now.saturating_sub(last))) {
            return;
        }
        self.last = Some(now);
        let metrics = runtime.metrics.borrow();
        let before = std::mem::take(&mut self.view);
        let since = |name: &str, epoch: Epoch| {
            let known = before.holding.iter().find(|(other, held, _)| other == name && *held == epoch);
            known.map_or(now, |(.., since)| *since)
        };
        let holding = metrics.iter().filter_map(|m| Some((m.name.clone(), m.holding.get()?))).map(|(name, epoch)| {
            let since = since(&name, epoch);
            (name, epoch, since)
        });
        self.view = View {
            at: now,
            sources: runtime.sources.borrow().iter().map(|source| source.borrow().view()).collect(),
            oldest: runtime.probe.with_frontier(|frontier| frontier.first().copied()),
            holding: holding.collect(),
            names: runtime.labels(),
        };
        let mut views = runtime.shared.views.0.lock().unwrap_or_else(PoisonError::into_inner);
        views.insert(runtime.worker, self.view.clone());
    }
}

/// Says in the log when time is stuck, until it is dropped. It has a thread of its own, for the workers may be what is
/// stuck.
pub(crate) struct Watchdog {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A line is logged when nothing has moved for so many ms.
const STUCK: Millis = 10_000;

impl Watchdog {
    /// Looks once a second, by the job's clock. It logs to where the calling thread does.
    pub fn over(explainer: TimeExplainer) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let log = tracing::dispatcher::get_default(Clone::clone);
        let watch = move || {
            let mut last = explainer.clock.now();
            let mut warned = (None, None);
            while stopped.recv_timeout(explainer.clock.patience(EVERY)) == Err(RecvTimeoutError::Timeout) {
                let now = explainer.clock.now();
                if (0..EVERY).contains(&now.saturating_sub(last)) {
                    continue;
                }
                last = now;
                let Some(report) = explainer.explain() else { continue };
                let stuck = report.stuck();
                if stuck != warned && stuck != (None, None) {
                    tracing::dispatcher::with_default(&log, || tracing::warn!("time is stuck\n{report}"));
                }
                warned = stuck;
            }
        };
        let thread = std::thread::Builder::new().name("tidemill: watchdog".into()).spawn(watch)?;
        Ok(Watchdog { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // Had it panicked, the hook would have said so.
            let _ = thread.join();
        }
    }
}

impl TimeReport {
    /// What has not moved for too long: the watermark and who holds it, the epoch and who holds that.
    fn stuck(&self) -> (Option<(String, Millis)>, Option<(String, Option<Epoch>)>) {
        let name = |holder: &Option<Holder>| {
            let stuck = |holder: &&Holder| !holder.idle && self.now.saturating_sub(holder.since) >= STUCK;
            holder.as_ref().filter(stuck).map(|holder| holder.name.clone())
        };
        let watermark = name(&self.watermark_held_by).map(|name| (name, self.watermark));
        (watermark, name(&self.epoch_held_by).map(|name| (name, self.oldest)))
    }
}

/// Nobody is told of a job that has ended.
pub(crate) fn ended(shared: &Shared) {
    shared.views.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// The label of the operator whose code a worker runs, or 0. It changes all the time, so no two share a cache line.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Inside(pub AtomicU32);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn an_epoch_is_held_by_who_holds_the_oldest_and_not_by_who_holds_a_later_one() {
        let shared = Arc::new(Shared::new(2, None, crate::runtime::Asked::default()));
        shared.epochs.store(9, Ordering::Relaxed);
        let explainer = TimeExplainer { shared: Arc::clone(&shared), clock: Clock::Manual(ManualClock::at(1_000)) };
        let held_by = |holding: [&[(&str, Epoch, Millis)]; 2]| {
            for (worker, holding) in holding.into_iter().enumerate() {
                let holding = holding.iter().map(|(name, epoch, since)| (name.to_string(), *epoch, *since)).collect();
                let view = View { at: 1_000, oldest: Some(4), holding, ..View::default() };
                shared.views.0.lock().unwrap().insert(worker, view);
            }
            let holder = explainer.explain().unwrap().epoch_held_by?;
            Some((holder.name, holder.worker?, holder.since))
        };
        assert_eq!(held_by([&[("later", 6, 100)], &[("oldest", 4, 900)]]), Some(("oldest".to_owned(), 1, 900)));
        assert_eq!(held_by([&[("later", 5, 100)], &[]]), None);
    }
}
