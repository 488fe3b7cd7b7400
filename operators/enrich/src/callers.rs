//! The threads that make calls.

use crate::calls::{Call, Connect, Failure};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use std::any::Any;
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
    answers: Receiver<Answer<U>>,
    answer: Sender<Answer<U>>,
    threads: Vec<Caller<T>>,
    idle: Vec<usize>,
    /// Threads whose call was given up and has not returned.
    hanging: usize,
}

struct Caller<T> {
    requests: Sender<(u64, T)>,
    thread: JoinHandle<()>,
    doing: Doing,
}

/// What a thread is known to do.
#[derive(PartialEq, Eq)]
enum Doing {
    Connecting,
    Waiting,
    /// The call with this number.
    Calling(u64),
}

/// Where a thread says, with its place, whether it has a client.
type Connected = Sender<(usize, Result<(), String>)>;

/// What became of a call: its number, and the answer. A panic's message is not the call's own failure.
pub(crate) struct Answer<U> {
    pub call: u64,
    pub outcome: Result<Result<U, Failure>, String>,
}

impl<T, U, C> Callers<T, U, C>
where
    T: Send + 'static,
    U: Send + 'static,
    C: 'static,
{
    /// Starts `threads` threads, each with a client. The first client that is refused ends it, whatever others wait for.
    pub fn start(
        (connect, call): (Arc<Connect<C>>, Arc<Call<T, U, C>>),
        threads: usize,
        name: &str,
    ) -> Result<Self, String> {
        // At most one answer for each thread and each call that was given up.
        let (answer, answers) = unbounded();
        let name = format!("enrich {name}");
        let (idle, hanging, wake) = ((0..threads).collect(), 0, Arc::default());
        let mut callers = Callers { connect, call, name, wake, answers, answer, threads: Vec::new(), idle, hanging };
        let (connected, outcomes) = bounded(threads);
        for at in 0..threads {
            let caller = callers.spawn(Some((at, connected.clone())))?;
            callers.threads.push(caller);
        }
        for (at, outcome) in outcomes.iter().take(threads) {
            callers.threads[at].doing = Doing::Waiting;
            outcome?;
        }
        Ok(callers)
    }

    /// Has answers wake the operator that waits for them.
    pub fn wake_by(&self, wake: SyncActivator) {
        // Set once: an operator has one activator.
        let _ = self.wake.set(wake);
    }

    fn spawn(&self, connected: Option<(usize, Connected)>) -> Result<Caller<T>, String> {
        let (requests, taken) = bounded::<(u64, T)>(1);
        let (connect, call) = (Arc::clone(&self.connect), Arc::clone(&self.call));
        let (answers, wake) = (self.answer.clone(), Arc::clone(&self.wake));
        let doing = if connected.is_some() { Doing::Connecting } else { Doing::Waiting };
        let thread = Builder::new().name(self.name.clone()).spawn(move || {
            let mut client = None;
            if let Some((at, connected)) = connected {
                let made = catch_unwind(AssertUnwindSafe(|| connect()));
                let made = made.unwrap_or_else(|payload| Err(format!("it panicked: {}", message(&*payload))));
                // Nobody waits for it where another client was refused.
                let _ = connected.send((at, made.map(|made| client = Some(made))));
            }
            for (number, event) in taken {
                let outcome = catch_unwind(AssertUnwindSafe(|| match &mut client {
                    Some(client) => call(client, &event),
                    none => {
                        let made = connect().map_err(|reason| Failure::Transient(format!("no client: {reason}")))?;
                        call(none.insert(made), &event)
                    }
                }));
                let outcome = outcome.map_err(|payload| message(&*payload).to_owned());
                // A worker that is gone wants no answers.
                let _ = answers.send(Answer { call: number, outcome });
                let _ = wake.get().map(SyncActivator::activate);
            }
        });
        let thread = thread.map_err(|error| format!("a thread cannot start: {error}"))?;
        Ok(Caller { requests, thread, doing })
    }

    /// Whether another call can be made now.
    pub fn free(&self) -> bool {
        !self.idle.is_empty()
    }

    /// Makes a call, on a thread that is free.
    pub fn make(&mut self, call: u64, event: T) -> Result<(), String> {
        let Some(caller) = self.idle.pop().and_then(|at| self.threads.get_mut(at)) else {
            return Err("no thread is free".into());
        };
        caller.doing = Doing::Calling(call);
        caller.requests.try_send((call, event)).map_err(|error| format!("its thread cannot be asked: {error}"))
    }

    /// The answers that are there; those of calls that were given up are left out.
    pub fn answers(&mut self) -> Vec<Answer<U>> {
        let mut answers = Vec::new();
        for answer in self.answers.try_iter() {
            match self.threads.iter().position(|caller| caller.doing == Doing::Calling(answer.call)) {
                Some(at) => {
                    self.threads[at].doing = Doing::Waiting;
                    self.idle.push(at);
                    answers.push(answer);
                }
                None => self.hanging -= 1,
            }
        }
        answers
    }

    /// Gives a call up: its thread ends when it returns, and another takes its place.
    pub fn give_up(&mut self, call: u64) -> Result<(), String> {
        let Some(at) = self.threads.iter().position(|caller| caller.doing == Doing::Calling(call)) else {
            return Ok(());
        };
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

/// What a panic said.
fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)")
}

impl<T, U, C> Drop for Callers<T, U, C> {
    /// Ends the threads, and waits for those that wait for a call: their clients are closed when the job has ended.
    fn drop(&mut self) {
        for Caller { requests, thread, doing } in self.threads.drain(..) {
            drop(requests);
            if doing == Doing::Waiting {
                // A client's destructor may panic: it has nothing left to say.
                let _ = thread.join();
            }
        }
    }
}
