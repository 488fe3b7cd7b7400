//! Streams: events that happened, each once, in event time.

use crate::collection::Collection;
use crate::error::{Error, Reject, Result};
use crate::hash::{group_of, owner_of, stable_hash};
use crate::job::Job;
use crate::kernel::{Kernel, Machine, Order, operate};
use crate::maintain::{Maintain, MaintainKernel};
use crate::plan::{Node, type_name};
use crate::process::{Process, ProcessKernel};
use crate::record::{Data, DeadLetter, Record};
use crate::sink::Sink;
use crate::tide::{Tide, least};
use crate::time::{END, Epoch, Millis};
use serde::Serialize;
use std::hash::Hash;
use std::rc::Rc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Concat, Probe};
use timely::progress::operate::FrontierInterest;

/// What keyed state is found by. Implemented for every type with these bounds.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key",
    note = "derive `Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize`; floats cannot be keys",
    note = "more in `tidemill::guide`, \"When the compiler complains\""
)]
pub trait Key: Data + Eq + Ord + Hash {}
#[diagnostic::do_not_recommend]
impl<K: Data + Eq + Ord + Hash> Key for K {}

/// Events that happened, each once, with their event time, and a watermark beside them.
///
/// Cloning a stream makes a second reader of it.
pub struct Stream<'s, T: 'static> {
    inner: StreamVec<'s, Epoch, Record<T>>,
    tide: StreamVec<'s, Epoch, Tide>,
    job: Job<'s>,
    /// Its place in the job's plan.
    node: usize,
}

impl<T: Clone + 'static> Clone for Stream<'_, T> {
    fn clone(&self) -> Self {
        Stream { inner: self.inner.clone(), tide: self.tide.clone(), job: self.job.clone(), node: self.node }
    }
}

