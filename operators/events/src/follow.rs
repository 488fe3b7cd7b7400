//! Events beside the rows of a collection, where every worker has all of the one or of the other.

use crate::AsOf;
use std::collections::BTreeMap;
use tidemill::differential_dataflow::ExchangeData;
use tidemill::timely::container::CapacityContainerBuilder;
use tidemill::timely::dataflow::StreamVec;
use tidemill::timely::dataflow::channels::pact::Pipeline;
use tidemill::timely::dataflow::operators::Capability;
use tidemill::timely::dataflow::operators::generic::OutputBuilder;
use tidemill::timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use tidemill::{Collection, Data, Epoch, Record, Result, Stream, everywhere};

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

/// Changes of rows that an operator has not made yet.
pub(crate) struct Coming<R> {
    changes: BTreeMap<Epoch, Vec<(R, isize)>>,
    take: Take<R>,
}

/// Takes in what has come.
type Take<R> = Box<dyn FnMut(&mut BTreeMap<Epoch, Vec<(R, isize)>>)>;

impl<R: ExchangeData> Coming<R> {
    /// Adds an input to an operator.
    pub fn new<'s>(builder: &mut OperatorBuilder<'s, Epoch>, rows: StreamVec<'s, Epoch, (R, Epoch, isize)>) -> Self {
        let mut input = builder.new_input(rows, Pipeline);
        let take = move |changes: &mut BTreeMap<Epoch, Vec<(R, isize)>>| {
            input.for_each_stamp(|_, batches| {
                for batch in batches {
                    // One epoch's, most often.
                    let mut batch = batch.drain(..).peekable();
                    while let Some((row, epoch, diff)) = batch.next() {
                        let changes = changes.entry(epoch).or_default();
                        changes.reserve(1 + batch.len());
                        changes.push((row, diff));
                        while let Some((row, _, diff)) = batch.next_if(|next| next.1 == epoch) {
                            changes.push((row, diff));
                        }
                    }
                }
            });
        };
        Coming { changes: BTreeMap::new(), take: Box::new(take) }
    }

    /// Takes in what has come.
    pub fn take(&mut self) {
        (self.take)(&mut self.changes);
    }

    /// Has the changes of these epochs made, in order of epochs.
    pub fn make(&mut self, is_due: &dyn Fn(&Epoch) -> bool, mut make: impl FnMut(Vec<(R, isize)>)) {
        while let Some(due) = self.changes.first_entry().filter(|first| is_due(first.key())) {
            make(due.remove());
        }
    }
}

/// What an operator does that has events meet rows.
pub(crate) trait Meet<T, O>: 'static {
    /// Takes in what rows have come.
    fn take(&mut self);

    /// Makes the changes of these epochs.
    fn change(&mut self, is_due: &dyn Fn(&Epoch) -> bool);

    /// Adds what comes of an event.
    fn meet(&mut self, event: Record<T>, made: &mut Vec<Record<O>>);
}

/// Builds an operator that has each event meet the rows that it is to see.
///
/// What it knows needs no checkpoint: after a restore a collection says its rows again, at the checkpoint's epoch, and as
/// events of later epochs wait for it, the rows are whole when they come.
pub(crate) fn meet<'s, T: Data, O: Data, M: Meet<T, O>>(
    (events, to_take): (&Stream<'s, T>, StreamVec<'s, Epoch, Record<T>>),
    (name, kind): (&str, &str),
    as_of: AsOf,
    with_rows: impl FnOnce(&mut OperatorBuilder<'s, Epoch>) -> M,
) -> Result<Stream<'s, O>> {
    let job = events.job().clone();
    let mut builder = OperatorBuilder::new(name.to_owned(), job.scope());
    let id = builder.operator_info().global_id;
    let mut taken = builder.new_input(to_take, Pipeline);
    let mut rows = with_rows(&mut builder);
    let (output, made) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<Record<O>>>>::from(output);
    builder.build(move |capabilities| {
        drop(capabilities);
        let mut waiting: BTreeMap<Epoch, (Capability<Epoch>, Vec<Record<T>>)> = BTreeMap::new();
        let mut made = Vec::new();
        move |frontiers| {
            rows.take();
            taken.for_each_stamp(|cap, batches| {
                let Some(cap) = cap.retain_least(0) else { return };
                let slot = waiting.entry(*cap.time()).or_insert_with(|| (cap, Vec::new()));
                batches.for_each(|batch| slot.1.append(batch));
            });
            let over = |epoch: &Epoch| !frontiers.iter().any(|frontier| frontier.less_equal(epoch));
            let mut output = output.activate();
            // Epoch by epoch, so that no event meets rows of a later one.
            while let Some(first) = waiting.first_entry().filter(|first| over(&as_of.last(*first.key()))) {
                let (epoch, (cap, records)) = first.remove_entry();
                let last = as_of.last(epoch);
                rows.change(&|change| *change <= last);
                let mut session = output.session(&cap);
                for record in records {
                    rows.meet(record, &mut made);
                    session.give_iterator(made.drain(..));
                }
            }
            // Changes do not pile up while no events come: those of epochs from which none can come are made.
            rows.change(&over);
        }
    });
    // Only now: an operator that is begun and not built leaves a scope that cannot be.
    job.name_operator(name, id)?;
    Ok(Stream::from_inner(made, events).named(name, kind))
}

/// A follower with the rows it follows.
struct Follows<L: Follower> {
    coming: Coming<L::Row>,
    follower: L,
}

impl<L: Follower> Meet<L::In, L::Out> for Follows<L> {
    fn take(&mut self) {
        self.coming.take();
    }

    fn change(&mut self, is_due: &dyn Fn(&Epoch) -> bool) {
        self.coming.make(is_due, |changes| self.follower.change(changes));
    }

    fn meet(&mut self, event: Record<L::In>, made: &mut Vec<Record<L::Out>>) {
        self.follower.take(event, made);
    }
}

/// Has a follower on each worker take the events that are there, each when the rows are those that it is to see.
pub(crate) fn follow<'s, L: Follower>(
    events: Stream<'s, L::In>,
    named: (&str, &str),
    (rows, which): (Collection<'s, L::Row>, Everywhere),
    as_of: AsOf,
    follower: L,
) -> Result<Stream<'s, L::Out>> {
    let (mut to_take, mut changes) = (events.clone().inner(), rows.inner().inner.clone());
    match which {
        Everywhere::Rows => changes = everywhere(changes),
        Everywhere::Events => to_take = everywhere(to_take),
    }
    let met =
        meet((&events, to_take), named, as_of, |builder| Follows { coming: Coming::new(builder, changes), follower })?;
    Ok(met.also_of_rows(&rows))
}
