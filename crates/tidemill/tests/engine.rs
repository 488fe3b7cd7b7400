//! What must hold of any graph: the same results on any number of workers, clean ends, clear
//! failures.

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tidemill::time::{BEGINNING, END, seconds};
use tidemill::*;

/// Emits each event of a key with how many came before it in event time, and the key's last
/// event again when it has been silent for ten seconds.
struct Sessions;

impl Process for Sessions {
    type Key = u8;
    type In = (Millis, u8);
    type Out = (u8, Millis, u32);
    type State = (u32, Option<Millis>);

    fn process(
        &self,
        key: &u8,
        (at, _): (Millis, u8),
        (count, quiet): &mut Self::State,
        ctx: &mut Context<'_, Self::Out>,
    ) -> Result<(), Reject> {
        *count += 1;
        if *key == 13 {
            return Err(Reject::new("thirteen is unlucky"));
        }
        if let Some(old) = quiet.replace(at + seconds(10)) {
            ctx.cancel_timer(old);
        }
        ctx.set_timer(at + seconds(10));
        ctx.emit((*key, at, *count));
        Ok(())
    }

    fn on_timer(&self, key: &u8, state: &mut Self::State, ctx: &mut Context<'_, Self::Out>) -> Result<(), Reject> {
        ctx.emit((*key, ctx.time(), 0));
        *state = Default::default();
        ctx.forget();
        Ok(())
    }
}

/// What `Sessions` must emit, by going through all events in order of time.
fn sessions(mut events: Vec<(Millis, u8)>) -> Vec<(u8, Millis, u32)> {
    events.sort_by_key(|(at, _)| *at); // stable: ties stay in order of arrival
    let mut out = Vec::new();
    let mut last: BTreeMap<u8, (u32, Millis)> = BTreeMap::new();
    for (at, key) in events.into_iter().filter(|(_, key)| *key != 13) {
        if let Some((_, before)) = last.get(&key).copied().filter(|(_, before)| before + seconds(10) <= at) {
            out.push((key, before + seconds(10), 0));
            last.remove(&key);
        }
        let slot = last.entry(key).or_insert((0, at));
        *slot = (slot.0 + 1, at);
        out.push((key, at, slot.0));
    }
    out.extend(last.into_iter().map(|(key, (_, at))| (key, at + seconds(10), 0)));
    out.sort();
    out
}