impl<'s, T: Clone + 'static> Stream<'s, T> {
    pub(crate) fn new(
        inner: StreamVec<'s, Epoch, Record<T>>,
        tide: StreamVec<'s, Epoch, Tide>,
        job: Job<'s>,
        node: usize,
    ) -> Self {
        Stream { inner, tide, job, node }
    }

    /// Takes a timely stream back into the graph, under the watermark of `beside`. Whoever made
    /// it must not have moved records to later epochs than `beside`'s watermark allows for.
    pub fn from_inner<U: Clone + 'static>(inner: StreamVec<'s, Epoch, Record<T>>, beside: &Stream<'s, U>) -> Self {
        let node = beside.job.note(Node::new("raw", None, &[beside.node]));
        Stream { inner, tide: beside.tide.clone(), job: beside.job.clone(), node }
    }

    /// The timely stream underneath.
    pub fn inner(&self) -> StreamVec<'s, Epoch, Record<T>> {
        self.inner.clone()
    }

    /// The watermark beside the stream: on every worker, in each epoch where it moves.
    pub fn tide(&self) -> StreamVec<'s, Epoch, Tide> {
        self.tide.clone()
    }

    /// The job this stream belongs to.
    pub fn job(&self) -> &Job<'s> {
        &self.job
    }

    /// Its place in the job's plan.
    pub(crate) fn node(&self) -> usize {
        self.node
    }

    /// Names the raw operator that made this stream, in [`Job::explain`]: what it is called, and what it does.
    pub fn named(self, name: &str, kind: &str) -> Self {
        self.job.name_node(self.node, name, kind);
        self
    }

    /// Notes in [`Job::explain`] that the raw operator that made this stream reads `other` too.
    pub fn also_of<U: Clone + 'static>(self, other: &Stream<'s, U>) -> Self {
        self.job.note_input(self.node, other.node);
        self
    }

    /// The same where what it reads too is a collection.
    pub fn also_of_rows<D: Clone + 'static>(self, other: &Collection<'s, D>) -> Self {
        self.job.note_input(self.node, other.node);
        self
    }

    pub(crate) fn parts(self) -> (StreamVec<'s, Epoch, Record<T>>, StreamVec<'s, Epoch, Tide>) {
        (self.inner, self.tide)
    }

    /// Runs `logic` over each container, without regard to epochs, as an operator of its own.
    fn stateless<U: Clone + 'static>(
        self,
        kind: &str,
        logic: impl FnMut(&mut Vec<Record<T>>, &mut Vec<Record<U>>) + 'static,
    ) -> Stream<'s, U> {
        let node = self.job.note(Node::new(kind, None, &[self.node]));
        self.part_of(node, kind, logic)
    }

    /// Runs `logic` over each container, as a part of the operator at `node` of the plan.
    fn part_of<U: Clone + 'static>(
        self,
        node: usize,
        name: &str,
        mut logic: impl FnMut(&mut Vec<Record<T>>, &mut Vec<Record<U>>) + 'static,
    ) -> Stream<'s, U> {
        let mut builder = OperatorBuilder::new(name.to_owned(), self.job.scope());
        self.job.runtime().name_operator(builder.operator_info().global_id, name);
        let mut input = builder.new_input(self.inner, Pipeline);
        builder.set_notify_for(0, FrontierInterest::Never);
        let (output, inner) = builder.new_output();
        let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<Record<U>>>>::from(output);
        let mut made = Vec::new();
        let runtime = Rc::clone(self.job.runtime());
        let label = runtime.label(name);
        builder.build(move |capabilities| {
            drop(capabilities);
            move |_| {
                let mut output = output.activate();
                input.for_each_stamp(|cap, batches| {
                    let mut session = output.session(&cap);
                    for batch in batches {
                        runtime.at_work(label, || logic(batch, &mut made));
                        if !made.is_empty() {
                            session.give_container(&mut made);
                            made.clear();
                        }
                    }
                });
            }
        });
        Stream { inner, tide: self.tide, job: self.job, node }
    }

    /// Each event, changed by `f`; time and place stay.
    pub fn map<U: Clone + 'static>(self, mut f: impl FnMut(T) -> U + 'static) -> Stream<'s, U> {
        self.stateless("map", move |batch, out| {
            out.extend(batch.drain(..).map(|Record { time, seq, value }| Record { time, seq, value: f(value) }));
        })
    }

    /// Each event with its time.
    pub fn with_times(self) -> Stream<'s, (Millis, T)> {
        self.stateless("with_times", move |batch, out| {
            out.extend(batch.drain(..).map(|Record { time, seq, value }| Record { time, seq, value: (time, value) }));
        })
    }

    /// The events that `keep` says yes to.
    pub fn filter(self, mut keep: impl FnMut(&T) -> bool + 'static) -> Stream<'s, T> {
        self.stateless("filter", move |batch, out| {
            batch.retain(|record| keep(&record.value));
            std::mem::swap(batch, out);
        })
    }

    /// What `f` makes of each event, where it makes something of it; time and place stay.
    pub fn filter_map<U: Clone + 'static>(self, mut f: impl FnMut(T) -> Option<U> + 'static) -> Stream<'s, U> {
        self.stateless("filter_map", move |batch, out| {
            let made = batch.drain(..).map(|Record { time, seq, value }| Some(Record { time, seq, value: f(value)? }));
            out.extend(made.flatten());
        })
    }

    /// Every event that `f` makes of each; they share its time and keep their order.
    pub fn flat_map<U: Clone + 'static, I: IntoIterator<Item = U>>(
        self,
        mut f: impl FnMut(T) -> I + 'static,
    ) -> Stream<'s, U> {
        self.stateless("flat_map", move |batch, out| {
            for Record { time, seq, value } in batch.drain(..) {
                let made = f(value).into_iter().enumerate();
                out.extend(made.map(|(i, value)| Record { time, seq: seq.child(i), value }));
            }
        })
    }

    /// Looks at each event as it passes.
    pub fn inspect(self, mut f: impl FnMut(&Record<T>) + 'static) -> Stream<'s, T> {
        self.stateless("inspect", move |batch, out| {
            batch.iter().for_each(&mut f);
            std::mem::swap(batch, out);
        })
    }

    /// Each event, changed by `f`, which may refuse it: then it goes to the dead letters with the reason, and the job goes
    /// on. If `f` panics, the job stops with [`Error::Panic`] (exit code 70).
    ///
    /// # Errors
    ///
    /// [`Error::Graph`] (exit code 65) if the job has an operator called `name` already.
    pub fn try_map<U: Data>(
        self,
        name: &str,
        mut f: impl FnMut(&T) -> Result<U, Reject> + 'static,
    ) -> Result<Stream<'s, U>>
    where
        T: Serialize,
    {
        self.job.claim(name)?;
        let operator = name.to_owned();
        let node = self.job.note(Node::new("try_map", Some(name), &[self.node]));
        let tried = self.part_of(node, name, move |batch, out| {
            out.extend(batch.drain(..).map(|record| {
                let tried = f(&record.value);
                let tried = tried.map_err(|Reject(reason)| DeadLetter::of(&operator, &record.value, reason));
                record.with(tried)
            }));
        });
        let dead = tried.clone().part_of(node, name, |batch, out| {
            out.extend(
                batch.drain(..).filter_map(|r| Some(Record { time: r.time, seq: r.seq, value: r.value.err()? })),
            );
        });
        tried.job.add_dead_letters(dead.inner);
        Ok(tried.part_of(node, name, |batch, out| {
            out.extend(batch.drain(..).filter_map(|r| Some(Record { time: r.time, seq: r.seq, value: r.value.ok()? })));
        }))
    }

    /// The events of both. The watermark is the lesser of the two; one that is idle is not waited for.
    ///
    /// Events keep their time and place. Where both streams derive from one, two events may have the same of both, and
    /// then nothing orders them: `flat_map(|event| [event])` on one side gives its events places of their own.
    pub fn union(self, other: Stream<'s, T>) -> Stream<'s, T> {
        let node = self.job.note(Node::new("union", None, &[self.node, other.node]));
        Stream { inner: self.inner.concat(other.inner), tide: least(self.tide, other.tide), job: self.job, node }
    }

    /// The same events under a watermark that is `by` ms behind: for operators that emit events up to so much older than
    /// what they have seen. The end of the input is not held back.
    pub fn hold_back(self, by: Millis) -> Stream<'s, T> {
        let back = move |time: Millis| if time == END { END } else { time.saturating_sub(by.max(0)) };
        let behind = move |tide: Tide| Tide { watermark: back(tide.watermark), reached: back(tide.reached), ..tide };
        Stream { inner: self.inner, tide: self.tide.map(behind), job: self.job, node: self.node }
    }

    /// The events that `test` says yes to, and the others. No event is copied.
    pub fn branch(self, mut test: impl FnMut(&T) -> bool + 'static) -> (Stream<'s, T>, Stream<'s, T>) {
        self.two_ways("branch", move |batch, yes, no| {
            no.extend(batch.extract_if(.., |record| !test(&record.value)));
            std::mem::swap(batch, yes);
        })
    }

    /// What `f` makes of each event for one stream, and for another: for both of them, one, or none. Time and place stay.
    pub fn split_map<A: Clone + 'static, B: Clone + 'static>(
        self,
        mut f: impl FnMut(T) -> (Option<A>, Option<B>) + 'static,
    ) -> (Stream<'s, A>, Stream<'s, B>) {
        self.two_ways("split_map", move |batch, first, second| {
            for Record { time, seq, value } in batch.drain(..) {
                let (one, other) = f(value);
                first.extend(one.map(|value| Record { time, seq, value }));
                second.extend(other.map(|value| Record { time, seq, value }));
            }
        })
    }

    /// Runs `logic` over each container, which makes two of it.
    fn two_ways<A: Clone + 'static, B: Clone + 'static>(
        self,
        kind: &str,
        mut logic: impl FnMut(&mut Vec<Record<T>>, &mut Vec<Record<A>>, &mut Vec<Record<B>>) + 'static,
    ) -> (Stream<'s, A>, Stream<'s, B>) {
        let node = self.job.note(Node::new(kind, None, &[self.node]));
        let mut builder = OperatorBuilder::new(kind.to_owned(), self.job.scope());
        self.job.runtime().name_operator(builder.operator_info().global_id, kind);
        let mut input = builder.new_input(self.inner, Pipeline);
        builder.set_notify_for(0, FrontierInterest::Never);
        let (first_out, first) = builder.new_output();
        let (second_out, second) = builder.new_output();
        let mut first_out = OutputBuilder::<_, CapacityContainerBuilder<Vec<Record<A>>>>::from(first_out);
        let mut second_out = OutputBuilder::<_, CapacityContainerBuilder<Vec<Record<B>>>>::from(second_out);
        let (mut to_first, mut to_second) = (Vec::new(), Vec::new());
        let runtime = Rc::clone(self.job.runtime());
        let label = runtime.label(kind);
        builder.build(move |capabilities| {
            drop(capabilities);
            move |_| {
                let (mut first_out, mut second_out) = (first_out.activate(), second_out.activate());
                input.for_each_stamp(|cap, batches| {
                    let Some(&epoch) = cap.least() else { return };
                    for batch in batches {
                        runtime.at_work(label, || logic(batch, &mut to_first, &mut to_second));
                        if !to_first.is_empty() {
                            first_out.session(&cap.delayed(&epoch, 0)).give_container(&mut to_first);
                            to_first.clear();
                        }
                        if !to_second.is_empty() {
                            second_out.session(&cap.delayed(&epoch, 1)).give_container(&mut to_second);
                            to_second.clear();
                        }
                    }
                });
            }
        });
        let (tide, job) = (self.tide, self.job);
        let first = Stream { inner: first, tide: tide.clone(), job: job.clone(), node };
        (first, Stream { inner: second, tide, job, node })
    }

    /// Groups the stream by a key, for the operators that keep state.
    pub fn key_by<K: Key, F: Fn(&T) -> K + Clone + 'static>(self, key: F) -> Keyed<'s, T, F> {
        Keyed { stream: self, key }
    }

    /// Writes every event to `sink`: those of an epoch in order of event time, ties by place. Worker 0 writes, and commits
    /// each epoch.
    ///
    /// A sink that fails stops the job with [`Error::Sink`] (exit code 73), one that panics with [`Error::Panic`] (70).
    /// Then, or when anything else has failed, nothing more is written, and the sink is dropped without being closed;
    /// what it has committed stays.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`] (exit code 65) if the job has an operator called `name` already.
    pub fn sink<S: Sink<Item = Record<T>>>(self, name: &str, sink: S) -> Result<()>
    where
        T: Data,
    {
        self.job.claim(name)?;
        self.job.note(Node::new("sink", Some(name), &[self.node]));
        let order = |items: &mut Vec<Record<T>>| items.sort_by_key(|r| (r.time, r.seq));
        crate::drain::drain(&self.job, name, self.inner, order, sink);
        Ok(())
    }

    /// Calls `f` for each event on whichever worker it is, and makes the job wait for it: the
    /// cheapest way out of a graph, where order does not matter.
    pub fn for_each(self, mut f: impl FnMut(Record<T>) + 'static) {
        let job = self.job.clone();
        let done = self.stateless::<()>("for_each", move |batch, _| batch.drain(..).for_each(&mut f));
        done.inner.probe_with(&job.runtime().probe);
    }
}

