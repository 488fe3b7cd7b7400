//! Runs a sink: one writer for the whole job, an epoch at a time.

use crate::checkpoint::{Participant, lineage_text, new_lineage};
use crate::error::Error;
use crate::job::Job;
use crate::runtime::{Runtime, count};
use crate::sink::{Sink, SinkError, Start};
use crate::time::Epoch;
use std::collections::BTreeMap;
use std::rc::Rc;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::{Capability, Probe};
use timely::{Container, ExchangeData};

/// Gathers `items` on worker 0, puts each epoch's into `order`, and has `sink` write them. The
/// epoch is done when the sink has committed it.
pub(crate) fn drain<'s, T: ExchangeData, S: Sink<Item = T>>(
    job: &Job<'s>,
    name: &str,
    items: StreamVec<'s, Epoch, T>,
    order: impl Fn(&mut Vec<T>) + 'static,
    mut sink: S,
) where
    Vec<T>: Container,
{
    let runtime = Rc::clone(job.runtime());
    let mut builder = OperatorBuilder::new(name.to_owned(), job.scope());
    runtime.name_operator(builder.operator_info().global_id, name);
    let metrics = runtime.metrics(name);
    let mut input = builder.new_input(items, Exchange::new(|_: &T| 0));
    let (_, done) = builder.new_output::<Vec<()>>();
    let probe = runtime.probe.clone();
    let name = name.to_owned();
    let mut participant = Participant::join(runtime.checkpoints.as_ref());

    builder.build(move |capabilities| {
        drop(capabilities);
        let mut open: BTreeMap<Epoch, (Capability<Epoch>, Vec<T>)> = BTreeMap::new();
        let (mut begun, mut closed, mut told) = (false, false, runtime.began() == 0);
        move |frontiers| {
            let fail = |error: SinkError| runtime.shared.fail(Error::Sink { sink: name.clone(), reason: error.0 });
            if !begun {
                begun = true;
                if runtime.worker == 0
                    && let Err(error) = sink.open(&start(&runtime, &name))
                {
                    fail(error);
                }
            }
            input.for_each_stamp(|cap, batches| {
                let Some(cap) = cap.retain_least(0) else { return };
                let slot = open.entry(*cap.time()).or_insert_with(|| (cap, Vec::new()));
                for batch in batches {
                    if slot.1.is_empty() { std::mem::swap(&mut slot.1, batch) } else { slot.1.append(batch) }
                }
            });
            // Told once, also that there are none.
            if runtime.worker == 0 && !told && !runtime.shared.failed() && !frontiers[0].less_equal(&runtime.began()) {
                told = true;
                let mut rows = open.remove(&runtime.began()).map_or_else(Vec::new, |(_, rows)| rows);
                order(&mut rows);
                if let Err(error) = runtime.inside(&metrics, || sink.restored(runtime.began(), &mut rows)) {
                    fail(error);
                }
            }
            loop {
                let first = open.first_key_value().map_or(Epoch::MAX, |(epoch, _)| *epoch);
                if let Some(participant) = &mut participant
                    && participant.due().is_some_and(|due| due < first && !frontiers[0].less_equal(&due))
                {
                    participant.write(|written| {
                        if runtime.worker == 0 && !runtime.shared.failed() {
                            match sink.save() {
                                Ok(state) => written.facts.sinks.push((name.clone(), state)),
                                Err(error) => fail(error),
                            }
                        }
                    });
                }
                let Some(entry) = open.first_entry().filter(|entry| !frontiers[0].less_equal(entry.key())) else {
                    break;
                };
                let (epoch, (_cap, mut items)) = entry.remove_entry();
                if runtime.shared.failed() {
                    continue;
                }
                order(&mut items);
                count(&metrics.taken, items.len());
                let written =
                    runtime.inside(&metrics, || sink.write(epoch, &mut items).and_then(|()| sink.commit(epoch)));
                if let Err(error) = written {
                    fail(error);
                }
            }
            if !closed && frontiers[0].is_empty() {
                closed = true;
                if runtime.worker == 0
                    && !runtime.shared.failed()
                    && let Err(error) = sink.close()
                {
                    fail(error);
                }
            }
        }
    });
    done.probe_with(&probe);
}

/// Where the job begins, for the sink of this name.
fn start(runtime: &Runtime, name: &str) -> Start {
    let archive = runtime.checkpoints.as_ref().map(|checkpoints| &checkpoints.archive);
    Start {
        // Without checkpoints every run is one of its own.
        lineage: lineage_text(archive.map_or_else(new_lineage, |archive| archive.lineage)),
        checkpoints: archive.is_some(),
        epoch: runtime.began(),
        exact_through: runtime.exact_through(),
        saved: runtime.restored().and_then(|restored| restored.sink(name)),
    }
}