/// Partitions whose events are out of order by less than `disorder`.
fn partitions(disorder: Millis) -> impl Strategy<Value = Vec<Vec<(Millis, u8)>>> {
    let event = (0i64..3_000, 0..disorder, 0u8..16);
    prop::collection::vec(prop::collection::vec(event, 0..200), 1..4).prop_map(|partitions| {
        let step = |(now, events): (Millis, Vec<_>), (gap, back, key)| {
            let now = now + gap;
            (now, [events, vec![(now - back, key)]].concat())
        };
        partitions.into_iter().map(|gaps| gaps.into_iter().fold((1_000_000, vec![]), step).1).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_process_sees_event_time_on_any_number_of_workers(parts in partitions(5_000), records in 1usize..50) {
        let expected = sessions(parts.concat());
        let mut first = None;
        for workers in [1, 2, 4] {
            let (out, late) = (Memory::new(), Memory::new());
            let (sink, late_sink, input) = (out.clone(), late.clone(), Events::partitioned(parts.clone()));
            let config = Config { epoch_records: records, ..Config::workers(workers) };
            let report = execute(config, move |job| {
                let events = job.source("events", input.clone(), Timing::by(|e: &(Millis, u8)| e.0).disorder(5_000))?;
                let (out, late) = events.key_by(|e| e.1).process_late("sessions", Sessions)?;
                out.sink("out", sink.clone())?;
                late.sink("late", late_sink.clone())
            }).unwrap();
            prop_assert_eq!(late.len(), 0);
            prop_assert_eq!(report.dead(), parts.concat().iter().filter(|e| e.1 == 13).count() as u64);
            let records: Vec<Record<_>> = out.take().into_iter().map(|(_, record)| record).collect();
            let mut values: Vec<_> = records.iter().map(|r| r.value).collect();
            prop_assert_eq!(first.get_or_insert(records.clone()), &records, "{} workers", workers);
            values.sort();
            prop_assert_eq!(&values, &expected);
        }
    }
}

/// A running total per key.
struct Total;

impl Maintain for Total {
    type Key = u8;
    type In = (Millis, u8);
    type State = i64;
    type Row = (u8, i64);
    const ORDER: Order = Order::Any;

    fn update(&self, _: &u8, total: &mut i64, events: &mut Vec<Record<(Millis, u8)>>) {
        *total += events.iter().map(|r| r.value.0).sum::<i64>();
    }

    fn rows(&self, key: &u8, total: &i64, rows: &mut Vec<(u8, i64)>) {
        if *total != 0 {
            rows.push((*key, *total));
        }
    }
}

#[test]
fn rows_are_true_at_every_epoch_and_their_changes_add_up() {
    let events: Vec<(Millis, u8)> = (1..=500).map(|i| (i, (i * i % 7) as u8)).collect();
    let mut logs = Vec::new();
    for workers in [1, 2, 4] {
        let (rows, counts, changes) = (Memory::new(), Memory::new(), Memory::new());
        let (to_rows, to_counts, to_changes) = (rows.clone(), counts.clone(), changes.clone());
        let input = Events::new(events.clone());
        execute(Config { epoch_records: 7, ..Config::workers(workers) }, move |job| {
            let events = job.source("events", input.clone(), Timing::by(|e: &(Millis, u8)| e.0))?;
            let totals = events.key_by(|e| e.1).maintain("totals", Total)?;
            totals.clone().then(|t| t.map(|_| ()).count()).sink("counts", to_counts.clone())?;
            totals.clone().changes(|_| 0).sink("changes", to_changes.clone())?;
            totals.sink("rows", to_rows.clone())
        })
        .unwrap();
        let mut expected = BTreeMap::new();
        events.iter().for_each(|(at, key)| *expected.entry(*key).or_insert(0) += at);
        assert_eq!(rows.rows(), expected.iter().map(|(k, v)| ((*k, *v), 1)).collect::<Vec<_>>());
        assert_eq!(counts.rows(), [(((), expected.len() as isize), 1)]);
        let log = rows.take();
        assert!(log.windows(2).all(|w| w[0].0 <= w[1].0));
        assert!(log.iter().any(|(epoch, update)| *epoch > 5 && update.diff < 0), "old totals are retracted");
        logs.push((log, changes.values()));
    }
    assert!(logs.windows(2).all(|w| w[0] == w[1]), "the same changes in the same epochs on any number of workers");
}

#[test]
fn a_panic_is_an_error_with_the_operators_name_and_no_hang() {
    for workers in [1, 2, 4] {
        let input = Events::new((0..100_000i64).collect());
        let error = execute(Config::workers(workers), move |job| {
            let events = job.source("numbers", input.clone(), Timing::by(|n| *n))?;
            struct Explode;
            impl Process for Explode {
                type Key = i64;
                type In = i64;
                type Out = i64;
                type State = ();
                fn process(&self, _: &i64, n: i64, _: &mut (), _: &mut Context<'_, i64>) -> Result<(), Reject> {
                    assert!(n != 54_321, "cannot digest {n}");
                    Ok(())
                }
            }
            events.key_by(|n| n % 100).process("explode", Explode)?.sink("out", Memory::new())
        })
        .unwrap_err();
        let Error::Panic { operator, message, .. } = &error else { panic!("{error}") };
        assert_eq!(operator, "explode");
        assert!(message.contains("cannot digest 54321"), "{message}");
        assert_eq!(error.exit_code(), 70);
    }
}

#[test]
fn a_graph_that_panics_or_refuses_is_an_error() {
    let twice = execute(Config::workers(2), |job| {
        let numbers = |name: &str| job.source(name, Events::new(vec![1i64]), Timing::by(|n| *n));
        numbers("same")?;
        numbers("same")?.sink("out", Memory::new())
    });
    assert!(twice.unwrap_err().to_string().contains("two operators are named `same`"));
    let panics = execute(Config::workers(2), |_| panic!("not today"));
    assert!(panics.unwrap_err().to_string().contains("not today"));
    let none = execute(Config::workers(0), |_| Ok(()));
    assert_eq!(none.unwrap_err().exit_code(), 2);
    execute(Config::workers(2), |_| Ok(())).unwrap();
}

#[test]
fn refused_records_reach_the_jobs_dead_letters_and_the_rest_goes_on() {
    let (good, dead) = (Memory::new(), Memory::new());
    let (to_good, to_dead) = (good.clone(), dead.clone());
    execute(Config::workers(2), move |job| {
        job.dead_letters_to(to_dead.clone());
        let words = Events::new(["1", "two", "3"].map(str::to_owned).to_vec());
        let words = job.source("words", words, Timing::by(|_| 0))?;
        words.try_map("parse", |word| Ok(word.parse::<i32>()?))?.sink("good", to_good.clone())
    })
    .unwrap();
    assert_eq!(good.values(), [1, 3]);
    let dead = dead.values();
    assert_eq!(dead.len(), 1);
    assert_eq!((dead[0].operator.as_str(), dead[0].record.as_str()), ("parse", "\"two\""));
    assert!(dead[0].reason.contains("invalid digit"), "{}", dead[0].reason);
}

/// Waits until `condition` holds, turning the clock; fails after a minute.
fn wait(clock: &ManualClock, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "it never came");
        clock.advance(1);
        std::thread::yield_now();
    }
}

