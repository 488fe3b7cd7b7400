//! The threads that make calls.

use crate::calls::{Call, Connect, Failure};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::thread::{Builder, JoinHandle};
use tidemill::timely::scheduling::SyncActivator;

/// Calls that may hang, for each thread there is, before the job stops: each keeps a thread of the system.
const MOST_HANGING: usize = 16;

/// The threads of one worker: each has a client, and at most one call.
pub(crate) struct Callers<T, U, C> {
    connect: Arc<Connect<C>>,
    call: Arc<Call<T, U, C>>,
    name: String,
    wake: Arc<OnceLock<SyncActivator>>,
    answers: Receiver<(u64, Outcome<U>)>,
    answer: Sender<(u64, Outcome<U>)>,
    threads: Vec<Caller<T>>,
    idle: Vec<usize>,
    /// How many calls have been made: a call that was given up and its retry are two.
    made: u64,
    /// Threads whose call was given up and has not returned.
    hanging: usize,
}

struct Caller<T> {
    requests: Sender<(u64, T)>,
    thread: JoinHandle<()>,
    busy: Busy,
}

/// What a thread is doing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Busy {
    Connecting,
    /// It makes this call, for this event.
    Calling(u64, u64),
    /// It waits for a call to make.
    Idle,
}

/// What became of a call: the event it was for, and the answer. A panic's message is not the call's own failure.
pub(crate) struct Answer<U> {
    pub event: u64,
    pub outcome: Outcome<U>,
}

type Outcome<U> = Result<Result<U, Failure>, String>;

impl<T, U, C> Callers<T, U, C>
where
    T: Send + 'static,
    U: Send + 'static,
    C: 'static,
{
    /// Starts `threads` threads, each with a client.
    pub fn start(
        (connect, call): (Arc<Connect<C>>, Arc<Call<T, U, C>>),
        threads: usize,
        name: &str,
    ) -> Result<Self, String> {
        // At most one answer for each thread and each call that was given up.
        let (answer, answers) = unbounded();
        let name = format!("enrich {name}");
        let (threads_idle, wake) = ((0..threads).collect(), Arc::default());
        let mut callers = Callers {
            connect,
            call,
            name,
            wake,
            answers,
            answer,
            threads: Vec::new(),
            idle: threads_idle,
            made: 0,
            hanging: 0,
        };
        let (connected, outcomes) = bounded(threads);
        for _ in 0..threads {
            let caller = callers.spawn(Some(connected.clone()))?;
            callers.threads.push(caller);
        }
        drop(connected);
        for _ in 0..threads {
            outcomes.recv().unwrap_or_else(|_| Err("it panicked".into()))?;
        }
        callers.threads.iter_mut().for_each(|caller| caller.busy = Busy::Idle);
        Ok(callers)
    }

    /// Has answers wake the operator that waits for them.
    pub fn wake_by(&self, wake: SyncActivator) {
        // Set once: an operator has one activator.
        let _ = self.wake.set(wake);
    }

    fn spawn(&self, connected: Option<Sender<Result<(), String>>>) -> Result<Caller<T>, String> {
        let (requests, taken) = bounded::<(u64, T)>(1);
        let (connect, call) = (Arc::clone(&self.connect), Arc::clone(&self.call));
        let (answers, wake) = (self.answer.clone(), Arc::clone(&self.wake));
        let busy = if connected.is_some() { Busy::Connecting } else { Busy::Idle };
        let thread = Builder::new().name(self.name.clone()).spawn(move || {
            let mut client = None;
            if let Some(connected) = connected {
                let outcome = connect().map(|made| client = Some(made));
                // Whoever waits for it outlives it.
                let _ = connected.send(outcome);
            }
            for (number, event) in taken {
                let outcome = catch_unwind(AssertUnwindSafe(|| match &mut client {
                    Some(client) => call(client, &event),
                    none => {
                        let made = connect().map_err(|reason| Failure::Transient(format!("no client: {reason}")))?;
                        call(none.insert(made), &event)
                    }
                }));
                let outcome = outcome.map_err(|payload| {
                    let text = payload.downcast_ref::<&str>().copied();
                    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
                    text.unwrap_or("(no message)").to_owned()
                });
                // A worker that is gone wants no answers.
                let _ = answers.send((number, outcome));
                let _ = wake.get().map(SyncActivator::activate);
            }
        });
        let thread = thread.map_err(|error| format!("a thread cannot start: {error}"))?;
        Ok(Caller { requests, thread, busy })
    }

    /// Whether another call can be made now.
    pub fn free(&self) -> bool {
        !self.idle.is_empty()
    }

    /// Makes a call about the event of this number, on a thread that is free.
    pub fn make(&mut self, number: u64, event: T) -> Result<(), String> {
        let Some(caller) = self.idle.pop().and_then(|at| self.threads.get_mut(at)) else {
            return Err("no thread is free".into());
        };
        let call = self.made;
        self.made += 1;
        caller.busy = Busy::Calling(call, number);
        caller.requests.try_send((call, event)).map_err(|error| format!("its thread cannot be asked: {error}"))
    }

    /// The answers that are there; those of calls that were given up are left out.
    pub fn answers(&mut self) -> Vec<Answer<U>> {
        let mut answers = Vec::new();
        for (answered, outcome) in self.answers.try_iter() {
            let waited = self.threads.iter().enumerate().find_map(|(at, caller)| match caller.busy {
                Busy::Calling(call, event) if call == answered => Some((at, event)),
                _ => None,
            });
            match waited {
                Some((at, event)) => {
                    self.threads[at].busy = Busy::Idle;
                    self.idle.push(at);
                    answers.push(Answer { event, outcome });
                }
                None => self.hanging -= 1,
            }
        }
        answers
    }

    /// Gives the call about an event up: its thread ends when it returns, and another takes its place.
    pub fn give_up(&mut self, number: u64) -> Result<(), String> {
        let calls = |caller: &Caller<T>| matches!(caller.busy, Busy::Calling(_, event) if event == number);
        let Some(at) = self.threads.iter().position(calls) else { return Ok(()) };
        self.hanging += 1;
        let most = MOST_HANGING * self.threads.len();
        if self.hanging > most {
            return Err(format!(
                "{most} calls have not returned after they ran out of time, and each keeps a thread: have calls end by themselves, by the client's own timeout"
            ));
        }
        self.threads[at] = self.spawn(None)?;
        self.idle.push(at);
        Ok(())
    }
}

impl<T, U, C> Drop for Callers<T, U, C> {
    /// Ends the threads, and waits for those that wait for a call: clients are closed when the job has ended.
    fn drop(&mut self) {
        for Caller { requests, thread, busy } in self.threads.drain(..) {
            drop(requests);
            if busy == Busy::Idle {
                // A client's destructor may panic: it has nothing left to say.
                let _ = thread.join();
            }
        }
    }
}
