//! The watermark, as it travels beside a stream.
//!
//! Each partition says what it knows (a [`Mark`]) when that changes; every worker hears all marks
//! and takes the minimum, so all workers hold the same watermark at the end of every epoch.

use crate::explain_time::SourceTime;
use crate::runtime::Runtime;
use crate::time::{BEGINNING, END, Epoch, Millis};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::vec::{Broadcast, Map};
use timely::dataflow::operators::{Capability, Concatenate};

/// A stream's watermark at the end of an epoch: no event earlier than this is expected after it.
/// Sent to every worker, in the epochs where it moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tide {
    /// In milliseconds since 1970 UTC; [`END`] when the input has ended.
    pub watermark: Millis,
}

/// What a source says of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub partition: u16,
    pub watermark: Millis,
    pub state: MarkState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum MarkState {
    Active,
    Idle,
    Done,
}

/// Combines the marks of one source's `partitions` into its tide, and tells the alignment.
pub(crate) fn tide<'s>(
    marks: StreamVec<'s, Epoch, Mark>,
    partitions: Vec<u16>,
    holds: bool,
    source: usize,
    name: &str,
    runtime: &Rc<Runtime>,
) -> StreamVec<'s, Epoch, Tide> {
    let scope = marks.scope();
    let mut builder = OperatorBuilder::new(format!("{name}: tide"), scope);
    runtime.name_operator(builder.operator_info().global_id, name);
    let mut input = builder.new_input(marks.broadcast(), Pipeline);
    let (output, tides) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<Tide>>>::from(output);
    let runtime = Rc::clone(runtime);
    let silent = (BEGINNING, MarkState::Active, runtime.config.clock.now());
    let watermark = if holds { BEGINNING } else { END };
    let time = SourceTime { name: name.to_owned(), watermark, partitions: vec![silent; partitions.len()] };
    let time = Rc::new(RefCell::new(time));
    runtime.sources.borrow_mut().push(Rc::clone(&time));

    builder.build(move |capabilities| {
        drop(capabilities);
        let unknown = Mark { partition: 0, watermark: BEGINNING, state: MarkState::Active };
        let mut known: BTreeMap<u16, Mark> = partitions.iter().map(|&p| (p, unknown)).collect();
        let first = partitions.first().copied().unwrap_or(0);
        let mut open: BTreeMap<Epoch, (Capability<Epoch>, Vec<Mark>)> = BTreeMap::new();
        let mut current = BEGINNING;
        let mut closed = None;
        move |frontiers| {
            input.for_each_stamp(|cap, batches| {
                let Some(cap) = cap.retain_least(0) else { return };
                let epoch = *cap.time();
                let slot = open.entry(epoch).or_insert_with(|| (cap, Vec::new()));
                slot.1.extend(batches.flat_map(|batch| batch.drain(..)));
            });
            let frontier = frontiers[0].frontier().first().copied();
            let mut out = output.activate();
            while let Some(entry) = open.first_entry() {
                if frontier.is_some_and(|f| f <= *entry.key()) {
                    break;
                }
                let (epoch, (cap, marks)) = entry.remove_entry();
                for mark in marks {
                    time.borrow_mut().partitions[usize::from(mark.partition - first)] =
                        (mark.watermark, mark.state, runtime.config.clock.now());
                    known.insert(mark.partition, mark);
                }
                let done = known.values().all(|m| m.state == MarkState::Done);
                let of = |state| known.values().filter(move |m| m.state == state).map(|m| m.watermark);
                // Where all are idle, nobody is left to wait for: time is where the furthest got.
                let reached = of(MarkState::Active).min().or_else(|| of(MarkState::Idle).max());
                let reached = if done || !holds { END } else { reached.unwrap_or(current) };
                if reached > current {
                    current = reached;
                    out.session(&cap).give(Tide { watermark: current });
                    time.borrow_mut().watermark = current;
                }
                runtime.alignment.borrow_mut().moved(source, epoch, current, done);
            }
            let through = frontier.map_or(Epoch::MAX, |f| f.saturating_sub(1));
            if closed != Some(through) {
                closed = Some(through);
                runtime.alignment.borrow_mut().close(source, through);
                runtime.wake();
            }
        }
    });
    tides
}

/// The tide of a union: the minimum of both.
pub(crate) fn least<'s>(
    left: StreamVec<'s, Epoch, Tide>,
    right: StreamVec<'s, Epoch, Tide>,
) -> StreamVec<'s, Epoch, Tide> {
    let scope = left.scope();
    let both = scope.concatenate([left.map(|t| (0, t)), right.map(|t| (1, t))]);
    let mut builder = OperatorBuilder::new("union: tide".to_owned(), scope);
    let mut input = builder.new_input(both, Pipeline);
    let (output, tides) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<Tide>>>::from(output);
    builder.build(move |capabilities| {
        drop(capabilities);
        let mut known = [BEGINNING; 2];
        let mut open: BTreeMap<Epoch, (Capability<Epoch>, Vec<(usize, Tide)>)> = BTreeMap::new();
        move |frontiers| {
            input.for_each_stamp(|cap, batches| {
                let Some(cap) = cap.retain_least(0) else { return };
                let slot = open.entry(*cap.time()).or_insert_with(|| (cap, Vec::new()));
                slot.1.extend(batches.flat_map(|batch| batch.drain(..)));
            });
            let mut out = output.activate();
            while let Some(entry) = open.first_entry() {
                if frontiers[0].less_equal(entry.key()) {
                    break;
                }
                let (cap, tides) = entry.remove();
                let before = known[0].min(known[1]);
                for (side, tide) in tides {
                    known[side] = tide.watermark;
                }
                let after = known[0].min(known[1]);
                if after > before {
                    out.session(&cap).give(Tide { watermark: after });
                }
            }
        }
    });
    tides
}