#[test]
fn a_live_job_follows_its_clock_and_an_idle_partition_frees_the_watermark() {
    for workers in [1, 2] {
        let clock = ManualClock::at(1_000_000);
        let (input, feeds) = Live::new(2, 100);
        let out = Memory::new();
        let to_out = out.clone();
        let config = Config { clock: Clock::Manual(clock.clone()), ..Config::workers(workers) };
        let job = std::thread::spawn(move || {
            execute(config, move |job| {
                let timing = Timing::by(|e: &(Millis, u8)| e.0).idle_after(500);
                let events = job.source("events", input.clone(), timing)?;
                events.key_by(|e| e.1).process("sessions", Sessions)?.sink("out", to_out.clone())
            })
        });
        feeds[0].send((5_000, 1)).unwrap();
        feeds[1].send((5_000, 2)).unwrap();
        feeds[0].send((20_000, 1)).unwrap();
        // Only the silence of the second partition, in wall time, lets the first one's session end.
        wait(&clock, || out.len() >= 3);
        let mut values = out.values();
        values.sort();
        assert_eq!(
            values,
            [(1, 5_000, 1), (1, 15_000, 0), (2, 5_000, 1)]
                .into_iter()
                .chain([(2, 15_000, 0)])
                .take(values.len())
                .collect::<Vec<_>>()
        );
        drop(feeds);
        wait(&clock, || job.is_finished());
        job.join().unwrap().unwrap();
        assert!(out.values().contains(&(1, 30_000, 0)), "the end of input is the end of time");
    }
}

