//! What every stateful operator is underneath: a [`Kernel`] that sees closed epochs, in order.
//!
//! The engine exchanges records by key group, collects an epoch until its frontier and watermark
//! are known, puts its records into the order the kernel declares, and sends on what it emits.
//! So a kernel never sees half an epoch, and what it does cannot depend on timing.

use crate::checkpoint::{Participant, Written, encode};
use crate::error::{Error, Result};
use crate::pending::Pending;
use crate::record::{Data, DeadLetter, Record};
use crate::runtime::{Runtime, count};
use crate::save::{Save, Saved};
use crate::stream::Stream;
use crate::tide::Tide;
use crate::time::{BEGINNING, END, Epoch, Millis};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::rc::Rc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::{Capability, InputCapability};

/// The order in which an operator needs the records of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// None: what it computes does not depend on order. Nothing is buffered or sorted.
    Any,
    /// As they arrived: by epoch, then by place ([`crate::Seq`]).
    Arrival,
    /// By event time, ties by place: held until the watermark has passed them. Records behind
    /// the watermark at the start of their epoch are late and go to the late stream.
    EventTime,
}

/// An epoch that has closed.
#[derive(Clone, Copy, Debug)]
pub struct Closing {
    /// Its number.
    pub epoch: Epoch,
    /// The watermark at its start: a record behind it is late.
    pub before: Millis,
    /// The watermark at its end.
    pub after: Millis,
}

/// What a kernel emits.
#[derive(Debug)]
pub struct Emit<In, Out> {
    /// Results.
    pub out: Vec<Out>,
    /// Records that came too late.
    pub late: Vec<Record<In>>,
    /// Records that could not be processed.
    pub dead: Vec<Record<DeadLetter>>,
}

impl<In, Out> Default for Emit<In, Out> {
    fn default() -> Self {
        Emit { out: Vec::new(), late: Vec::new(), dead: Vec::new() }
    }
}

/// One worker's share of a keyed operator, for those who need more than [`crate::Process`] or
/// [`crate::Maintain`]: windows, sliding features. State is kept by key and must be given back
/// whole, by key group, so that a checkpoint can be restored on another number of workers.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `Kernel`",
    label = "no `Kernel`",
    note = "which kind of operator to write: see `tidemill::guide`"
)]
pub trait Kernel: 'static {
    /// What it takes.
    type In: Data;
    /// What it emits: [`Record`]s for a stream, `(row, epoch, diff)` for a collection.
    type Out: Clone + 'static;

    /// What it is and how it is set, in [`Job::explain`](crate::Job::explain): `tumbling windows of 1 min`.
    fn kind(&self) -> String;

    /// The type of a key's state, in [`Job::explain`](crate::Job::explain): see [`type_name`](crate::type_name).
    fn state(&self) -> String;

    /// The version of what [`Kernel::save`] writes: to be raised when that changes, so that [`Kernel::load`] can tell.
    fn version(&self) -> u32 {
        0
    }

    /// How a key's state is encoded, as far as that can be told: what was written otherwise is not read. Empty if it cannot.
    fn shape(&self) -> String {
        String::new()
    }

    /// The order in which it needs its input.
    fn order(&self) -> Order;

    /// Takes records of a closed epoch in that order: all at once, or for [`Order::Any`] in
    /// several calls. `records` is the kernel's to drain.
    fn records(&mut self, at: Closing, records: &mut Vec<Record<Self::In>>, emit: &mut Emit<Self::In, Self::Out>);

    /// The epoch's records have all been given: act on the new watermark.
    fn settle(&mut self, at: Closing, emit: &mut Emit<Self::In, Self::Out>);

    /// Writes down what has changed since the last time, or everything: [`Keys`](crate::Keys) knows which that is.
    ///
    /// This is called once for each slice of a checkpoint, with epochs between two. What is no matter of `Keys`, which
    /// makes the slices, is written as it is in the first one, where [`Save::begins`] says so.
    fn save(&mut self, save: &mut Save);

    /// Takes back one of the entries that together are what was written down, in no particular order. A collection's kernel
    /// also says the entry's rows again, which are true at epoch `at.epoch`.
    fn load(&mut self, at: Closing, entry: Saved<'_>, emit: &mut Emit<Self::In, Self::Out>) -> Result<(), StateError>;

    /// All entries have been taken back: for a kernel that writes a key's state in several.
    fn loaded(&mut self, _at: Closing, _emit: &mut Emit<Self::In, Self::Out>) -> Result<(), StateError> {
        Ok(())
    }
}

/// State that cannot be read back.
#[derive(Debug, Clone, thiserror::Error)]
#[error("state cannot be decoded: {0}; was the type of the state changed?")]
pub struct StateError(pub String);

impl From<postcard::Error> for StateError {
    fn from(error: postcard::Error) -> Self {
        StateError(error.to_string())
    }
}

