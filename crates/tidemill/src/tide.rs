//! The watermark, as it travels beside a stream.
//!
//! Each partition says what it knows (a [`Mark`]) when that changes; every worker hears all marks
//! and takes the minimum, so all workers hold the same watermark at the end of every epoch.

use crate::checkpoint::{Participant, encode};
use crate::error::Result;
use crate::everywhere::everywhere;
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
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Capability, Concatenate};

/// A stream's watermark at the end of an epoch: no event earlier than this is expected after it.
/// Sent to every worker, in the epochs where it moves or falls idle; it never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tide {
    /// In milliseconds since 1970 UTC; [`END`] when the input has ended.
    pub watermark: Millis,
    /// Where time got by what was read: the watermark, or what it would be had the input not ended.
    pub(crate) reached: Millis,
    /// Whether everything behind it that has not ended is idle: nobody waits for it.
    pub(crate) idle: bool,
}

impl Tide {
    /// An input that is at `watermark`, and that others wait for; of one that has ended, nothing else is known.
    pub(crate) fn at(watermark: Millis) -> Self {
        Tide { watermark, reached: if watermark == END { BEGINNING } else { watermark }, idle: false }
    }

    /// Nothing is known yet.
    pub(crate) const UNKNOWN: Tide = Tide { watermark: BEGINNING, reached: BEGINNING, idle: false };

    /// Where time is, after `self`, for one who hears all of `parts`: at the least of those that are active. Where all
    /// that have not ended are idle, nobody is left to wait for: time is where the furthest got.
    pub(crate) fn then(self, parts: impl Iterator<Item = Tide> + Clone) -> Tide {
        let furthest = parts.clone().map(|part| part.reached).max().unwrap_or(BEGINNING);
        let active = parts.clone().filter(|part| !part.idle && part.watermark < END).map(|part| part.watermark).min();
        let idle = active.is_none() && parts.clone().any(|part| part.idle);
        let reached = active.unwrap_or(furthest).max(self.reached);
        let watermark = if active.is_some() || idle { reached.max(self.watermark) } else { END };
        Tide { watermark, reached, idle }
    }
}

/// What a source says of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub partition: u16,
    /// By what was read, also when it has ended.
    pub watermark: Millis,
    pub state: MarkState,
}