#[test]
fn an_idle_source_is_not_waited_for_and_is_late_when_it_comes_back() {
    for workers in [1, 2] {
        let clock = ManualClock::at(1_000_000);
        let ((orders, to_orders), (clicks, to_clicks)) = (Live::new(1, 100), Live::new(1, 100));
        let (out, late) = (Memory::new(), Memory::new());
        let (to_out, to_late) = (out.clone(), late.clone());
        let (to_time, time) = std::sync::mpsc::channel();
        let config = Config { clock: Clock::Manual(clock.clone()), ..Config::workers(workers) };
        let job = std::thread::spawn(move || {
            execute(config, move |job| {
                to_time.send(job.explain_time()).unwrap();
                let by = || Timing::by(|e: &(Millis, u8)| e.0).idle_after(500);
                let orders = job.source("orders", orders.clone(), by())?;
                let both = orders.union(job.source("clicks", clicks.clone(), by())?);
                let both = both.map(|(time, key)| (time, key, None));
                let (out, late) = both.key_by(|e| e.1).process_late("through", Through)?;
                late.sink("late", to_late.clone())?;
                out.sink("out", to_out.clone())
            })
        });
        let time = time.recv().unwrap();
        to_orders[0].send((1_000, 1)).unwrap();
        // Far more than a minute ahead of the other source: all of them are read, for nobody waits for it.
        let to_clicks = to_clicks.into_iter().next().unwrap();
        let clicks = std::thread::spawn(move || {
            (1..=2_000).for_each(|s| to_clicks.send((s * 1_000, 2)).unwrap());
            to_clicks
        });
        wait(&clock, || out.len() == 2_000);
        let to_clicks = clicks.join().unwrap();
        assert_eq!(late.len(), 0);

        let mut last = None;
        wait(&clock, || {
            let idle = |report: &TimeReport| report.watermark_held_by.as_ref().is_some_and(|holder| holder.idle);
            last = time.explain().filter(|report| idle(report) && report.watermark == 2_000_000);
            last.is_some()
        });
        let report = last.unwrap();
        assert!(
            report.to_string().contains("at 2000000 ms, source `clicks`, partition 0, has been idle for "),
            "{report}"
        );

        // Time does not go back.
        to_orders[0].send((2_000, 1)).unwrap();
        wait(&clock, || late.len() == 1);
        drop((to_orders, to_clicks));
        wait(&clock, || job.is_finished());
        job.join().unwrap().unwrap();
        assert_eq!((out.len(), late.len()), (2_001, 1));
    }
}

#[test]
fn what_ended_beside_what_is_idle_keeps_the_time_it_reached() {
    for (sources, workers) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
        let clock = ManualClock::at(1_000_000);
        let (mut inputs, mut feeds) = (Vec::new(), Vec::new());
        for _ in 0..sources {
            let (input, feed) = Live::new(2 / sources, 100);
            inputs.push(input);
            feeds.extend(feed);
        }
        let out = Memory::new();
        let to_out = out.clone();
        let config = Config { clock: Clock::Manual(clock.clone()), ..Config::workers(workers) };
        (1..=10).for_each(|s| feeds[0].send((s * 1_000, 1)).unwrap());
        drop(feeds.remove(0));
        let job = std::thread::spawn(move || {
            execute(config, move |job| {
                let by = || Timing::by(|e: &(Millis, u8)| e.0).idle_after(500);
                let mut all = job.source("0", inputs[0].clone(), by())?;
                for (at, input) in inputs.iter().enumerate().skip(1) {
                    all = all.union(job.source(&at.to_string(), input.clone(), by())?);
                }
                let all = all.map(|(time, key)| (time, key, None));
                all.key_by(|e| e.1).process("through", Through)?.sink("out", to_out.clone())
            })
        });
        // Time is at the tenth event, so all before it are done.
        wait(&clock, || out.len() == 9);
        drop(feeds);
        wait(&clock, || job.is_finished());
        job.join().unwrap().unwrap();
        assert_eq!(out.len(), 10);
    }
}

/// So many records, none of them good.
struct Bad(u64);

impl Source for Bad {
    type Item = (Millis, u8);
    type Reader = BadReader;

    fn partitions(&self) -> std::result::Result<usize, SourceError> {
        Ok(1)
    }

    fn open(&self, _: usize, offset: u64) -> std::result::Result<BadReader, SourceError> {
        Ok(BadReader { next: offset, end: self.0 })
    }
}

struct BadReader {
    next: u64,
    end: u64,
}

impl Reader for BadReader {
    type Item = (Millis, u8);

    fn read(&mut self, limit: usize, batch: &mut Batch<Self::Item>) -> std::result::Result<ReadStatus, SourceError> {
        let end = self.end.min(self.next + limit as u64);
        (self.next..end).for_each(|line| batch.reject(format!("file:{line}"), "not a number", "x"));
        self.next = end;
        Ok(if end == self.end { ReadStatus::Done } else { ReadStatus::Ready })
    }

    fn offset(&self) -> u64 {
        self.next
    }
}

