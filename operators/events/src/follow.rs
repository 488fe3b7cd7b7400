//! Events beside the rows of a collection, where every worker has all of the one or of the other.

use crate::AsOf;
use std::collections::BTreeMap;
use tidemill::differential_dataflow::ExchangeData;
use tidemill::timely::container::CapacityContainerBuilder;
use tidemill::timely::dataflow::channels::pact::Pipeline;
use tidemill::timely::dataflow::operators::Capability;
use tidemill::timely::dataflow::operators::generic::OutputBuilder;
use tidemill::timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use tidemill::timely::dataflow::operators::vec::Broadcast;
use tidemill::{Collection, Data, Epoch, Record, Result, Stream};

/// What one worker knows of the rows, and does with events.
pub(crate) trait Follower: 'static {
    /// A row.
    type Row: ExchangeData;
    /// An event.
    type In: Data;
    /// What is made of it.
    type Out: Data;

    /// Takes an epoch's changes of rows, in no order.
    fn change(&mut self, changes: Vec<(Self::Row, isize)>);

    /// Adds what it makes of an event.
    fn take(&mut self, event: Record<Self::In>, made: &mut Vec<Record<Self::Out>>);
}

/// What goes to every worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Everywhere {
    /// The rows; each event stays where it is.
    Rows,
    /// The events; each row stays where it is.
    Events,
}

/// Has a follower on each worker take the events that are there, each when the rows are those that it is to see.
///
/// What it knows needs no checkpoint: after a restore a collection says its rows again, at the checkpoint's epoch, and as
/// events of later epochs wait for it, the rows are whole when they come.
pub(crate) fn follow<'s, L: Follower>(
    events: Stream<'s, L::In>,
    (name, kind): (&str, &str),
    (rows, everywhere): (Collection<'s, L::Row>, Everywhere),
    as_of: AsOf,
    mut follower: L,
) -> Result<Stream<'s, L::Out>> {
    let job = events.job().clone();
    let mut builder = OperatorBuilder::new(name.to_owned(), job.scope());
    let id = builder.operator_info().global_id;
    let (mut to_take, mut to_change) = (events.inner(), rows.inner().inner.clone());
    match everywhere {
        Everywhere::Rows => to_change = to_change.broadcast(),
        Everywhere::Events => to_take = to_take.broadcast(),
    }
    let mut taken = builder.new_input(to_take, Pipeline);
    let mut changes = builder.new_input(to_change, Pipeline);
    let (output, made) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<Record<L::Out>>>>::from(output);
    builder.build(move |capabilities| {
        drop(capabilities);
        let mut waiting: BTreeMap<Epoch, (Capability<Epoch>, Vec<Record<L::In>>)> = BTreeMap::new();
        let mut coming: BTreeMap<Epoch, Vec<(L::Row, isize)>> = BTreeMap::new();
        let mut made = Vec::new();
        move |frontiers| {
            changes.for_each_stamp(|_, batches| {
                for (row, epoch, diff) in batches.flat_map(|batch| batch.drain(..)) {
                    coming.entry(epoch).or_default().push((row, diff));
                }
            });
            taken.for_each_stamp(|cap, batches| {
                let Some(cap) = cap.retain_least(0) else { return };
                let slot = waiting.entry(*cap.time()).or_insert_with(|| (cap, Vec::new()));
                batches.for_each(|batch| slot.1.append(batch));
            });
            let over = |epoch: &Epoch| !frontiers.iter().any(|frontier| frontier.less_equal(epoch));
            let mut change_through = |follower: &mut L, is_due: &dyn Fn(&Epoch) -> bool| {
                while let Some(changes) = coming.first_entry().filter(|first| is_due(first.key())) {
                    follower.change(changes.remove());
                }
            };
            let mut output = output.activate();
            // Epoch by epoch, so that no event meets rows of a later one.
            while let Some(first) = waiting.first_entry().filter(|first| over(&as_of.last(*first.key()))) {
                let (epoch, (cap, records)) = first.remove_entry();
                let last = as_of.last(epoch);
                change_through(&mut follower, &|change| *change <= last);
                let mut session = output.session(&cap);
                for record in records {
                    follower.take(record, &mut made);
                    session.give_iterator(made.drain(..));
                }
            }
            // Changes do not pile up while no events come: those of epochs from which none can come are made.
            change_through(&mut follower, &over);
        }
    });
    // Only now: an operator that is begun and not built leaves a scope that cannot be.
    job.name_operator(name, id)?;
    Ok(Stream::from_inner(made, &events).named(name, kind).also_of_rows(&rows))
}
