//! Processing time: the moment at which the engine takes an event in, for a stream's event time.

use crate::plan::Node;
use crate::record::Record;
use crate::stream::Stream;
use crate::ticker::Tick;
use crate::tide::Tide;
use crate::time::{BEGINNING, END, Epoch, Millis};
use std::collections::BTreeMap;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

impl<'s, T: Clone + 'static> Stream<'s, T> {
    /// The same events in processing time: each has the wall time of its epoch, which is the watermark at the epoch's end.
    /// None of them is late, and windows and timers go by the clock (where nothing is read, time still passes with the
    /// ticks of a live job). All workers see the same times; another run sees others, unless its clock is the same.
    pub fn in_processing_time(self) -> Stream<'s, T> {
        let job = self.job().clone();
        let node = job.note(Node::new("in processing time", None, &[self.node()]));
        let (inner, tide) = self.parts();
        let stamped = stamp(inner, job.ticks());
        job.runtime().name_operator(stamped.1, "processing time");
        let tide = clock(tide, job.ticks());
        Stream::new(stamped.0, tide, job, node)
    }
}

/// What is known of an epoch: its wall time once that came, and the records that wait for it.
struct Open<T> {
    cap: Capability<Epoch>,
    wall: Option<Millis>,
    batches: Vec<Vec<Record<T>>>,
}

/// Gives each record the wall time of its epoch. Also returns the timely operator's id.
fn stamp<'s, T: Clone + 'static>(
    records: StreamVec<'s, Epoch, Record<T>>,
    ticks: StreamVec<'s, Epoch, Tick>,
) -> (StreamVec<'s, Epoch, Record<T>>, usize) {
    let mut builder = OperatorBuilder::new("processing time".to_owned(), records.scope());
    let id = builder.operator_info().global_id;
    let mut records = builder.new_input(records, Pipeline);
    let mut ticks = builder.new_input(ticks, Pipeline);
    let (output, stamped) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<Record<T>>>>::from(output);
    builder.build(move |capabilities| {
        drop(capabilities);
        let mut open: BTreeMap<Epoch, Open<T>> = BTreeMap::new();
        move |frontiers| {
            ticks.for_each_stamp(|cap, batches| {
                let Some(cap) = cap.retain_least(0) else { return };
                let wall = batches.flat_map(|batch| batch.drain(..)).map(|tick| tick.wall).max();
                let slot = open.entry(*cap.time()).or_insert_with(|| Open { cap, wall: None, batches: Vec::new() });
                slot.wall = slot.wall.max(wall);
            });
            records.for_each_stamp(|cap, batches| {
                let Some(cap) = cap.retain_least(0) else { return };
                let slot = open.entry(*cap.time()).or_insert_with(|| Open { cap, wall: None, batches: Vec::new() });
                slot.batches.extend(batches.map(std::mem::take));
            });
            let mut output = output.activate();
            for Open { cap, wall, batches } in open.values_mut() {
                let Some(wall) = *wall else { continue };
                for mut batch in batches.drain(..) {
                    batch.iter_mut().for_each(|record| record.time = wall);
                    output.session(cap).give_container(&mut batch);
                }
            }
            open.retain(|epoch, _| frontiers.iter().any(|frontier| frontier.less_equal(epoch)));
        }
    });
    (stamped, id)
}

/// The wall time at each epoch's end, until the stream beside has ended.
fn clock<'s>(tides: StreamVec<'s, Epoch, Tide>, ticks: StreamVec<'s, Epoch, Tick>) -> StreamVec<'s, Epoch, Tide> {
    let mut builder = OperatorBuilder::new("processing time: tide".to_owned(), tides.scope());
    let mut tides = builder.new_input(tides, Pipeline);
    let mut ticks = builder.new_input(ticks, Pipeline);
    let (output, clock) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<Tide>>>::from(output);
    builder.build(move |capabilities| {
        drop(capabilities);
        let mut open: BTreeMap<Epoch, (Capability<Epoch>, Millis)> = BTreeMap::new();
        let mut current = BEGINNING;
        move |frontiers| {
            let mut note = |cap: Capability<Epoch>, reached: Millis| {
                let slot = open.entry(*cap.time()).or_insert((cap, BEGINNING));
                slot.1 = slot.1.max(reached);
            };
            tides.for_each_stamp(|cap, batches| {
                let ended = batches.flat_map(|batch| batch.drain(..)).any(|tide| tide.watermark == END);
                if let Some(cap) = cap.retain_least(0).filter(|_| ended) {
                    note(cap, END);
                }
            });
            ticks.for_each_stamp(|cap, batches| {
                let wall = batches.flat_map(|batch| batch.drain(..)).map(|tick| tick.wall).max();
                if let (Some(cap), Some(wall)) = (cap.retain_least(0), wall) {
                    note(cap, wall);
                }
            });
            let mut output = output.activate();
            while let Some(entry) = open.first_entry() {
                if frontiers.iter().any(|frontier| frontier.less_equal(entry.key())) {
                    break;
                }
                let (cap, reached) = entry.remove();
                if reached > current {
                    current = reached;
                    output.session(&cap).give(Tide::at(current));
                }
            }
        }
    });
    clock
}