#[test]
fn bad_records_fill_an_epoch_like_good_ones() {
    let dead = Memory::new();
    let to_dead = dead.clone();
    execute(Config { epoch_records: 100, ..Config::workers(1) }, move |job| {
        job.dead_letters_to(to_dead.clone());
        job.source("bad", Bad(1_000), Timing::by(|e: &(Millis, u8)| e.0))?.for_each(|_| ());
        Ok(())
    })
    .unwrap();
    let mut epochs = BTreeMap::new();
    dead.take().into_iter().for_each(|(epoch, _)| *epochs.entry(epoch).or_insert(0) += 1);
    assert!(epochs.values().all(|&letters| letters <= 100), "{epochs:?}");
    assert_eq!(epochs.values().sum::<i32>(), 1_000);
}

#[test]
fn what_is_not_known_of_time_is_said_in_words() {
    let nothing = TimeReport {
        now: 0,
        watermark: BEGINNING,
        watermark_held_by: None,
        begun: 0,
        oldest: None,
        epoch_held_by: None,
    };
    assert_eq!(nothing.to_string(), "watermark: not known\nepochs: none has begun");
}

/// Emits how many events a key had, and when the last one was, once it has been silent for a second.
struct Silence;

impl Process for Silence {
    type Key = u8;
    type In = (Millis, u8);
    type Out = (u8, u32, Millis);
    type State = (u32, Millis);

    fn process(
        &self,
        _: &u8,
        _: (Millis, u8),
        (count, last): &mut Self::State,
        ctx: &mut Context<'_, Self::Out>,
    ) -> Result<(), Reject> {
        ctx.cancel_timer(*last + seconds(1));
        (*count, *last) = (*count + 1, ctx.time());
        ctx.set_timer(*last + seconds(1));
        Ok(())
    }

    fn on_timer(&self, key: &u8, state: &mut Self::State, ctx: &mut Context<'_, Self::Out>) -> Result<(), Reject> {
        ctx.emit((*key, state.0, state.1));
        ctx.forget();
        Ok(())
    }
}

#[test]
fn a_job_says_which_partition_and_which_operator_hold_its_time() {
    let clock = ManualClock::at(1_000_000);
    let (input, feeds) = Live::new(2, 100);
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let (to_time, time) = std::sync::mpsc::channel();
    let config = Config { clock: Clock::Manual(clock.clone()), ..Config::workers(2) };
    let job = std::thread::spawn(move || {
        execute(config, move |job| {
            to_time.send(job.explain_time()).unwrap();
            let events = job.source("payments", input.clone(), Timing::by(|e: &(Millis, u8)| e.0))?;
            events.key_by(|e| e.1).process("gatekeeper", Gatekeeper(Arc::clone(&gate)))?.sink("out", Memory::new())
        })
    });
    let time = time.recv().unwrap();
    // The first partition is at 5,000, the second has said nothing.
    feeds[0].send((5_000, 1)).unwrap();
    let held = |report: &TimeReport| report.watermark_held_by.clone().map(|holder| (holder.name, holder.partition));
    wait(&clock, || {
        clock.advance(100);
        let report = time.explain();
        report
            .is_some_and(|report| report.watermark == BEGINNING && held(&report) == Some(("payments".into(), Some(1))))
    });
    // Now the first one holds it, and the operator does not come back from the event it takes.
    feeds[1].send((9_000, 1)).unwrap();
    wait(&clock, || time.explain().is_some_and(|report| held(&report) == Some(("payments".into(), Some(0)))));
    feeds[0].send((9_000, 1)).unwrap();
    let mut last = None;
    wait(&clock, || {
        let held = |holder: &Holder| holder.name == "gatekeeper" && holder.worker.is_some();
        last = time.explain().filter(|report| report.epoch_held_by.as_ref().is_some_and(held));
        last.is_some()
    });
    let report = last.unwrap();
    assert!(report.epoch_held_by.as_ref().unwrap().since >= 1_000_000, "{report}");
    assert!(report.to_string().contains("by `gatekeeper` on worker "), "{report}");
    drop(go);
    drop(feeds);
    wait(&clock, || job.is_finished());
    job.join().unwrap().unwrap();
    assert_eq!(time.explain(), None);
}