/// A kernel with the order kept for it: all of an operator but timely.
pub(crate) struct Machine<K: Kernel> {
    pub kernel: K,
    /// Which group a record belongs to.
    group: Box<dyn Fn(&K::In) -> u8>,
    /// Records that wait for the watermark.
    pending: Pending<K::In>,
    /// The groups whose waiting records are written down.
    waited: Vec<u8>,
    watermark: Millis,
    saving: Option<Saving>,
}

/// A checkpoint that an operator has begun to write down.
#[derive(Default)]
pub(crate) struct Saving {
    pub state: Vec<Save>,
    pub waiting: Save,
    watermark: Millis,
}

/// How long an operator writes down state before it looks for records.
const SLICE: Duration = Duration::from_millis(2);

impl Saving {
    fn add_to(self, written: &mut Written, name: &str) {
        written.facts.extra.push((format!("watermark of {name}"), encode(&self.watermark)));
        written.state.extend(self.state.into_iter().map(|save| (name.to_owned(), save)));
        written.state.push((waiting(name), self.waiting));
    }
}

impl<K: Kernel> Machine<K> {
    pub fn new(kernel: K, group: impl Fn(&K::In) -> u8 + 'static) -> Self {
        Machine {
            kernel,
            group: Box::new(group),
            pending: Pending::new(),
            waited: Vec::new(),
            watermark: BEGINNING,
            saving: None,
        }
    }

    /// Closes an epoch that brought `batches` and ended at watermark `after`, if that moved.
    pub fn close(
        &mut self,
        epoch: Epoch,
        after: Option<Millis>,
        batches: Vec<Vec<Record<K::In>>>,
        emit: &mut Emit<K::In, K::Out>,
    ) {
        let before = self.watermark;
        let at = Closing { epoch, before, after: after.unwrap_or(before).max(before) };
        self.watermark = at.after;
        match self.kernel.order() {
            Order::Any => {
                for mut batch in batches {
                    self.kernel.records(at, &mut batch, emit);
                }
            }
            Order::Arrival => {
                let mut records = merged(batches);
                records.sort_by_key(|r| r.seq);
                self.kernel.records(at, &mut records, emit);
            }
            Order::EventTime => {
                let mut ready = self.pending.release(at.after);
                for record in batches.into_iter().flatten() {
                    if record.time < before {
                        emit.late.push(record);
                    } else if passed(record.time, at.after) {
                        ready.push(record);
                    } else {
                        self.pending.add(record);
                    }
                }
                if !ready.is_empty() {
                    ready.sort_by_key(|r| (r.time, r.seq));
                    self.kernel.records(at, &mut ready, emit);
                }
            }
        }
        self.kernel.settle(at, emit);
    }

    /// Begins to write down what must survive a restart and has changed since the last time, as it is now: records that
    /// wait, and a first slice of the kernel's state. Gives everything if that is all.
    pub fn begin_save(&mut self, slice: impl FnOnce(bool) -> Save) -> Result<Option<Saving>, StateError> {
        self.saving = Some(Saving { state: Vec::new(), waiting: self.save_waiting(), watermark: self.watermark });
        self.save_more(slice)
    }

    /// Whether it has begun to.
    pub fn is_saving(&self) -> bool {
        self.saving.is_some()
    }

    /// Goes on with that in another slice, and gives everything once it is written.
    pub fn save_more(&mut self, slice: impl FnOnce(bool) -> Save) -> Result<Option<Saving>, StateError> {
        let Some(mut saving) = self.saving.take() else { return Ok(None) };
        let mut save = slice(!saving.state.is_empty());
        self.kernel.save(&mut save);
        save.check()?;
        let is_last = !save.has_more();
        saving.state.push(save);
        if is_last {
            saving.waiting.check()?;
            return Ok(Some(saving));
        }
        self.saving = Some(saving);
        Ok(None)
    }

    /// Writes down everything.
    pub fn save_all(&mut self) -> Result<Saving, StateError> {
        let mut all = Saving { state: vec![Save::new(true)], waiting: self.save_waiting(), watermark: self.watermark };
        self.kernel.save(&mut all.state[0]);
        all.state[0].check()?;
        all.waiting.check()?;
        Ok(all)
    }

    fn save_waiting(&mut self) -> Save {
        let mut waiting = Save::new(false);
        let mut groups: BTreeMap<u8, Vec<&Record<K::In>>> = BTreeMap::new();
        for record in self.pending.iter() {
            groups.entry((self.group)(&record.value)).or_default().push(record);
        }
        for group in &self.waited {
            if !groups.contains_key(group) {
                waiting.entry(*group, &(), None::<&()>);
            }
        }
        for (group, records) in &groups {
            waiting.entry(*group, &(), Some(records));
        }
        self.waited = groups.into_keys().collect();
        waiting
    }

