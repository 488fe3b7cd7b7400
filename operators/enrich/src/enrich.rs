//! `enrich`: each event goes on with what a service says of it.

use crate::callers::{Answer, Callers};
use crate::calls::{Calls, Failure, Otherwise};
use crate::pending::{Event, Pending};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tidemill::timely::container::CapacityContainerBuilder;
use tidemill::timely::dataflow::channels::pact::Pipeline;
use tidemill::timely::dataflow::operators::Capability;
use tidemill::timely::dataflow::operators::generic::OutputBuilder;
use tidemill::timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use tidemill::timely::scheduling::Activator;
use tidemill::{Answers, Data, DeadLetter, Epoch, Error, Metrics, Record, Result, Stream, count};

/// Streams about whose events a service can be asked.
pub trait Enrich<'s, T: Data>: Sized {
    /// Makes `calls` about each event, on the worker where it is; the answer goes on at the event's own time. An event
    /// whose call fails for good goes to the dead letters, unless the calls say otherwise.
    ///
    /// State: none. What is under way is called again after a restart; what was answered since the last checkpoint is in the
    /// epoch log of a job that keeps checkpoints, and not asked again.
    ///
    /// A call that panics stops the job, and so do calls that do not return, where each thread has sixteen of them.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`] if the name is taken or the settings make no sense, and [`Error::Operator`] if a client is refused,
    /// whether or not others can be had.
    fn enrich<U: Data, C: 'static>(self, name: &str, calls: Calls<T, U, C>) -> Result<Stream<'s, U>>;
}

/// An epoch with events that have no answer, or whose answers wait for those before them.
struct Open<U> {
    caps: [Capability<Epoch>; 2],
    /// How many have no answer.
    left: usize,
    answers: Vec<Record<U>>,
    dead: Vec<Record<DeadLetter>>,
    /// What is to be kept of the answers, by what they are about.
    kept: Vec<(u64, Kept<U>)>,
}

/// What an event got in the end: an answer, or the reason why not.
type Kept<U> = Result<U, String>;

/// Where answers go.
struct Desk<T, U> {
    name: String,
    log: Answers<Kept<U>>,
    /// Epochs that are done, and wait for their answers to be safe.
    unsafe_yet: VecDeque<(u64, [Capability<Epoch>; 2])>,
    otherwise: Option<Box<Otherwise<T, U>>>,
    metrics: Rc<Metrics>,
    open: BTreeMap<Epoch, Open<U>>,
}

impl<T: Data, U: Data> Desk<T, U> {
    /// What an event gets in the end.
    fn answer(&mut self, Event { epoch, record, tries, .. }: Event<T>, answer: Result<U, Failure>) {
        let instead =
            |failure: Failure| self.otherwise.as_ref().and_then(|f| f(&record.value, &failure)).ok_or(failure);
        let answer = answer.or_else(instead).map_err(|failure| match tries {
            ..=1 => failure.to_string(),
            _ => format!("{failure}, after {tries} tries"),
        });
        if self.log.on()
            && let Some(open) = self.open.get_mut(&epoch)
        {
            open.kept.push((self.log.name_of(&record.value), answer.clone()));
        }
        self.settle(epoch, record, answer);
    }

    fn settle(&mut self, epoch: Epoch, record: Record<T>, answer: Kept<U>) {
        let Some(open) = self.open.get_mut(&epoch) else { return };
        open.left -= 1;
        match answer {
            Ok(value) => open.answers.push(record.with(value)),
            Err(reason) => open.dead.push(record.with(DeadLetter::of(&self.name, &record.value, reason))),
        }
    }

    /// Gives what may go on now: of ordered calls whole epochs in turn, else whatever there is.
    fn give(
        &mut self,
        ordered: bool,
        closed: impl Fn(&Epoch) -> bool,
        answers: &mut Out<Record<U>>,
        dead: &mut Out<Record<DeadLetter>>,
    ) {
        let mut held = false;
        let (log, unsafe_yet) = (&mut self.log, &mut self.unsafe_yet);
        self.open.retain(|epoch, open| {
            let done = closed(epoch) && open.left == 0;
            held |= ordered && !done;
            if !held {
                open.answers.sort_by_key(|record| (record.time, record.seq));
                count(&self.metrics.given, open.answers.len());
                count(&self.metrics.dead, open.dead.len());
                give(answers, &open.caps[0], &mut open.answers);
                give(dead, &open.caps[1], &mut open.dead);
            }
            if !held && done && log.on() {
                unsafe_yet.push_back((log.keep(*epoch, std::mem::take(&mut open.kept)), open.caps.clone()));
            }
            held || !done
        });
        let safe = log.safe();
        while unsafe_yet.pop_front_if(|(kept, _)| *kept <= safe).is_some() {}
        self.metrics.holds(self.open.keys().next().filter(|epoch| closed(epoch)).copied());
    }
}