/// Keeps its first event until the other end of the channel is gone.
struct Gatekeeper(Arc<Mutex<std::sync::mpsc::Receiver<()>>>);

impl Process for Gatekeeper {
    type Key = u8;
    type In = (Millis, u8);
    type Out = (Millis, u8);
    type State = ();

    fn process(
        &self,
        _: &u8,
        event: (Millis, u8),
        _: &mut (),
        ctx: &mut Context<'_, (Millis, u8)>,
    ) -> Result<(), Reject> {
        let _ = self.0.lock().unwrap().recv();
        ctx.emit(event);
        Ok(())
    }
}

#[test]
fn a_graph_can_be_looked_at() {
    let plans = Arc::new(Mutex::new(Vec::new()));
    let to_plans = Arc::clone(&plans);
    execute(Config::workers(2), move |job| {
        let timing = || Timing::by(|e: &(Millis, u8)| e.0);
        let one = job.source("one", Events::new(vec![(1, 1)]), timing())?;
        let both = one.union(job.source("\"two\"", Events::new(vec![(2, 2)]), timing())?.map(|e| e));
        both.clone().key_by(|e| e.1).process("sessions", Sessions)?.sink("out", Memory::new())?;
        both.key_by(|e| e.1).maintain("counts", Total)?.filter(|row| row.1 > 1).sink("rows out", Memory::new())?;
        to_plans.lock().unwrap().push(job.explain());
        Ok(())
    })
    .unwrap();
    let plans = plans.lock().unwrap();
    assert_eq!(plans[0], plans[1], "the same on every worker");
    let text = "  0  one: source
  1  \"two\": source
  2  map  of 1
  3  union  of 0, 2
  4  sessions: process Sessions  of 3  (by u8, state (u32, Option<i64>))
  5  out: sink  of 4
  6  counts: maintain Total  of 3  (by u8, state i64, rows (u8, i64))
  7  filter  of 6  (rows (u8, i64))
  8  rows out: sink  of 7
";
    assert_eq!(plans[0].to_string(), text);
    let graphviz = plans[0].graphviz();
    assert!(
        graphviz.starts_with("digraph job {") && graphviz.contains("n1 [label=\"&quot;two&quot;: source\""),
        "{graphviz}"
    );
    let mermaid = plans[0].mermaid();
    assert!(
        mermaid.contains("    n6[[\"counts: maintain Total<br/>by u8<br/>state i64<br/>rows (u8, i64)\"]]"),
        "{mermaid}"
    );
    assert_eq!(mermaid.matches(" --> ").count(), 8);
}

#[test]
fn a_punctuated_source_says_itself_how_far_it_is() {
    // Time, key, and sometimes a watermark.
    let event = |time, watermark| (time, 1u8, watermark);
    let events = vec![
        event(5_000, None),
        event(9_000, None),
        event(1_000, None), // nothing has been promised yet
        event(9_500, Some(6_000)),
        event(6_000, None),         // as promised
        event(5_999, None),         // and this is late
        event(20_000, Some(3_000)), // a watermark never goes back
        event(5_500, None),
    ];
    for workers in [1, 2] {
        let (out, late) = (Memory::new(), Memory::new());
        let (to_out, to_late, events) = (out.clone(), late.clone(), events.clone());
        execute(Config { epoch_records: 1, ..Config::workers(workers) }, move |job| {
            let timing = Timing::by(|e: &(Millis, u8, Option<Millis>)| e.0).punctuated(|e| e.2);
            let events = job.source("events", Events::new(events.clone()), timing)?;
            let (through, late) = events.key_by(|e| e.1).process_late("through", Through)?;
            through.sink("out", to_out.clone())?;
            late.map(|e| e.0).sink("late", to_late.clone())
        })
        .unwrap();
        assert_eq!(out.values(), [1_000, 5_000, 6_000, 9_000, 9_500, 20_000]);
        assert_eq!(late.values(), [5_999, 5_500]);
    }
}

/// Lets the times of events through, in order.
struct Through;

impl Process for Through {
    type Key = u8;
    type In = (Millis, u8, Option<Millis>);
    type Out = Millis;
    type State = ();

