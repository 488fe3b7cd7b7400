//! A job that is begun again does not ask anew what it was answered since its last checkpoint.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tidemill::{Checkpointing, Config, Epoch, Error, Events, Record, Sink, SinkError, Start, Timing, execute};
use tidemill_enrich::{Calls, Enrich, Failure};

/// Has each epoch once, whatever becomes of the job, and breaks after some.
#[derive(Clone)]
struct Once {
    epochs: Arc<Mutex<BTreeMap<Epoch, Vec<Record<(i64, u64)>>>>>,
    breaks_after: usize,
}

impl Sink for Once {
    type Item = Record<(i64, u64)>;

    fn open(&mut self, start: &Start) -> Result<(), SinkError> {
        assert_eq!(start.exact_through, Epoch::MAX);
        Ok(())
    }

    fn write(&mut self, epoch: Epoch, items: &mut Vec<Self::Item>) -> Result<(), SinkError> {
        let mut epochs = self.epochs.lock().unwrap();
        let items = std::mem::take(items);
        let before = epochs.entry(epoch).or_insert_with(|| items.clone());
        assert_eq!(*before, items, "epoch {epoch} comes again as it was");
        if epochs.len() > self.breaks_after { Err(SinkError::new("broken")) } else { Ok(()) }
    }
}

#[test]
fn answers_come_again_as_they_were() {
    for ordered in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let (asked, epochs) = (Arc::new(AtomicU64::new(0)), Arc::default());
        let run = |workers, breaks_after| {
            let checkpoints = Checkpointing::to(folder.path().to_str().unwrap());
            let config = Config { epoch_records: 10, checkpoints: Some(checkpoints), ..Config::workers(workers) };
            let (asked, out) = (Arc::clone(&asked), Once { epochs: Arc::clone(&epochs), breaks_after });
            execute(config, move |job| {
                let events: Vec<i64> = (0..200).collect();
                let events = job.source("events", Events::new(events), Timing::by(|event: &i64| *event))?;
                let asked = Arc::clone(&asked);
                let connect = || Ok::<_, Infallible>(());
                // It never says the same twice.
                let call = move |(): &mut (), event: &i64| match event % 7 {
                    3 => Err(Failure::permanent("no")),
                    _ => Ok((*event, asked.fetch_add(1, Ordering::SeqCst))),
                };
                let calls = Calls::new(connect, call);
                let calls = if ordered { calls.ordered() } else { calls.unordered() };
                events.enrich("ask", calls)?.sink("out", out.clone())
            })
        };
        let broken = |done: Result<_, Error>| assert!(done.unwrap_err().to_string().contains("broken"));
        broken(run(1, 3));
        broken(run(2, 9));
        run(4, usize::MAX).unwrap();
        let good = (0..200).filter(|event| event % 7 != 3).count();
        assert_eq!(epochs.lock().unwrap().values().map(Vec::len).sum::<usize>(), good);
        // What was answered and not yet safe, some epochs, may be asked again.
        let asked = asked.load(Ordering::SeqCst) as usize;
        assert!(asked < 2 * good, "{asked} asked");
    }
}