impl Mark {
    fn tide(self) -> Tide {
        let watermark = if self.state == MarkState::Done { END } else { self.watermark };
        Tide { watermark, reached: self.watermark, idle: self.state == MarkState::Idle }
    }
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
) -> Result<StreamVec<'s, Epoch, Tide>> {
    let scope = marks.scope();
    let kept: Option<Kept> = runtime.restored().map(|restored| restored.extra("tide", name)).transpose()?.flatten();
    let mut participant = Participant::join(runtime.checkpoints.as_ref());
    let mut builder = OperatorBuilder::new(format!("{name}: tide"), scope);
    runtime.name_operator(builder.operator_info().global_id, name);
    let mut input = builder.new_input(everywhere(marks), Pipeline);
    let (output, tides) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<Tide>>>::from(output);
    let (runtime, name) = (Rc::clone(runtime), name.to_owned());
    let silent = (BEGINNING, MarkState::Active, runtime.config.clock.now());
    let begins = if holds { Tide::UNKNOWN } else { Tide::at(END) };
    let time = SourceTime { name: name.clone(), tide: begins, partitions: vec![silent; partitions.len()] };
    let time = Rc::new(RefCell::new(time));
    runtime.sources.borrow_mut().push(Rc::clone(&time));

    builder.build(move |mut capabilities| {
        let unknown = Mark { partition: 0, watermark: BEGINNING, state: MarkState::Active };
        let mut known: BTreeMap<u16, Mark> = partitions.iter().map(|&p| (p, unknown)).collect();
        let first = partitions.first().copied().unwrap_or(0);
        let mut open: BTreeMap<Epoch, (Capability<Epoch>, Vec<Mark>)> = BTreeMap::new();
        let mut current = Tide::UNKNOWN;
        let mut closed = None;
        if let Some(kept) = kept {
            for (at, mark) in kept.marks {
                time.borrow_mut().partitions[usize::from(at)] =
                    (mark.watermark, mark.state, runtime.config.clock.now());
                known.insert(first + at, Mark { partition: first + at, ..mark });
            }
            current = kept.current;
            time.borrow_mut().tide = current;
            runtime.alignment.borrow_mut().recall(source, kept.moves, kept.done);
        }
        move |frontiers| {
            if let Some(mut cap) = capabilities.pop() {
                cap.downgrade(&runtime.began());
                if current != Tide::UNKNOWN {
                    output.activate().session(&cap).give(current);
                }
            }
            input.for_each_stamp(|cap, batches| {
                let Some(cap) = cap.retain_least(0) else { return };
                let epoch = *cap.time();
                let slot = open.entry(epoch).or_insert_with(|| (cap, Vec::new()));
                slot.1.extend(batches.flat_map(|batch| batch.drain(..)));
            });
            let frontier = frontiers[0].frontier().first().copied();
            let passed = |epoch: &Epoch| frontier.is_none_or(|frontier| frontier > *epoch);
            let mut out = output.activate();
            loop {
                let next = open.first_key_value().map_or(Epoch::MAX, |(epoch, _)| *epoch);
                if let Some(participant) = &mut participant
                    && participant.due().is_some_and(|due| due < next && passed(&due))
                {
                    participant.write(|written| {
                        let (moves, done) = runtime.alignment.borrow().keep(source);
                        let marks = known.iter().map(|(partition, mark)| (partition - first, *mark)).collect();
                        let kept = encode(&Kept { marks, current, moves, done });
                        written.facts.extra.push((format!("tide of {name}"), kept));
                    });
                }
                let Some(entry) = open.first_entry().filter(|entry| passed(entry.key())) else { break };
                let (epoch, (cap, marks)) = entry.remove_entry();
                for mark in marks {
                    time.borrow_mut().partitions[usize::from(mark.partition - first)] =
                        (mark.watermark, mark.state, runtime.config.clock.now());
                    known.insert(mark.partition, mark);
                }
                let done = known.values().all(|m| m.state == MarkState::Done);
                let next = if holds { current.then(known.values().map(|mark| mark.tide())) } else { Tide::at(END) };
                if next != current {
                    current = next;
                    out.session(&cap).give(current);
                    time.borrow_mut().tide = current;
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
    Ok(tides)
}

/// What a checkpoint has of a source's time.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Of each partition, by its place in the source.
    marks: Vec<(u16, Mark)>,
    current: Tide,
    moves: Vec<(Epoch, Tide)>,
    done: bool,
}

/// The tide of a union: the minimum of both, or of the one that is not idle.
pub(crate) fn least<'s>(
    left: StreamVec<'s, Epoch, Tide>,
    right: StreamVec<'s, Epoch, Tide>,
) -> StreamVec<'s, Epoch, Tide> {
    // The least of a tide and itself is that tide, and most unions are of what one stream was split into.
    if left.name() == right.name() {
        return left;
    }
    let scope = left.scope();
    let both = scope.concatenate([left.map(|t| (0, t)), right.map(|t| (1, t))]);
    let mut builder = OperatorBuilder::new("union: tide".to_owned(), scope);
    let mut input = builder.new_input(both, Pipeline);
    let (output, tides) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<Tide>>>::from(output);
    builder.build(move |capabilities| {
        drop(capabilities);
        let mut known = [Tide::UNKNOWN; 2];
        let mut current = Tide::UNKNOWN;
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
                for (side, tide) in tides {
                    known[side] = tide;
                }
                let next = current.then(known.into_iter());
                if next != current {
                    current = next;
                    out.session(&cap).give(current);
                }
            }
        }
    });
    tides
}