    fn process(&self, _: &u8, event: Self::In, _: &mut (), ctx: &mut Context<'_, Millis>) -> Result<(), Reject> {
        ctx.emit(event.0);
        Ok(())
    }
}

#[test]
fn in_processing_time_the_clock_fires_timers_and_nothing_is_late() {
    for workers in [1, 2] {
        let start = 1_000_000;
        let clock = ManualClock::at(start);
        let (input, feeds) = Live::new(1, 100);
        let out = Memory::new();
        let to_out = out.clone();
        let config = Config { clock: Clock::Manual(clock.clone()), ..Config::workers(workers) };
        let job = std::thread::spawn(move || {
            execute(config, move |job| {
                let events = job.source("events", input.clone(), Timing::by(|e: &(Millis, u8)| e.0))?;
                let events = events.in_processing_time().key_by(|e| e.1);
                events.process("silence", Silence)?.sink("out", to_out.clone())
            })
        });
        // By their own times the second one is late, and the watermark stands still after it.
        for event in [(9_000_000, 1), (5_000, 1), (7_000, 2)] {
            feeds[0].send(event).unwrap();
        }
        wait(&clock, || out.len() == 2);
        let mut seen = out.values();
        seen.sort();
        assert_eq!(seen.iter().map(|(key, count, _)| (*key, *count)).collect::<Vec<_>>(), [(1, 2), (2, 1)]);
        assert!(
            seen.iter().all(|(_, _, last)| *last >= start && last + seconds(1) <= Clock::Manual(clock.clone()).now()),
            "{seen:?}"
        );
        feeds[0].send((1, 3)).unwrap();
        drop(feeds);
        wait(&clock, || job.is_finished());
        let report = job.join().unwrap().unwrap();
        assert_eq!(
            (out.len(), report.operator("silence").map(|o| o.late)),
            (1, Some(0)),
            "the third key's, at the end"
        );
    }
}

#[test]
fn sources_are_aligned_so_that_waiting_records_stay_few() {
    // The second partition is all later than the first: unaligned, it would pile up behind it.
    let half = |from: i64| (from..from + 50_000).map(|i| (i * 100, (i % 5) as u8)).collect::<Vec<_>>();
    let input = Events::partitioned(vec![half(0), half(50_000)]);
    let out = Memory::new();
    let to_out = out.clone();
    execute(Config { epoch_records: 500, ..Config::workers(2) }, move |job| {
        let events = job.source("events", input.clone(), Timing::by(|e: &(Millis, u8)| e.0))?;
        // Records come out in the epoch they were read, so the sink sees how reading went.
        events.sink("out", to_out.clone())
    })
    .unwrap();
    let log = out.take();
    let behind = log.iter().filter(|(_, r)| r.time < 5_000_000).map(|(epoch, _)| *epoch).max().unwrap();
    let early = log.iter().filter(|(epoch, r)| r.time >= 5_000_000 && *epoch <= behind).count();
    assert!(early <= 20 * 500, "{early} records were read far ahead of the watermark");
    assert_eq!(log.len(), 100_000);
}

#[test]
fn a_union_waits_for_the_slower_stream() {
    let out = Memory::new();
    let to_out = out.clone();
    execute(Config { epoch_records: 1, ..Config::workers(2) }, move |job| {
        let by = || Timing::by(|e: &(Millis, u8)| e.0);
        let fast = job.source("fast", Events::new(vec![(1_000, 1u8), (100_000, 1)]), by())?;
        let slow = job.source("slow", Events::new((0..50).map(|i| (i * 100, 1u8)).collect()), by())?;
        let (out, late) = fast.union(slow).key_by(|e| e.1).process_late("sessions", Sessions)?;
        late.inspect(|record| panic!("late: {record:?}")).for_each(|_| ());
        out.sink("out", to_out.clone())
    })
    .unwrap();
    let counts: Vec<u32> = out.values().iter().map(|v| v.2).collect();
    assert_eq!(counts.iter().max(), Some(&51), "one session of all but the last event");
}

