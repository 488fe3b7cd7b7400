//! What every stateful operator is underneath: a [`Kernel`] that sees closed epochs, in order.
//!
//! The engine exchanges records by key group, collects an epoch until its frontier and watermark
//! are known, puts its records into the order the kernel declares, and sends on what it emits.
//! So a kernel never sees half an epoch, and what it does cannot depend on timing.

use crate::record::{Data, DeadLetter, Record};
use crate::runtime::count;
use crate::stream::Stream;
use crate::tide::Tide;
use crate::time::{BEGINNING, END, Epoch, Millis};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::rc::Rc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::{Capability, InputCapability, Probe};

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

    /// The order in which it needs its input.
    fn order(&self) -> Order;

    /// Takes records of a closed epoch in that order: all at once, or for [`Order::Any`] in
    /// several calls. `records` is the kernel's to drain.
    fn records(&mut self, at: Closing, records: &mut Vec<Record<Self::In>>, emit: &mut Emit<Self::In, Self::Out>);

    /// The epoch's records have all been given: act on the new watermark.
    fn settle(&mut self, at: Closing, emit: &mut Emit<Self::In, Self::Out>);

    /// The state of every key group that has any, encoded.
    fn snapshot(&self) -> Vec<(u8, Vec<u8>)>;

    /// Adds state that [`Kernel::snapshot`] gave. A collection's kernel also says the rows that
    /// are true again, at epoch `at.epoch`.
    fn restore(&mut self, at: Closing, state: &[u8], emit: &mut Emit<Self::In, Self::Out>) -> Result<(), StateError>;
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
    pending: Vec<Record<K::In>>,
    earliest: Millis,
    watermark: Millis,
}

impl<K: Kernel> Machine<K> {
    pub fn new(kernel: K, group: impl Fn(&K::In) -> u8 + 'static) -> Self {
        Machine { kernel, group: Box::new(group), pending: Vec::new(), earliest: Millis::MAX, watermark: BEGINNING }
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
        let at = Closing { epoch, before, after: after.unwrap_or(before) };
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
                for record in batches.into_iter().flatten() {
                    if record.time < before {
                        emit.late.push(record);
                    } else {
                        self.earliest = self.earliest.min(record.time);
                        self.pending.push(record);
                    }
                }
                if passed(self.earliest, at.after) {
                    let mut ready = self.release(at.after);
                    ready.sort_by_key(|r| (r.time, r.seq));
                    self.kernel.records(at, &mut ready, emit);
                }
            }
        }
        self.kernel.settle(at, emit);
    }

    /// Takes out what the watermark has passed.
    fn release(&mut self, watermark: Millis) -> Vec<Record<K::In>> {
        let held = self.pending.extract_if(.., |r| !passed(r.time, watermark)).collect();
        let ready = std::mem::replace(&mut self.pending, held);
        self.earliest = self.pending.iter().map(|r| r.time).min().unwrap_or(Millis::MAX);
        ready
    }

    /// Everything that must survive a restart, by key group.
    pub fn snapshot(&self) -> Result<Vec<(u8, Vec<u8>)>, StateError> {
        let mut waiting: BTreeMap<u8, Vec<&Record<K::In>>> = BTreeMap::new();
        for record in &self.pending {
            waiting.entry((self.group)(&record.value)).or_default().push(record);
        }
        let mut state: BTreeMap<u8, Vec<u8>> = self.kernel.snapshot().into_iter().collect();
        let groups: std::collections::BTreeSet<u8> = waiting.keys().chain(state.keys()).copied().collect();
        let encode = |group| {
            let records = waiting.get(&group).map_or(&[][..], |w| w.as_slice());
            Ok((group, postcard::to_stdvec(&(records, state.remove(&group)))?))
        };
        groups.into_iter().map(encode).collect()
    }

    /// Goes on from `watermark`.
    pub fn resume(&mut self, watermark: Millis) {
        self.watermark = watermark;
    }

    /// Adds one key group's part of a snapshot taken at the end of `epoch`.
    pub fn restore(&mut self, epoch: Epoch, state: &[u8], emit: &mut Emit<K::In, K::Out>) -> Result<(), StateError> {
        let watermark = self.watermark;
        let (records, kernel): (Vec<Record<K::In>>, Option<Vec<u8>>) = postcard::from_bytes(state)?;
        self.earliest = records.iter().map(|r| r.time).fold(self.earliest, Millis::min);
        self.pending.extend(records);
        match kernel {
            Some(kernel) => self.kernel.restore(Closing { epoch, before: watermark, after: watermark }, &kernel, emit),
            None => Ok(()),
        }
    }
}

/// Whether the watermark is past `time`; at the end of the input it is past all times, the last one too.
fn passed(time: Millis, watermark: Millis) -> bool {
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
) -> (StreamVec<'s, Epoch, K::Out>, StreamVec<'s, Epoch, Record<K::In>>) {
    let job = input.job().clone();
    let runtime = Rc::clone(job.runtime());
    let mut builder = OperatorBuilder::new(name.to_owned(), job.scope());
    runtime.name_operator(builder.operator_info().global_id, name);
    let metrics = runtime.metrics(name);
    let probe = runtime.probe.clone();
    let (data, tides) = input.parts();
    let mut data = builder.new_input(data, Exchange::new(move |r: &Record<K::In>| route(&r.value)));
    let mut tides = builder.new_input(tides, Pipeline);
    let (out, results) = builder.new_output();
    let (late, lates) = builder.new_output();
    let (dead, deads) = builder.new_output();
    let mut out = OutputBuilder::<_, CapacityContainerBuilder<Vec<K::Out>>>::from(out);
    let mut late = OutputBuilder::<_, CapacityContainerBuilder<Vec<Record<K::In>>>>::from(late);
    let mut dead = OutputBuilder::<_, CapacityContainerBuilder<Vec<Record<DeadLetter>>>>::from(dead);

    builder.build(move |capabilities| {
        drop(capabilities);
        let mut open: BTreeMap<Epoch, Open<K::In>> = BTreeMap::new();
        let mut emit = Emit::default();
        move |frontiers| {
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
            while let Some(entry) = open.first_entry() {
                if frontiers.iter().any(|frontier| frontier.less_equal(entry.key())) {
                    break;
                }
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
        }
    });
    job.add_dead_letters(deads);
    (results.probe_with(&probe), lates)
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
