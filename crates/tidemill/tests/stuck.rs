//! What a job that stands still says of itself in the log. A program of its own: whether a line is logged at all is
//! decided once a process, by whoever comes first.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tidemill::*;

/// Waits until `condition` holds, turning the clock; fails after a minute.
fn wait(clock: &ManualClock, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "it never came");
        clock.advance(1);
        std::thread::yield_now();
    }
}

/// Takes what a log writes.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Calls back for what it is to write.
struct Calls<F>(F);

impl<F: FnMut() + 'static> Sink for Calls<F> {
    type Item = Record<(Millis, u8)>;

    fn write(&mut self, _: Epoch, _: &mut Vec<Self::Item>) -> std::result::Result<(), SinkError> {
        (self.0)();
        Ok(())
    }
}

#[test]
fn a_job_whose_only_worker_hangs_logs_which_operator_it_is_in() {
    use timely::dataflow::operators::vec::Map;
    for (operator, name) in
        [("filter", "filter"), ("try_map", "parse"), ("sink", "out"), ("time", "events"), ("raw", "(raw code)")]
    {
        let clock = ManualClock::at(1_000_000);
        let (to_entered, entered) = std::sync::mpsc::channel();
        let (go, gate) = std::sync::mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let config = Config { clock: Clock::Manual(clock.clone()), ..Config::workers(1) };
        let log = Log::default();
        let to_log = log.clone();
        let (to_time, time) = std::sync::mpsc::channel();
        let job = std::thread::spawn(move || {
            let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || to_log.clone()).finish();
            tracing::subscriber::with_default(log, || {
                execute(config, move |job| {
                    to_time.send(job.explain_time()).unwrap();
                    let (gate, to_entered) = (Arc::clone(&gate), to_entered.clone());
                    let hang = move || {
                        // Nobody listens any more once the first has come.
                        let _ = to_entered.send(());
                        let _ = gate.lock().unwrap().recv();
                    };
                    let time = hang.clone();
                    let timing = Timing::by(move |e: &(Millis, u8)| {
                        if operator == "time" {
                            time();
                        }
                        e.0
                    });
                    let events = job.source("events", Events::new(vec![(0, 0u8)]), timing)?;
                    match operator {
                        "filter" => events.filter(move |_| (hang(), true).1).for_each(|_| ()),
                        "try_map" => events.try_map("parse", move |_| Ok::<_, Reject>((hang(), 0).1))?.for_each(|_| ()),
                        "sink" => events.sink("out", Calls(hang))?,
                        "raw" => {
                            let raw = events.inner().map(move |record| (hang(), record).1);
                            Stream::from_inner(raw, &events).for_each(|_| ());
                        }
                        _ => events.for_each(|_| ()),
                    }
                    Ok(())
                })
            })
        });
        let time = time.recv().unwrap();
        entered.recv_timeout(Duration::from_secs(60)).unwrap();
        assert!(time.explain().is_some(), "a job that runs can say something, even in its first step");
        wait(&clock, || log.text().contains("time is stuck"));
        let held = format!("s by `{name}` on worker 0");
        let line = log.text().lines().find(|line| line.starts_with("epochs: 1 of")).unwrap_or_default().to_owned();
        assert!(line.contains("is not done, held for ") && line.ends_with(&held), "{operator}: {}", log.text());
        drop((go, entered));
        job.join().unwrap().unwrap();
        assert_eq!(time.explain(), None);
    }
}