#[test]
fn late_events_are_those_behind_the_watermark_at_the_start_of_their_epoch() {
    let mut harness = harness::Harness::process(2, |e: &(Millis, u8)| e.1, || Sessions);
    harness.watermark(50_000);
    harness.push(49_999, (49_999, 1));
    harness.push(50_000, (50_000, 1));
    harness.watermark(70_000);
    assert_eq!(harness.late(), [(49_999, 1)]);
    assert_eq!(harness.out(), [(1, 50_000, 1), (1, 60_000, 0)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_restore_in_the_middle_changes_nothing(
        parts in partitions(1), cut in 0usize..200, before in 1usize..5, after in 1usize..5
    ) {
        let mut events = parts.concat();
        events.sort();
        let mut harness = harness::Harness::process(before, |e: &(Millis, u8)| e.1, || Sessions);
        let mut out = Vec::new();
        for (i, event) in events.iter().enumerate() {
            harness.push(event.0, *event);
            if i % 3 == 0 {
                harness.watermark(event.0);
            }
            if i == cut {
                out.extend(harness.out());
                harness.close_epoch();
                out.extend(harness.out());
                harness.restore(after).unwrap();
            }
        }
        harness.watermark(END);
        out.extend(harness.out());
        out.sort();
        prop_assert_eq!(out, sessions(events));
    }
}

#[test]
fn what_has_no_state_does_the_same_on_any_number_of_workers() {
    let numbers: Vec<i64> = (0..1_000).collect();
    let third = |n: &i64| n % 3 == 0;
    let mut threes = vec![];
    let mut others = vec![];
    for n in &numbers {
        if third(n) {
            threes.push(n * 10)
        } else {
            others.extend((n % 2 == 0).then_some([-n, -n - 1]).into_iter().flatten())
        }
    }
    let mut all: Vec<i64> = threes.iter().chain(&others).copied().collect();
    all.sort();
    for workers in [1, 2, 4] {
        let outs: [Memory<_>; 3] = std::array::from_fn(|_| Memory::new());
        let to = outs.clone();
        let input = Events::new(numbers.clone());
        execute(Config { epoch_records: 7, ..Config::workers(workers) }, move |job| {
            let numbers = job.source("numbers", input.clone(), Timing::by(|n: &i64| *n))?;
            let (threes, others) = numbers.branch(third);
            let threes = threes.map(|n| n * 10);
            let others = others.filter_map(|n| (n % 2 == 0).then_some(-n)).flat_map(|n| [n, n - 1]);
            threes.clone().union(others.clone()).sink("all", to[0].clone())?;
            threes.sink("threes", to[1].clone())?;
            others.sink("others", to[2].clone())
        })
        .unwrap();
        let mut both = outs[0].values();
        both.sort();
        assert_eq!(both, all);
        assert_eq!((outs[1].values(), outs[2].values()), (threes.clone(), others.clone()), "{workers} workers");
    }
}

#[test]
fn event_time_needs_a_source_with_a_watermark() {
    let build = |beside: bool| {
        execute(Config::workers(2), move |job| {
            let by = || Timing::by(|e: &(Millis, u8, Option<Millis>)| e.0);
            let mut all = job.source("rules", Events::new(vec![(0, 1, None)]), by().control())?.filter(|_| true);
            if beside {
                all = all.union(job.source("events", Events::new(vec![(0, 1, None)]), by())?);
            }
            all.key_by(|e| e.1).process("through", Through)?.for_each(|_| ());
            Ok(())
        })
    };
    assert!(build(true).is_ok());
    let error = build(false).unwrap_err().to_string();
    assert!(error.contains("`through`") && error.contains("control sources only"), "{error}");
}

#[test]
fn a_raw_operator_can_be_shown_with_all_that_it_reads() {
    execute(Config::workers(1), |job| {
        let source = |name| job.source(name, Events::new(vec![0]), Timing::by(|e: &Millis| *e));
        let (events, rules) = (source("events")?, source("rules")?);
        let both = Stream::from_inner(events.inner(), &events).named("apply", "rules").also_of(&rules).also_of(&events);
        assert_eq!(job.explain().nodes().last().unwrap().inputs, [0, 1]);
        both.for_each(|_| ());
        Ok(())
    })
    .unwrap();
}