type Out<D> = OutputBuilder<Epoch, CapacityContainerBuilder<Vec<D>>>;

fn give<D: Clone + 'static>(out: &mut Out<D>, cap: &Capability<Epoch>, items: &mut Vec<D>) {
    if !items.is_empty() {
        out.activate().session(cap).give_iterator(items.drain(..));
    }
}

/// Has the operator scheduled in a while, by one timer at a time.
struct Alarm {
    activator: Activator,
    set: Option<Instant>,
}

impl Alarm {
    fn set(&mut self, wait: Duration) {
        let now = Instant::now();
        let at = now + wait;
        if self.set.is_none_or(|set| set <= now || at < set) {
            self.activator.activate_after(wait);
            self.set = Some(at);
        }
    }
}

impl<'s, T: Data> Enrich<'s, T> for Stream<'s, T> {
    fn enrich<U: Data, C: 'static>(self, name: &str, calls: Calls<T, U, C>) -> Result<Stream<'s, U>> {
        calls.check(name)?;
        let job = self.job().clone();
        let Calls { connect, call, otherwise, threads, timeout, retries, backoff, ordered } = calls;
        let mut callers = Callers::start((connect, call), threads, name).map_err(|reason| Error::Operator {
            operator: name.to_owned(),
            reason: format!("no client can be had: {reason}; nothing was read: see to the service and start again"),
        })?;

        let mut log = job.answers(name)?;
        let mut builder = OperatorBuilder::new(name.to_owned(), job.scope());
        let info = builder.operator_info();
        callers.wake_by(job.scope().worker().sync_activator_for(info.address.to_vec()));
        log.wake_by(job.scope().worker().sync_activator_for(info.address.to_vec()));
        let mut alarm = Alarm { activator: job.scope().activator_for(info.address), set: None };
        let (clock, stopper, metrics) = (job.clock(), job.stopper(name), job.metrics(name));
        let mut input = builder.new_input(self.inner(), Pipeline);
        let (out, answered) = builder.new_output();
        let (dead, deads) = builder.new_output();
        let (mut out, mut dead): (Out<Record<U>>, Out<Record<DeadLetter>>) = (Out::from(out), Out::from(dead));
        let mut desk =
            Desk { name: name.to_owned(), log, unsafe_yet: VecDeque::new(), otherwise, metrics, open: BTreeMap::new() };
        let mut pending = Pending::new(timeout, (retries, backoff));

        builder.build(move |capabilities| {
            drop(capabilities);
            let mut known = Vec::new();
            move |frontiers| {
                input.for_each_stamp(|cap, batches| {
                    let Some(&epoch) = cap.least() else { return };
                    let open = desk.open.entry(epoch).or_insert_with(|| Open {
                        caps: [cap.delayed(&epoch, 0), cap.delayed(&epoch, 1)],
                        left: 0,
                        answers: Vec::new(),
                        dead: Vec::new(),
                        kept: Vec::new(),
                    });
                    for record in batches.flat_map(|batch| batch.drain(..)) {
                        open.left += 1;
                        count(&desk.metrics.taken, 1);
                        match desk.log.known(epoch, &record.value) {
                            Some(answer) => known.push((epoch, record, answer)),
                            None => pending.add(epoch, record),
                        }
                    }
                });
                for (epoch, record, answer) in known.drain(..) {
                    desk.settle(epoch, record, answer);
                }
                let now = clock.steady();
                for Answer { call, outcome } in callers.answers() {
                    match outcome {
                        Ok(Ok(answer)) => {
                            if let Some(event) = pending.answered(call) {
                                desk.answer(event, Ok(answer));
                            }
                        }
                        Ok(Err(failure)) => {
                            if let Some(event) = pending.failed(call, &failure, now) {
                                desk.answer(event, Err(failure));
                            }
                        }
                        Err(panic) => stopper.stop(format!("a call panicked: {panic}")),
                    }
                }
                while let Some(call) = pending.out_of_time(now) {
                    let failure = Failure::Timeout(timeout);
                    if let Err(reason) = callers.give_up(call) {
                        stopper.stop(reason);
                    }
                    if let Some(event) = pending.failed(call, &failure, now) {
                        desk.answer(event, Err(failure));
                    }
                }
                pending.wake(now);
                while callers.free()
                    && let Some((number, event)) = pending.call(now)
                {
                    if let Err(reason) = callers.make(number, event.clone()) {
                        stopper.stop(reason);
                    }
                }
                let closed = |epoch: &Epoch| !frontiers[0].less_equal(epoch);
                desk.give(ordered, closed, &mut out, &mut dead);
                if let Some(due) = pending.due() {
                    alarm.set(clock.patience(due - now));
                }
            }
        });
        // Only now: an operator that is begun and not built leaves a scope that cannot be.
        job.name_operator(name, info.global_id)?;
        job.add_dead_letters(deads);
        Ok(Stream::from_inner(job.wait_for(answered), &self).named(name, "enrich"))
    }
}