/// A stream grouped by key.
pub struct Keyed<'s, T: 'static, F> {
    stream: Stream<'s, T>,
    key: F,
}

impl<T: Clone + 'static, F: Clone> Clone for Keyed<'_, T, F> {
    fn clone(&self) -> Self {
        Keyed { stream: self.stream.clone(), key: self.key.clone() }
    }
}

impl<'s, T, K, F> Keyed<'s, T, F>
where
    T: Data,
    K: Key,
    F: Fn(&T) -> K + Clone + 'static,
{
    /// The key of an event.
    pub fn key(&self) -> F {
        self.key.clone()
    }

    /// The stream that was grouped.
    pub fn stream(&self) -> &Stream<'s, T> {
        &self.stream
    }

    /// Runs a [`Process`]. Late events are counted and dropped: see [`Keyed::process_late`].
    ///
    /// # Errors
    ///
    /// As for [`Keyed::process_late`].
    pub fn process<P>(self, name: &str, process: P) -> Result<Stream<'s, P::Out>>
    where
        P: Process<Key = K, In = T>,
    {
        Ok(self.process_late(name, process)?.0)
    }

    /// Runs a [`Process`]; the second stream holds the events that came too late for it.
    ///
    /// An event that it refuses is a dead letter, and so is a refused timer, by its key; the job goes on as if there had
    /// been none (see [`Process::UNDO`]). If it panics, the job stops with [`Error::Panic`] (exit code 70).
    ///
    /// # Errors
    ///
    /// [`Error::Graph`] (exit code 65) if the job has an operator called `name` already, or if the stream comes from
    /// control sources only and the process works in event time: then there is no watermark.
    pub fn process_late<P>(self, name: &str, process: P) -> Result<(Stream<'s, P::Out>, Stream<'s, T>)>
    where
        P: Process<Key = K, In = T>,
    {
        let kernel = ProcessKernel::new(name, self.key.clone(), process);
        self.kernel(name, kernel)
    }

    /// Runs a [`Maintain`]: its rows are a collection. It can refuse nothing; late events, which it has only if it works in
    /// event time, are counted and dropped. If it panics, the job stops with [`Error::Panic`] (exit code 70).
    ///
    /// # Errors
    ///
    /// [`Error::Graph`] (exit code 65) if the job has an operator called `name` already, or if the stream comes from
    /// control sources only and it works in event time: then there is no watermark.
    pub fn maintain<M>(self, name: &str, maintain: M) -> Result<Collection<'s, M::Row>>
    where
        M: Maintain<Key = K, In = T>,
    {
        let kernel = MaintainKernel::new(self.key.clone(), maintain);
        Ok(self.kernel_rows(name, kernel)?.0)
    }

    /// Runs a [`Kernel`] that emits events. The second stream holds what came too late; what the kernel gives as
    /// [`Emit::dead`](crate::Emit::dead) goes to the job's dead letters. If it panics, the job stops with [`Error::Panic`]
    /// (exit code 70).
    ///
    /// # Errors
    ///
    /// [`Error::Graph`] (exit code 65) if the job has an operator called `name` already, or if the stream comes from
    /// control sources only and the kernel works in event time: then there is no watermark.
    pub fn kernel<U, N>(self, name: &str, kernel: N) -> Result<(Stream<'s, U>, Stream<'s, T>)>
    where
        U: Clone + 'static,
        N: Kernel<In = T, Out = Record<U>>,
    {
        let (job, tide) = (self.stream.job.clone(), self.stream.tide.clone());
        let (out, late, node) = self.run(name, kernel)?;
        Ok((Stream::new(out, tide.clone(), job.clone(), node), Stream::new(late, tide, job, node)))
    }

    /// Runs a [`Kernel`] that maintains rows. The stream holds what came too late; dead letters and panics are as for
    /// [`Keyed::kernel`].
    ///
    /// # Errors
    ///
    /// As for [`Keyed::kernel`].
    pub fn kernel_rows<R, N>(self, name: &str, kernel: N) -> Result<(Collection<'s, R>, Stream<'s, T>)>
    where
        R: differential_dataflow::Data,
        N: Kernel<In = T, Out = (R, Epoch, isize)>,
    {
        let (job, tide) = (self.stream.job.clone(), self.stream.tide.clone());
        let (out, late, node) = self.run(name, kernel)?;
        let rows = differential_dataflow::VecCollection::new(out);
        let rows = Collection::new(rows, tide.clone(), job.clone(), node);
        Ok((rows, Stream::new(late, tide, job, node)))
    }

    fn run<N: Kernel<In = T>>(
        self,
        name: &str,
        kernel: N,
    ) -> Result<(StreamVec<'s, Epoch, N::Out>, StreamVec<'s, Epoch, Record<T>>, usize), Error> {
        self.stream.job.claim(name)?;
        if kernel.order() == Order::EventTime && self.stream.job.only_controlled(self.stream.node) {
            return Err(Error::Graph(format!(
                "`{name}` works in event time, and what it reads comes from control sources only, which have no \
                 watermark: leave out `Timing::control` for one of them, or unite them with a stream that has one"
            )));
        }
        let mut node = Node::new(&kernel.kind(), Some(name), &[self.stream.node]);
        (node.key, node.state, node.version) = (Some(type_name::<K>()), Some(kernel.state()), kernel.version());
        node.shape = kernel.shape();
        self.stream.job.check_operator(&node)?;
        let node = self.stream.job.note(node);
        let peers = self.stream.job.runtime().peers;
        let (key, route) = (self.key.clone(), self.key);
        let machine = Machine::new(kernel, move |event| group_of(stable_hash(&key(event))));
        let owner = move |event: &T| owner_of(group_of(stable_hash(&route(event))), peers) as u64;
        let (out, late) = operate(self.stream, name, owner, machine)?;
        Ok((out, late, node))
    }
}
