//! What must hold of any graph: the same results on any number of workers, clean ends, clear
//! failures.

mod time;

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
fn an_event_is_split_for_both_streams_one_or_none_and_keeps_its_time_and_place() {
    for workers in [1, 2, 4] {
        let outs: [Memory<_>; 2] = std::array::from_fn(|_| Memory::new());
        let to = outs.clone();
        execute(Config { epoch_records: 7, ..Config::workers(workers) }, move |job| {
            let numbers = job.source("numbers", Events::new((0..40).collect()), Timing::by(|n: &i64| *n))?;
            let (twos, threes) = numbers.split_map(|n| ((n % 2 == 0).then_some(n * 10), (n % 3 == 0).then_some(-n)));
            twos.sink("twos", to[0].clone())?;
            threes.sink("threes", to[1].clone())
        })
        .unwrap();
        let records = |out: &Memory<Record<i64>>| -> Vec<(Millis, Seq, i64)> {
            out.take().into_iter().map(|(_, record)| (record.time, record.seq, record.value)).collect()
        };
        let every = |step: i64, by: i64| -> Vec<_> {
            (0..40).step_by(step as usize).map(|n| (n, Seq::new(0, n as u64), n * by)).collect()
        };
        assert_eq!(records(&outs[0]), every(2, 10), "{workers} workers");
        assert_eq!(records(&outs[1]), every(3, -1), "{workers} workers");
    }
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
