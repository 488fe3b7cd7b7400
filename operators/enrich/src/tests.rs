use crate::{Calls, Enrich, Failure};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use tidemill::{Clock, Config, DeadLetter, Error, Events, ManualClock, Memory, Timing, execute};

/// Time and number.
type Event = (i64, u32);

fn timing() -> Timing<Event, fn(&Event) -> i64> {
    Timing::by(|event| event.0)
}

fn no_client() -> Result<(), Infallible> {
    Ok(())
}

/// What is happening, for those who wait for it: a test that would hang panics instead.
#[derive(Clone, Default)]
struct Log(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Log {
    fn add(&self, what: impl Into<String>) {
        self.0.0.lock().unwrap().push(what.into());
        self.0.1.notify_all();
    }

    fn wait_for(&self, what: &str, times: usize) {
        let entries = self.0.0.lock().unwrap();
        let missing = |entries: &mut Vec<String>| entries.iter().filter(|entry| *entry == what).count() < times;
        let (entries, outcome) = self.0.1.wait_timeout_while(entries, Duration::from_secs(30), missing).unwrap();
        assert!(!outcome.timed_out(), "waited for {what:?} {times} times, and there is {entries:?}");
    }

    fn get(&self) -> Vec<String> {
        self.0.0.lock().unwrap().clone()
    }
}

/// Doors that calls wait at, by number of the event.
#[derive(Clone)]
struct Doors(Arc<BTreeMap<u32, Mutex<Receiver<()>>>>);

impl Doors {
    fn new(numbers: impl IntoIterator<Item = u32>) -> (Self, BTreeMap<u32, Sender<()>>) {
        let doors: Vec<_> = numbers.into_iter().map(|number| (number, channel())).collect();
        let (mut inside, mut outside) = (BTreeMap::new(), BTreeMap::new());
        for (number, (sender, receiver)) in doors {
            inside.insert(number, Mutex::new(receiver));
            outside.insert(number, sender);
        }
        (Doors(Arc::new(inside)), outside)
    }

    /// Waits until the door opens, or the test is over.
    fn pass(&self, number: u32) {
        if let Some(door) = self.0.get(&number) {
            let _ = door.lock().unwrap().recv();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn every_event_has_its_answer_or_a_dead_letter(
        parts in prop::collection::vec(prop::collection::vec((0i64..500, 0u32..100), 0..60), 1..4),
        epoch_records in 1usize..30, threads in 1usize..4, retries in 0u32..3, ordered: bool, fallback: bool,
    ) {
        let mut first = None;
        for workers in [1, 2, 4] {
            let (out, dead) = (Memory::new(), Memory::<tidemill::Record<DeadLetter>>::new());
            let (to_out, to_dead, input) = (out.clone(), dead.clone(), Events::partitioned(parts.clone()));
            execute(Config { epoch_records, ..Config::workers(workers) }, move |job| {
                job.dead_letters_to(to_dead.clone());
                let tries = Mutex::new(BTreeMap::<Event, u32>::new());
                let calls = Calls::new(no_client, move |(), event: &Event| {
                    let mut tries = tries.lock().unwrap();
                    let tries = tries.entry(*event).or_default();
                    *tries += 1;
                    match event.1 % 4 {
                        0 => Err(Failure::permanent("never")),
                        1 if *tries < 3 => Err(Failure::transient("busy")),
                        _ => Ok((*event, event.1 * 2)),
                    }
                });
                let calls = calls.threads(threads).retries(retries, 0);
                let calls = if ordered { calls.ordered() } else { calls.unordered() };
                let calls = if fallback { calls.otherwise(|event, _| Some((*event, 0))) } else { calls };
                let events = job.source("events", input.clone(), timing().disorder(1_000))?;
                events.enrich("double", calls)?.sink("out", to_out.clone())
            }).unwrap();
            // The same event twice shares its tries, so which of the two fails is open: look at different ones only.
            let all: Vec<Event> = parts.concat();
            let once: BTreeSet<Event> = all.iter().filter(|a| all.iter().filter(|b| a == b).count() == 1).copied().collect();
            let fails = |event: &Event| matches!((event.1 % 4, retries), (0, _) | (1, 0 | 1));
            let mut answers: Vec<(Event, u32)> = out.values().into_iter().filter(|(event, _)| once.contains(event)).collect();
            let given = answers.clone();
            answers.sort();
            let good = once.iter().filter(|event| fallback || !fails(event));
            let expected: Vec<_> = good.map(|event| (*event, if fails(event) { 0 } else { event.1 * 2 })).collect();
            prop_assert_eq!(answers, expected);
            let letters: BTreeSet<String> = dead.values().into_iter().map(|letter| letter.record).collect();
            let refused = once.iter().filter(|event| !fallback && fails(event)).map(|(time, n)| format!("[{time},{n}]"));
            for letter in refused {
                prop_assert!(letters.contains(&letter), "{} is lost", letter);
            }
            prop_assert_eq!(first.get_or_insert(given.clone()), &given, "{} workers", workers);
        }
    }
}

/// Two events, of which the first is answered when the second has left or at last; returns what happened.
fn two_events(ordered: bool) -> Vec<String> {
    let (doors, mut open) = Doors::new([1, 2]);
    let log = Log::default();
    let (to_log, called) = (log.clone(), log.clone());
    let calls = move || {
        let (doors, called) = (doors.clone(), called.clone());
        let calls = Calls::new(no_client, move |(), event: &Event| {
            doors.pass(event.1);
            called.add(format!("answered {}", event.1));
            Ok(event.1)
        });
        if ordered { calls.ordered() } else { calls.unordered() }
    };
    let job = std::thread::spawn(move || {
        execute(Config { epoch_records: 1, ..Config::workers(1) }, move |job| {
            let events = job.source("events", Events::new(vec![(1, 1), (2, 2)]), timing())?;
            let to_log = to_log.clone();
            events.enrich("calls", calls())?.for_each(move |record| to_log.add(format!("given {}", record.value)));
            Ok(())
        })
    });
    open.remove(&2);
    log.wait_for("answered 2", 1);
    if !ordered {
        log.wait_for("given 2", 1);
    }
    open.remove(&1);
    job.join().unwrap().unwrap();
    log.get()
}

#[test]
fn ordered_answers_wait_for_those_before_them() {
    assert_eq!(two_events(true), ["answered 2", "answered 1", "given 1", "given 2"]);
}

#[test]
fn unordered_answers_go_on_as_they_come() {
    assert_eq!(two_events(false), ["answered 2", "given 2", "answered 1", "given 1"]);
}

#[test]
fn a_call_that_hangs_is_given_up_and_holds_nothing_up() {
    let clock = ManualClock::at(0);
    let (doors, open) = Doors::new([1]);
    let log = Log::default();
    let (out, dead) = (Memory::new(), Memory::<tidemill::Record<DeadLetter>>::new());
    let (to_out, to_dead, called) = (out.clone(), dead.clone(), log.clone());
    let config = Config { clock: Clock::Manual(clock.clone()), ..Config::workers(1) };
    let job = std::thread::spawn(move || {
        execute(config, move |job| {
            job.dead_letters_to(to_dead.clone());
            let (doors, called) = (doors.clone(), called.clone());
            let calls = Calls::new(no_client, move |(), event: &Event| {
                called.add(format!("call {}", event.1));
                doors.pass(event.1);
                Ok(event.1)
            });
            let events = job.source("events", Events::new(vec![(1, 1), (2, 2), (3, 3)]), timing())?;
            events.enrich("calls", calls.threads(1).timeout(50).retries(1, 10))?.sink("out", to_out.clone())
        })
    });
    log.wait_for("call 1", 1);
    clock.advance(50);
    // One thread, and it hangs: another one goes on with the rest.
    log.wait_for("call 3", 1);
    clock.advance(10);
    log.wait_for("call 1", 2);
    clock.advance(50);
    let report = job.join().unwrap().unwrap();
    drop(open);
    assert_eq!(out.values(), [2, 3]);
    let letters = dead.values();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].reason, "no answer within 50 ms, after 2 tries");
    assert_eq!((letters[0].operator.as_str(), letters[0].record.as_str()), ("calls", "[1,1]"));
    assert_eq!(
        report.operator("calls").map(|calls| (calls.records_in, calls.records_out, calls.dead)),
        Some((3, 2, 1))
    );
}

/// A client that says when it is gone: its thread has then sent its last answer.
struct Client(Log);

impl Drop for Client {
    fn drop(&mut self) {
        self.0.add("client closed");
    }
}

/// The first try of each event is given up, and its answer comes while a second try is under way.
#[test]
fn a_late_answer_of_a_call_that_was_given_up_is_not_taken_for_that_of_the_next_try() {
    let clock = ManualClock::at(0);
    // The first try of event `n` waits at door `n`, the second one at `n + 10`.
    let (doors, mut open) = Doors::new([1, 2, 3, 11, 12, 13]);
    let (log, out) = (Log::default(), Memory::new());
    let (called, to_out) = (log.clone(), out.clone());
    let config = Config { clock: Clock::Manual(clock.clone()), ..Config::workers(1) };
    let job = std::thread::spawn(move || {
        execute(config, move |job| {
            let (doors, called, clients) = (doors.clone(), called.clone(), called.clone());
            let tries = Mutex::new(BTreeMap::<u32, u32>::new());
            let connect = move || Ok::<_, Infallible>(Client(clients.clone()));
            let calls = Calls::new(connect, move |_: &mut Client, event: &Event| {
                let nth = *tries.lock().unwrap().entry(event.1).and_modify(|nth| *nth += 1).or_insert(1);
                called.add(format!("try {nth} of {}", event.1));
                doors.pass(event.1 + (nth - 1) * 10);
                Ok((event.1, nth))
            });
            let events = job.source("events", Events::new(vec![(1, 1), (2, 2), (3, 3)]), timing())?;
            events.enrich("calls", calls.threads(1).timeout(50).retries(1, 0))?.sink("out", to_out.clone())
        })
    });
    for number in 1..=3 {
        log.wait_for(&format!("try 1 of {number}"), 1);
        clock.advance(50);
    }
    log.wait_for("try 2 of 1", 1);
    for number in 1..=3 {
        open.remove(&number);
        log.wait_for("client closed", number as usize);
    }
    drop(open);
    job.join().unwrap().unwrap();
    assert_eq!(out.values(), [(1, 2), (2, 2), (3, 2)]);
}

#[test]
fn a_retry_that_hangs_does_not_hold_up_the_end_once_the_first_try_answers() {
    let clock = ManualClock::at(0);
    let (doors, mut open) = Doors::new([1, 2]);
    let (log, out, dead) = (Log::default(), Memory::new(), Memory::<tidemill::Record<DeadLetter>>::new());
    let (called, to_out, to_dead) = (log.clone(), out.clone(), dead.clone());
    let (config, ended) = (Config { clock: Clock::Manual(clock.clone()), ..Config::workers(1) }, log.clone());
    let job = std::thread::spawn(move || {
        let outcome = execute(config, move |job| {
            job.dead_letters_to(to_dead.clone());
            let (doors, called, clients) = (doors.clone(), called.clone(), called.clone());
            let tries = AtomicUsize::new(0);
            let connect = move || Ok::<_, Infallible>(Client(clients.clone()));
            let calls = Calls::new(connect, move |_: &mut Client, event: &Event| {
                let nth = tries.fetch_add(1, Ordering::SeqCst) + 1;
                called.add(format!("try {nth}"));
                doors.pass(nth as u32);
                Ok(event.1)
            });
            let events = job.source("events", Events::new(vec![(1, 1)]), timing())?;
            events.enrich("calls", calls.threads(1).timeout(50).retries(1, 0))?.sink("out", to_out.clone())
        });
        ended.add("job ended");
        outcome
    });
    log.wait_for("try 1", 1);
    clock.advance(50);
    log.wait_for("try 2", 1);
    open.remove(&1);
    log.wait_for("client closed", 1);
    clock.advance(50);
    log.wait_for("job ended", 1);
    job.join().unwrap().unwrap();
    drop(open);
    assert_eq!((out.len(), dead.len()), (0, 1));
}

#[test]
fn a_client_that_is_refused_stops_the_job_while_another_connects() {
    for panics in [false, true] {
        let (doors, open) = Doors::new([1]);
        let (log, connecting) = (Log::default(), AtomicUsize::new(0));
        let (ended, connecting) = (log.clone(), Arc::new(connecting));
        let job = std::thread::spawn(move || {
            let outcome = execute(Config::workers(1), move |job| {
                let (doors, connecting) = (doors.clone(), connecting.clone());
                let connect = move || match connecting.fetch_add(1, Ordering::SeqCst) {
                    0 if panics => panic!("no route"),
                    0 => Err("refused"),
                    _ => {
                        doors.pass(1);
                        Ok(())
                    }
                };
                let events = job.source("events", Events::new(vec![(1, 1)]), timing())?;
                events.enrich("calls", Calls::new(connect, |(), _| Ok(1)))?.sink("out", Memory::new())
            });
            ended.add("job ended");
            outcome
        });
        log.wait_for("job ended", 1);
        drop(open);
        let error = job.join().unwrap().unwrap_err().to_string();
        let reason = if panics { "it panicked: no route" } else { "refused" };
        assert!(error.contains(&format!("no client can be had: {reason}; nothing was read")), "{error}");
    }
}

#[test]
fn a_service_whose_every_call_hangs_stops_the_job() {
    let clock = ManualClock::at(0);
    let (doors, open) = Doors::new(0..100);
    let log = Log::default();
    let called = log.clone();
    let config = Config { clock: Clock::Manual(clock.clone()), ..Config::workers(1) };
    let job = std::thread::spawn(move || {
        execute(config, move |job| {
            let (doors, called) = (doors.clone(), called.clone());
            let calls = Calls::new(no_client, move |(), event: &Event| {
                called.add("call");
                doors.pass(event.1);
                Ok(event.1)
            });
            let events = job.source("events", Events::new((0..100).map(|n| (1, n)).collect()), timing())?;
            events.enrich("calls", calls.threads(2).timeout(50))?.sink("out", Memory::new())
        })
    });
    for hanging in 1..=17 {
        log.wait_for("call", 2 * hanging);
        clock.advance(50);
    }
    let error = job.join().unwrap().unwrap_err().to_string();
    drop(open);
    assert!(error.contains("operator `calls` stopped the job: 32 calls have not returned"), "{error}");
}

#[test]
fn no_more_calls_are_made_at_once_than_there_are_threads() {
    let running = Arc::new(Mutex::new((0, 0)));
    let seen = Arc::clone(&running);
    execute(Config::workers(2), move |job| {
        let running = Arc::clone(&running);
        let calls = Calls::new(no_client, move |(), event: &Event| {
            let mut now = running.lock().unwrap();
            now.0 += 1;
            now.1 = now.1.max(now.0);
            drop(now);
            std::thread::yield_now();
            running.lock().unwrap().0 -= 1;
            Ok(event.1)
        });
        let events = Events::partitioned((0..2).map(|part| (0..500).map(|n| (n, part)).collect()).collect());
        let events = job.source("events", events, timing())?;
        events.enrich("calls", calls.threads(3))?.sink("out", Memory::new())
    })
    .unwrap();
    assert!((1..=6).contains(&seen.lock().unwrap().1), "{seen:?}");
}

#[test]
fn a_slow_service_slows_the_source() {
    let (read, answered, furthest) =
        (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let (count, ahead, answered) = (Arc::clone(&read), Arc::clone(&furthest), Arc::new(answered));
    execute(Config { epoch_records: 10, ..Config::workers(1) }, move |job| {
        let (counted, read, answered, ahead) = (count.clone(), count.clone(), answered.clone(), ahead.clone());
        let calls = Calls::new(no_client, move |(), event: &Event| {
            let now = answered.fetch_add(1, Ordering::SeqCst);
            ahead.fetch_max(read.load(Ordering::SeqCst) - now, Ordering::SeqCst);
            Ok(event.1)
        });
        let events = Events::new((0..10_000).map(|n| (n, n as u32)).collect());
        let events = job.source("events", events, timing())?;
        let events = events.inspect(move |_| _ = counted.fetch_add(1, Ordering::SeqCst));
        events.enrich("calls", calls.threads(1))?.sink("out", Memory::new())
    })
    .unwrap();
    assert_eq!(read.load(Ordering::SeqCst), 10_000);
    // Epochs of ten, of which nine may be under way: reading alone would have been thousands ahead of calls.
    assert!(furthest.load(Ordering::SeqCst) <= 90, "{furthest:?}");
}

#[test]
fn what_breaks_stops_the_job_with_a_reason() {
    let run = |calls: fn() -> Calls<Event, u32, ()>| {
        let outcome = execute(Config::workers(2), move |job| {
            let events = job.source("events", Events::new(vec![(1, 1), (2, 2)]), timing())?;
            events.enrich("calls", calls())?.sink("out", Memory::new())
        });
        outcome.map(drop).unwrap_err()
    };
    let error = run(|| Calls::new(no_client, |(), _| panic!("no such key")));
    assert!(
        matches!(&error, Error::Operator { operator, reason } if operator == "calls" && reason.contains("no such key")),
        "{error}"
    );
    let error = run(|| Calls::new(|| Err("connection refused"), |(), _| Ok(1)));
    let expected = "no client can be had: connection refused; nothing was read";
    assert!(matches!(&error, Error::Operator { reason, .. } if reason.contains(expected)), "{error}");
    let error = run(|| Calls::new(no_client, |(), _| Ok(1)).threads(0));
    assert!(matches!(&error, Error::Graph(text) if text.contains("0 threads")), "{error}");
    let error = run(|| Calls::new(no_client, |(), _| Ok(1)).timeout(0));
    assert!(matches!(&error, Error::Graph(text) if text.contains("0 ms")), "{error}");
}
