//! Collections: rows that are true now.

use crate::error::Result;
use crate::hash::stable_hash;
use crate::job::Job;
use crate::plan::{Node, type_name};
use crate::record::{ADDED, Data, RETRACTED, Record, Seq};
use crate::sink::{Sink, Start, Update};
use crate::stream::Stream;
use crate::tide::Tide;
use crate::time::{Epoch, Millis};
use differential_dataflow::consolidation::consolidate;
use differential_dataflow::{ExchangeData, VecCollection};
use std::collections::BTreeMap;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

/// Rows that are true now, kept as `(row, epoch, diff)`: a differential-dataflow collection.
///
/// All of differential's operators are at hand through [`Collection::then`]. What they derive is
/// rebuilt after a restart from the collections it derives from.
pub struct Collection<'s, D: Clone + 'static> {
    inner: VecCollection<'s, Epoch, D, isize>,
    tide: StreamVec<'s, Epoch, Tide>,
    job: Job<'s>,
    /// Its place in the job's plan.
    pub(crate) node: usize,
}

impl<D: Clone + 'static> Clone for Collection<'_, D> {
    fn clone(&self) -> Self {
        Collection { inner: self.inner.clone(), tide: self.tide.clone(), job: self.job.clone(), node: self.node }
    }
}

impl<'s, D: differential_dataflow::Data> Collection<'s, D> {
    /// Takes a differential collection back into the graph, under the watermark of `beside`.
    pub fn from_inner<U: Clone + 'static>(inner: VecCollection<'s, Epoch, D, isize>, beside: &Stream<'s, U>) -> Self {
        let node = beside.job().note(Node::new("raw", None, &[beside.node()]));
        Self::new(inner, beside.tide(), beside.job().clone(), node)
    }

    /// The differential collection underneath.
    pub fn inner(&self) -> VecCollection<'s, Epoch, D, isize> {
        self.inner.clone()
    }

    /// The watermark beside the collection: on every worker, in each epoch where it moves.
    pub fn tide(&self) -> StreamVec<'s, Epoch, Tide> {
        self.tide.clone()
    }

    /// The job this collection belongs to.
    pub fn job(&self) -> &Job<'s> {
        &self.job
    }

    /// Names the operators that derived this collection, in [`Job::explain`]: what they are called, and what they do.
    pub fn named(self, name: &str, kind: &str) -> Self {
        self.job.name_node(self.node, name, kind);
        self
    }

    /// Notes in [`Job::explain`] that the raw operator that made this collection reads `other` too.
    pub fn also_of_rows<E: Clone + 'static>(self, other: &Collection<'s, E>) -> Self {
        self.job.note_input(self.node, other.node);
        self
    }

    pub(crate) fn new(
        inner: VecCollection<'s, Epoch, D, isize>,
        tide: StreamVec<'s, Epoch, Tide>,
        job: Job<'s>,
        node: usize,
    ) -> Self {
        if let Some(node) = job.runtime().plan.borrow_mut().node(node) {
            node.rows = Some(type_name::<D>());
        }
        Collection { inner, tide, job, node }
    }

    fn derive<E: differential_dataflow::Data>(
        self,
        kind: &str,
        f: impl FnOnce(VecCollection<'s, Epoch, D, isize>) -> VecCollection<'s, Epoch, E, isize>,
    ) -> Collection<'s, E> {
        let node = self.job.note(Node::new(kind, None, &[self.node]));
        Collection::new(f(self.inner), self.tide, self.job, node)
    }

    /// Derives another collection by any of differential's operators.
    pub fn then<E: differential_dataflow::Data>(
        self,
        f: impl FnOnce(VecCollection<'s, Epoch, D, isize>) -> VecCollection<'s, Epoch, E, isize>,
    ) -> Collection<'s, E> {
        self.derive("derive", f)
    }

    /// Each row, changed by `f`.
    pub fn map<E: differential_dataflow::Data>(self, f: impl FnMut(D) -> E + 'static) -> Collection<'s, E> {
        self.derive("map", |inner| inner.map(f))
    }

    /// The rows that `keep` says yes to.
    pub fn filter(self, keep: impl FnMut(&D) -> bool + 'static) -> Collection<'s, D> {
        self.derive("filter", |inner| inner.filter(keep))
    }

    /// Every row that `f` makes of each.
    pub fn flat_map<E: differential_dataflow::Data, I: IntoIterator<Item = E> + 'static>(
        self,
        f: impl FnMut(D) -> I + 'static,
    ) -> Collection<'s, E> {
        self.derive("flat_map", |inner| inner.flat_map(f))
    }

    /// Looks at each change as it passes.
    pub fn inspect(self, f: impl FnMut(&(D, Epoch, isize)) + 'static) -> Collection<'s, D> {
        self.derive("inspect", |inner| inner.inspect(f))
    }

    /// The rows that `test` says yes to, and the others.
    pub fn branch(self, test: impl Fn(&D) -> bool + Clone + 'static) -> (Collection<'s, D>, Collection<'s, D>) {
        let otherwise = test.clone();
        (self.clone().filter(move |row| test(row)), self.filter(move |row| !otherwise(row)))
    }

    /// Each row behind its key, as differential's joins and reductions by key want it.
    pub fn key_by<K: differential_dataflow::Data>(self, key: impl Fn(&D) -> K + 'static) -> Collection<'s, (K, D)> {
        self.derive("key_by", |inner| inner.map(move |row| (key(&row), row)))
    }

    /// The rows of both.
    pub fn union(self, other: Collection<'s, D>) -> Collection<'s, D> {
        let tide = crate::tide::least(self.tide, other.tide);
        let node = self.job.note(Node::new("union", None, &[self.node, other.node]));
        Self::new(self.inner.concat(other.inner), tide, self.job, node)
    }

    /// The changes, as events: what became true (`diff > 0`) or ceased to be (`diff < 0`), at the
    /// event time that `time` reads off the row. An epoch's retractions come before its additions.
    /// That a job goes on from a checkpoint is no change: see [`Collection::rows_and_changes`].
    pub fn changes(self, time: impl Fn(&D) -> Millis + 'static) -> Stream<'s, Update<D>>
    where
        D: Data,
    {
        let began = self.job.runtime().began();
        self.changes_after(began, time)
    }

    /// The same for operators that keep the rows themselves, and nothing in a checkpoint: where a job goes on from one, the
    /// rows that were true come first.
    pub fn rows_and_changes(self, time: impl Fn(&D) -> Millis + 'static) -> Stream<'s, Update<D>>
    where
        D: Data,
    {
        self.changes_after(0, time)
    }

    /// The changes of later epochs than `began`; epoch 0 has none.
    fn changes_after(self, began: Epoch, time: impl Fn(&D) -> Millis + 'static) -> Stream<'s, Update<D>>
    where
        D: Data,
    {
        let mut builder = OperatorBuilder::new("changes".to_owned(), self.job.scope());
        self.job.runtime().name_operator(builder.operator_info().global_id, "changes");
        let mut input = builder.new_input(self.inner.inner, Pipeline);
        let (output, changes) = builder.new_output();
        let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<Record<Update<D>>>>>::from(output);
        builder.build(move |capabilities| {
            drop(capabilities);
            let mut open: BTreeMap<Epoch, (Capability<Epoch>, Vec<(D, isize)>)> = BTreeMap::new();
            move |frontiers| {
                input.for_each_stamp(|cap, batches| {
                    // A message may hold rows of later epochs than its own: each goes to its own.
                    for (row, epoch, diff) in batches.flat_map(|batch| batch.drain(..)) {
                        let slot = open.entry(epoch).or_insert_with(|| (cap.delayed(&epoch, 0), Vec::new()));
                        slot.1.push((row, diff));
                    }
                });
                let mut output = output.activate();
                while let Some(entry) = open.first_entry() {
                    if frontiers[0].less_equal(entry.key()) {
                        break;
                    }
                    let (epoch, (cap, mut rows)) = entry.remove_entry();
                    if epoch <= began {
                        continue;
                    }
                    consolidate(&mut rows);
                    output.session(&cap).give_iterator(rows.into_iter().map(|(row, diff)| {
                        let side = if diff < 0 { RETRACTED } else { ADDED };
                        let seq = Seq::new(side, stable_hash(&row));
                        Record { time: time(&row), seq, value: Update { row, diff } }
                    }));
                }
            }
        });
        let node = self.job.note(Node::new("changes", None, &[self.node]));
        Stream::new(changes, self.tide, self.job, node)
    }

    /// Writes every change to `sink`: those of an epoch consolidated, retractions first, by row. What happens when the sink
    /// fails is as for [`Stream::sink`].
    ///
    /// # Errors
    ///
    /// [`Error::Graph`](crate::Error::Graph) (exit code 65) if the job has an operator called `name` already.
    pub fn sink<S: Sink<Item = Update<D>>>(self, name: &str, sink: S) -> Result<()>
    where
        D: ExchangeData,
    {
        self.job.claim(name)?;
        self.job.note(Node::new("sink", Some(name), &[self.node]));
        let changes = self.inner.inner;
        let updates = Gather { sink, rows: Vec::new() };
        let order = |rows: &mut Vec<(D, Epoch, isize)>| {
            let mut all: Vec<((Epoch, D), isize)> = rows.drain(..).map(|(d, e, r)| ((e, d), r)).collect();
            consolidate(&mut all);
            rows.extend(all.into_iter().map(|((e, d), r)| (d, e, r)));
            rows.sort_by_key(|(_, epoch, diff)| (*epoch, *diff > 0));
        };
        crate::drain::drain(&self.job, name, by_epoch(&self.job, changes), order, updates);
        Ok(())
    }
}

/// Sends each row under its own epoch, which differential does not promise.
fn by_epoch<'s, D: Clone + 'static>(
    job: &Job<'s>,
    rows: StreamVec<'s, Epoch, (D, Epoch, isize)>,
) -> StreamVec<'s, Epoch, (D, Epoch, isize)> {
    let mut builder = OperatorBuilder::new("by epoch".to_owned(), job.scope());
    let mut input = builder.new_input(rows, Pipeline);
    builder.set_notify_for(0, timely::progress::operate::FrontierInterest::Never);
    let (output, rows) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<(D, Epoch, isize)>>>::from(output);
    builder.build(move |capabilities| {
        drop(capabilities);
        move |_| {
            let mut output = output.activate();
            input.for_each_stamp(|cap, batches| {
                let mut split: BTreeMap<Epoch, Vec<(D, Epoch, isize)>> = BTreeMap::new();
                for row in batches.flat_map(|batch| batch.drain(..)) {
                    split.entry(row.1).or_default().push(row);
                }
                for (epoch, mut rows) in split {
                    output.session(&cap.delayed(&epoch, 0)).give_container(&mut rows);
                }
            });
        }
    });
    rows
}

/// Hands differential's triples to a sink of updates.
struct Gather<S: Sink> {
    sink: S,
    rows: Vec<S::Item>,
}

impl<D: 'static, S: Sink<Item = Update<D>>> Sink for Gather<S> {
    type Item = (D, Epoch, isize);

    fn open(&mut self, start: &Start) -> Result<(), crate::SinkError> {
        self.sink.open(start)
    }

    fn restored(&mut self, epoch: Epoch, items: &mut Vec<Self::Item>) -> Result<(), crate::SinkError> {
        self.rows.extend(items.drain(..).map(|(row, _, diff)| Update { row, diff }));
        let told = self.sink.restored(epoch, &mut self.rows);
        self.rows.clear();
        told
    }

    fn save(&mut self) -> Result<Vec<u8>, crate::SinkError> {
        self.sink.save()
    }

    fn write(&mut self, epoch: Epoch, items: &mut Vec<Self::Item>) -> Result<(), crate::SinkError> {
        self.rows.extend(items.drain(..).map(|(row, _, diff)| Update { row, diff }));
        let written = if self.rows.is_empty() { Ok(()) } else { self.sink.write(epoch, &mut self.rows) };
        self.rows.clear();
        written
    }

    fn commit(&mut self, epoch: Epoch) -> Result<(), crate::SinkError> {
        self.sink.commit(epoch)
    }

    fn close(&mut self) -> Result<(), crate::SinkError> {
        self.sink.close()
    }
}
