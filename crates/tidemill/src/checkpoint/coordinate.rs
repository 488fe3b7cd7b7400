//! Makes a checkpoint of what all workers have written.

use super::writer::Draft;
use super::{Checkpoints, Facts, encode};
use crate::cluster::Cluster;
use crate::error::Error;
use crate::runtime::Runtime;
use crate::ticker::Tick;
use crate::time::{Epoch, Millis};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::mpsc::channel;
use tidemill_checkpoint::{OperatorInfo, PartRef};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

/// What a worker has for a checkpoint: its part is safe.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Share {
    id: u64,
    wall: Millis,
    part: Option<PartRef>,
    facts: Facts,
}

/// Has the checkpoints made that `ticks` tell of.
pub(crate) fn coordinate<'s>(ticks: StreamVec<'s, Epoch, Tick>, runtime: &Rc<Runtime>) {
    if let Some(checkpoints) = &runtime.checkpoints {
        let shares = parts(ticks, runtime, checkpoints);
        manifests(shares, runtime, checkpoints);
    }
}

/// Hands each worker's part to the writer, and says when it is safe.
fn parts<'s>(
    ticks: StreamVec<'s, Epoch, Tick>,
    runtime: &Rc<Runtime>,
    checkpoints: &Rc<Checkpoints>,
) -> StreamVec<'s, Epoch, Share> {
    let scope = ticks.scope();
    let mut builder = OperatorBuilder::new("checkpoint: part".to_owned(), scope);
    let info = builder.operator_info();
    runtime.name_operator(info.global_id, "(checkpoint)");
    let wake = scope.worker().sync_activator_for(info.address.to_vec());
    checkpoints.when_complete(scope.activator_for(info.address));
    let mut ticks = builder.new_input(ticks, Pipeline);
    let (output, shares) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<Share>>>::from(output);
    let (runtime, checkpoints) = (Rc::clone(runtime), Rc::clone(checkpoints));

    builder.build(move |capabilities| {
        drop(capabilities);
        let (done, safe) = channel();
        let mut begun: Option<(Capability<Epoch>, Tick, u64)> = None;
        let mut written: Option<(Capability<Epoch>, Share)> = None;
        move |_| {
            ticks.for_each_stamp(|cap, batches| {
                for tick in batches.flat_map(|batch| batch.drain(..)) {
                    if let (Some(id), Some(cap)) = (tick.checkpoint, cap.retain_least(0)) {
                        begun = Some((cap, tick, id));
                    }
                }
            });
            if let Some((cap, tick, id)) = begun.take() {
                match checkpoints.take(*cap.time()) {
                    Some(all) => {
                        let share = Share { id, wall: tick.wall, part: None, facts: all.facts.clone() };
                        written = Some((cap, share));
                        let (done, wake) = (done.clone(), wake.clone());
                        let tell = Box::new(move |part| {
                            let _ = done.send(part);
                            let _ = wake.activate();
                        });
                        checkpoints.archive.writer.part(id, runtime.worker, all, tell);
                    }
                    None => begun = Some((cap, tick, id)),
                }
            }
            while let Ok(part) = safe.try_recv() {
                let Some((cap, mut share)) = written.take() else { break };
                match part {
                    Ok(part) => {
                        share.part = part;
                        output.activate().session(&cap).give(share);
                    }
                    Err(reason) => runtime.shared.fail(Error::Checkpoint(reason)),
                }
            }
            if runtime.shared.failed() {
                (begun, written) = (None, None);
            }
        }
    });
    shares
}

/// Has the manifest written once all workers' parts are safe, on worker 0.
fn manifests(shares: StreamVec<'_, Epoch, Share>, runtime: &Rc<Runtime>, checkpoints: &Rc<Checkpoints>) {
    let scope = shares.scope();
    let mut builder = OperatorBuilder::new("checkpoint: manifest".to_owned(), scope);
    let info = builder.operator_info();
    runtime.name_operator(info.global_id, "(checkpoint)");
    let wake = scope.worker().sync_activator_for(info.address.to_vec());
    let mut shares = builder.new_input(shares, Exchange::new(|_: &Share| 0));
    let (_, _done) = builder.new_output::<Vec<()>>();
    let (runtime, checkpoints) = (Rc::clone(runtime), Rc::clone(checkpoints));

    builder.build(move |capabilities| {
        drop(capabilities);
        let (done, safe) = channel();
        let mut open: BTreeMap<Epoch, (Capability<Epoch>, Vec<Share>)> = BTreeMap::new();
        let mut writing = None;
        move |frontiers| {
            shares.for_each_stamp(|cap, batches| {
                let Some(cap) = cap.retain_least(0) else { return };
                let slot = open.entry(*cap.time()).or_insert_with(|| (cap, Vec::new()));
                slot.1.extend(batches.flat_map(|batch| batch.drain(..)));
            });
            while let Some(entry) = open.first_entry().filter(|entry| !frontiers[0].less_equal(entry.key())) {
                let (epoch, (cap, shares)) = entry.remove_entry();
                // A worker that fails lets go of the epoch without its share.
                if shares.len() < runtime.peers || runtime.shared.failed() {
                    continue;
                }
                let (done, wake) = (done.clone(), wake.clone());
                let tell = Box::new(move |outcome| {
                    let _ = done.send(outcome);
                    let _ = wake.activate();
                });
                writing = Some(cap);
                let draft = draft(epoch, shares, &runtime, checkpoints.savepoint.get());
                checkpoints.archive.writer.manifest(draft, tell);
            }
            while let Ok(outcome) = safe.try_recv() {
                writing = None;
                checkpoints.under_way.set(false);
                match outcome {
                    Ok(()) => runtime.wake(),
                    Err(reason) => runtime.shared.fail(Error::Checkpoint(reason)),
                }
            }
            if runtime.shared.failed() {
                writing = None;
                open.clear();
            }
            // Held until the manifest is there: a job does not end before its last checkpoint.
            let _ = &writing;
        }
    });
}

fn draft(epoch: Epoch, shares: Vec<Share>, runtime: &Runtime, savepoint: bool) -> Draft {
    let plan = runtime.plan.borrow();
    let with_state = plan.nodes().iter().filter_map(|node| Some((node, node.name.clone()?, node.state.clone()?)));
    let operators = with_state.map(|(node, name, state_type)| OperatorInfo {
        name,
        kind: node.kind.clone(),
        key_type: node.key.clone().unwrap_or_default(),
        state_type,
        version: node.version,
        shape: node.shape.clone(),
    });
    let mut draft = Draft {
        id: 0,
        epoch,
        parts: Vec::new(),
        facts: Facts::default(),
        operators: operators.collect(),
        workers: runtime.peers,
        processes: runtime.config.running_cluster().map_or(1, Cluster::processes),
        created_ms: 0,
        savepoint,
    };
    for Share { id, wall, part, facts } in shares {
        (draft.id, draft.created_ms) = (id, wall);
        draft.facts.extra.push(("wall time of (ticker)".to_owned(), encode(&wall)));
        draft.parts.extend(part);
        draft.facts.extra.extend(facts.extra);
        draft.facts.sources.extend(facts.sources);
        draft.facts.sinks.extend(facts.sinks);
    }
    draft.parts.sort_by(|a, b| a.path.cmp(&b.path));
    draft.facts.sources.sort();
    draft
}