    /// Goes on from `watermark`.
    pub fn resume(&mut self, watermark: Millis) {
        self.watermark = watermark;
    }

    /// Takes back an entry of the kernel's state as it was at the end of `epoch`.
    pub fn load(&mut self, epoch: Epoch, entry: Saved<'_>, emit: &mut Emit<K::In, K::Out>) -> Result<(), StateError> {
        let watermark = self.watermark;
        self.kernel.load(Closing { epoch, before: watermark, after: watermark }, entry, emit)
    }

    /// Everything of the kernel's state has been taken back.
    pub fn loaded(&mut self, epoch: Epoch, emit: &mut Emit<K::In, K::Out>) -> Result<(), StateError> {
        let watermark = self.watermark;
        self.kernel.loaded(Closing { epoch, before: watermark, after: watermark }, emit)
    }

    /// Takes back the records of a group that waited.
    pub fn load_waiting(&mut self, group: u8, records: &[u8]) -> Result<(), StateError> {
        let records: Vec<Record<K::In>> = postcard::from_bytes(records)?;
        records.into_iter().for_each(|record| self.pending.add(record));
        self.waited.push(group);
        Ok(())
    }
}

/// Whether the watermark is past `time`; at the end of the input it is past all times, the last one too.
pub(crate) fn passed(time: Millis, watermark: Millis) -> bool {
    time < watermark || watermark == END
}

fn merged<T>(batches: Vec<Vec<T>>) -> Vec<T> {
    let mut batches = batches.into_iter();
    let mut all = batches.next().unwrap_or_default();
    all.extend(batches.flatten());
    all
}

/// An epoch that is still open.
struct Open<T> {
    caps: [Capability<Epoch>; 3],
    batches: Vec<Vec<Record<T>>>,
    watermark: Option<Millis>,
}

impl<T> Open<T> {
    fn at<'m>(open: &'m mut BTreeMap<Epoch, Open<T>>, cap: &InputCapability<Epoch>) -> Option<&'m mut Self> {
        match open.entry(*cap.least()?) {
            Entry::Occupied(slot) => Some(slot.into_mut()),
            Entry::Vacant(slot) => {
                let caps = [cap.retain_least(0)?, cap.retain_least(1)?, cap.retain_least(2)?];
                Some(slot.insert(Open { caps, batches: Vec::new(), watermark: None }))
            }
        }
    }
}

