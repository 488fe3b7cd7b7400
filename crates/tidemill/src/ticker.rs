//! Cuts epochs: one worker ticks, all sources follow.
//!
//! In replay the next epoch begins as soon as the sources are aligned and the results of an epoch
//! some way back are out; in a live job when those of the epoch before are out, and the clock says
//! so too. So a live job's epochs are as long as its load makes them: what an epoch costs beside
//! its events is paid less often the more there are. Holding the next tick is all the back-pressure
//! there is: nothing enters the graph between ticks, so a slow operator, model or sink slows its
//! sources, and no queue grows.

use crate::checkpoint::Checkpoints;
use crate::config::EPOCH_MS;
use crate::everywhere::everywhere;
use crate::runtime::Runtime;
use crate::time::{Epoch, Millis};
use serde::{Deserialize, Serialize};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Scope, StreamVec};

/// In replay so many epochs may be under way beside the one that begins.
const SLACK: Epoch = 8;

/// A live job without input for this many epochs ticks ten times more slowly.
const CALM: u32 = 50;

/// The beginning of an epoch.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Tick {
    /// Wall time, in milliseconds since 1970 UTC; never before an earlier epoch's.
    pub wall: Millis,
    /// The number of the checkpoint at the epoch's end, if there is one.
    pub checkpoint: Option<u64>,
    /// Which history this is, and which run of it, where there are checkpoints.
    pub lineage: u64,
    /// See `lineage`.
    pub run: u64,
}

/// The stream of ticks, one an epoch on every worker.
pub(crate) fn ticker<'s>(scope: Scope<'s, Epoch>, runtime: &Rc<Runtime>) -> StreamVec<'s, Epoch, Tick> {
    let mut builder = OperatorBuilder::new("ticker".to_owned(), scope);
    let info = builder.operator_info();
    runtime.name_operator(info.global_id, "ticker");
    let activator = scope.activator_for(Rc::clone(&info.address));
    runtime.add_sleeper(scope.activator_for(info.address));
    let (output, ticks) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<Tick>>>::from(output);
    let runtime = Rc::clone(runtime);

    builder.build(move |mut capabilities| {
        let mut cap = capabilities.pop().filter(|_| runtime.worker == 0);
        let mut next: Epoch = runtime.began() + 1;
        if let Some(cap) = &mut cap {
            cap.downgrade(&next);
        }
        let mut latest = runtime.latest_tick();
        let mut pace = Pace::new(&runtime);
        let mut schedule = Schedule::new(&runtime);
        let archive = runtime.checkpoints.as_ref().map(|checkpoints| Arc::clone(&checkpoints.archive));
        let (lineage, run) = archive.as_ref().map_or((0, 0), |archive| (archive.lineage, archive.run));
        move |_| {
            let Some(held) = cap.as_mut() else { return };
            loop {
                let finished = runtime.alignment.borrow().all_done();
                let stop = runtime.shared.stop.load(Ordering::Relaxed);
                let failed = runtime.shared.failed();
                if failed || (finished || stop) && !schedule.owes() {
                    runtime.shared.interrupted.store(stop && !finished, Ordering::SeqCst);
                    cap = None;
                    return;
                }
                let slack = if runtime.live.get() { 0 } else { SLACK };
                if !runtime.alignment.borrow().ready(next) || runtime.probe.less_than(&next.saturating_sub(slack)) {
                    return; // woken when either changes
                }
                let again = archive.as_ref().and_then(|archive| archive.past.wall(next));
                let wall = match again.map_or_else(|| pace.due(&runtime), Ok) {
                    Ok(wall) => wall,
                    Err(wait) => {
                        activator.activate_after(runtime.config.clock.patience(wait));
                        return;
                    }
                };
                held.downgrade(&next);
                latest = latest.max(wall);
                let last = finished || stop;
                let asked = &runtime.shared.savepoint;
                let checkpoint = if again.is_some() && !last { None } else { schedule.at(latest, last, asked) };
                output.activate().session(held).give(Tick { wall: latest, checkpoint, lineage, run });
                runtime.watch.borrow_mut().began(next);
                runtime.shared.epochs.store(next, Ordering::Relaxed);
                next += 1;
                held.downgrade(&next);
                if runtime.live.get() && again.is_none() {
                    activator.activate_after(runtime.config.clock.patience(pace.interval));
                    return;
                }
            }
        }
    });
    everywhere(ticks)
}

/// When the next epoch of a live job is due.
struct Pace {
    interval: Millis,
    usual: Millis,
    last: Millis,
    records: u64,
    calm: u32,
}

impl Pace {
    fn new(runtime: &Runtime) -> Self {
        let usual = runtime.config.epoch_ms.map_or(EPOCH_MS, |ms| ms as Millis);
        Pace { interval: usual, usual, last: Millis::MIN, records: 0, calm: 0 }
    }

    /// The wall time of the epoch that begins now, or how long to wait for it.
    fn due(&mut self, runtime: &Runtime) -> Result<Millis, Millis> {
        let now = runtime.config.clock.now();
        if !runtime.live.get() {
            return Ok(now);
        }
        let waited = now.saturating_sub(self.last);
        // A clock set back would otherwise stop the job until it has caught up.
        if (0..self.interval).contains(&waited) {
            return Err(self.interval - waited);
        }
        let records = runtime.shared.all_records();
        self.calm = if records == self.records { self.calm + 1 } else { 0 };
        self.records = records;
        self.interval = if self.calm > CALM { 10 * self.usual } else { self.usual };
        self.last = now;
        Ok(now)
    }
}

/// When there are checkpoints.
struct Schedule {
    checkpoints: Option<Rc<Checkpoints>>,
    /// The number of the next one.
    next: u64,
    last: Option<Millis>,
    /// Whether the one that ends the job was begun.
    ended: bool,
}

impl Schedule {
    fn new(runtime: &Runtime) -> Self {
        let checkpoints = runtime.checkpoints.clone();
        let next = checkpoints.as_ref().map_or(0, |checkpoints| checkpoints.archive.next);
        Schedule { checkpoints, next, last: None, ended: false }
    }

    /// Whether the job cannot end before it has had another epoch with a checkpoint.
    fn owes(&self) -> bool {
        self.checkpoints.is_some() && !self.ended
    }

    /// The number of the checkpoint at the end of an epoch that begins at `wall`, and is the last or not; and `asked` for a
    /// savepoint or not.
    fn at(&mut self, wall: Millis, last: bool, asked: &AtomicBool) -> Option<u64> {
        let checkpoints = self.checkpoints.as_ref()?;
        let since = wall - *self.last.get_or_insert(wall);
        let due = last || since >= checkpoints.archive.settings.interval_ms || asked.load(Ordering::Relaxed);
        if checkpoints.under_way.get() || !due {
            return None;
        }
        checkpoints.savepoint.set(asked.swap(false, Ordering::Relaxed));
        checkpoints.under_way.set(true);
        (self.last, self.ended, self.next) = (Some(wall), last, self.next + 1);
        Some(self.next - 1)
    }
}
