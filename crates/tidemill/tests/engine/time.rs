//! Event time in whole jobs: clocks, idle and late sources, alignment, and why time stands still.

use super::*;

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