/// Runs a machine as a timely operator. Returns what it emits and what came too late.
pub(crate) fn operate<'s, K: Kernel>(
    input: Stream<'s, K::In>,
    name: &str,
    route: impl Fn(&K::In) -> u64 + 'static,
    mut machine: Machine<K>,
) -> Result<(StreamVec<'s, Epoch, K::Out>, StreamVec<'s, Epoch, Record<K::In>>)> {
    let job = input.job().clone();
    let runtime = Rc::clone(job.runtime());
    let mut emit = Emit::default();
    recall(&mut machine, name, &runtime, &mut emit)?;
    let mut participant = Participant::join(runtime.checkpoints.as_ref());
    let mut builder = OperatorBuilder::new(name.to_owned(), job.scope());
    let info = builder.operator_info();
    runtime.name_operator(info.global_id, name);
    let activator = job.scope().activator_for(info.address);
    let metrics = runtime.metrics(name);
    let (data, tides) = input.parts();
    let mut data = builder.new_input(data, Exchange::new(move |r: &Record<K::In>| route(&r.value)));
    let mut tides = builder.new_input(tides, Pipeline);
    let (out, results) = builder.new_output();
    let (late, lates) = builder.new_output();
    let (dead, deads) = builder.new_output();
    let mut out = OutputBuilder::<_, CapacityContainerBuilder<Vec<K::Out>>>::from(out);
    let mut late = OutputBuilder::<_, CapacityContainerBuilder<Vec<Record<K::In>>>>::from(late);
    let mut dead = OutputBuilder::<_, CapacityContainerBuilder<Vec<Record<DeadLetter>>>>::from(dead);
    let name = name.to_owned();

    builder.build(move |mut capabilities| {
        capabilities.truncate(1);
        let mut open: BTreeMap<Epoch, Open<K::In>> = BTreeMap::new();
        move |frontiers| {
            // What was true when the job began is said before anything else.
            if let Some(mut cap) = capabilities.pop() {
                cap.downgrade(&runtime.began());
                give(&mut out, &cap, &mut emit.out);
            }
            data.for_each_stamp(|cap, batches| {
                if let Some(slot) = Open::at(&mut open, &cap) {
                    slot.batches.extend(batches.map(std::mem::take));
                }
            });
            tides.for_each_stamp(|cap, batches| {
                if let Some(slot) = Open::at(&mut open, &cap) {
                    let watermark = batches.flat_map(|batch| batch.drain(..)).map(|tide: Tide| tide.watermark).max();
                    slot.watermark = slot.watermark.max(watermark);
                }
            });
            let passed = |epoch: &Epoch| !frontiers.iter().any(|frontier| frontier.less_equal(epoch));
            // Once there is no more input, this is not called again; and a job that is to end does not wait.
            let ends = frontiers.iter().all(|frontier| frontier.is_empty()) || runtime.shared.stop.load(SeqCst);
            let until = || (!ends).then(|| Instant::now() + SLICE);
            let finish = |participant: &mut Participant, saved: Result<Option<Saving>, StateError>| match saved {
                Ok(None) => {}
                Ok(Some(saved)) => participant.finish(|written| saved.add_to(written, &name)),
                Err(error) => {
                    runtime.shared.fail(Error::Operator { operator: name.clone(), reason: error.to_string() });
                    participant.finish(|_| ());
                }
            };
            loop {
                let first = open.first_key_value().map_or(Epoch::MAX, |(epoch, _)| *epoch);
                if let Some(participant) = &mut participant
                    && participant.due().is_some_and(|due| due < first && passed(&due))
                {
                    participant.begin();
                    let slice = |goes_on| Save::slice(goes_on, until(), participant.spare());
                    finish(participant, machine.begin_save(slice));
                }
                let Some(entry) = open.first_entry().filter(|entry| passed(entry.key())) else { break };
                let (epoch, Open { caps, batches, watermark }) = entry.remove_entry();
                count(&metrics.taken, batches.iter().map(Vec::len).sum());
                runtime.inside(&metrics, || machine.close(epoch, watermark, batches, &mut emit));
                count(&metrics.given, emit.out.len());
                count(&metrics.late, emit.late.len());
                count(&metrics.dead, emit.dead.len());
                give(&mut out, &caps[0], &mut emit.out);
                give(&mut late, &caps[1], &mut emit.late);
                give(&mut dead, &caps[2], &mut emit.dead);
            }
            if let Some(participant) = participant.as_mut().filter(|_| machine.is_saving()) {
                let slice = |goes_on| Save::slice(goes_on, until(), participant.spare());
                finish(participant, machine.save_more(slice));
            }
            if machine.is_saving() {
                activator.activate();
            }
        }
    });
    // The dead letters of all operators run together: there it is seen when an epoch is over.
    job.add_dead_letters(deads);
    Ok((results, lates))
}

/// Gives a machine back what a checkpoint has of it.
fn recall<K: Kernel>(
    machine: &mut Machine<K>,
    name: &str,
    runtime: &Runtime,
    emit: &mut Emit<K::In, K::Out>,
) -> Result<()> {
    let Some(restored) = runtime.restored() else { return Ok(()) };
    let Some(watermark) = restored.extra("watermark", name)? else { return Ok(()) };
    let failed = |error: StateError| {
        let id = restored.manifest.id;
        Error::Checkpoint(format!("what checkpoint {id} has of operator `{name}` cannot be used: {error}"))
    };
    machine.resume(watermark);
    let owner = (runtime.worker, runtime.peers);
    let version = restored.version(name);
    restored.entries(name, owner, |_, key, value| {
        machine.load(restored.epoch(), Saved { version, key, value }, emit).map_err(failed)
    })?;
    machine.loaded(restored.epoch(), emit).map_err(failed)?;
    restored.entries(&waiting(name), owner, |group, _, value| machine.load_waiting(group, value).map_err(failed))
}

/// The name under which an operator's waiting records are kept.
fn waiting(name: &str) -> String {
    format!("{name} (waiting)")
}

/// How many items make a container: few enough to stay in a core's cache and below the size from
/// which allocators go to the operating system, many enough that the way from one operator to the
/// next costs nothing by comparison.
pub(crate) const fn chunk<D>() -> usize {
    match size_of::<D>() {
        0 => CHUNK_BYTES,
        size if size < CHUNK_BYTES => CHUNK_BYTES / size,
        _ => 1,
    }
}

const CHUNK_BYTES: usize = 1 << 16;

/// Sends everything in `items`. The allocation of `items` stays, unless it has become large.
pub(crate) fn give<D: Clone + 'static>(
    output: &mut OutputBuilder<Epoch, CapacityContainerBuilder<Vec<D>>>,
    cap: &Capability<Epoch>,
    items: &mut Vec<D>,
) {
    if items.is_empty() {
        return;
    }
    let mut output = output.activate();
    let mut session = output.session(cap);
    if items.len() > 16 * chunk::<D>() {
        session.give_container(items);
        items.clear();
        return;
    }
    let mut rest = items.drain(..);
    while rest.len() > 0 {
        session.give_container(&mut rest.by_ref().take(chunk::<D>()).collect());
    }
}
