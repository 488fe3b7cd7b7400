//! A job that is begun again does not ask its model anew about what was scored since its last checkpoint.

mod common;

use common::{Toy, config};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tidemill::{Checkpointing, Config, Epoch, Error, Events, Sink, SinkError, Start, Timing, execute};
use tidemill_inference::{Infer, Pool};
use tidemill_rank::Ranks;

/// Has each epoch once, whatever becomes of the job, and breaks after some.
struct Once<T> {
    epochs: Arc<Mutex<BTreeMap<Epoch, Vec<T>>>>,
    breaks_after: usize,
}

impl<T: Clone + PartialEq + Debug + 'static> Sink for Once<T> {
    type Item = T;

    fn open(&mut self, _: &Start) -> Result<(), SinkError> {
        Ok(())
    }

    fn write(&mut self, epoch: Epoch, items: &mut Vec<T>) -> Result<(), SinkError> {
        let mut epochs = self.epochs.lock().unwrap();
        let items = std::mem::take(items);
        let before = epochs.entry(epoch).or_insert_with(|| items.clone());
        assert_eq!(*before, items, "epoch {epoch} comes again as it was");
        if epochs.len() > self.breaks_after { Err(SinkError::new("broken")) } else { Ok(()) }
    }
}

#[test]
fn scores_come_again_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let (scored, latest) = (Arc::default(), Arc::default());
    let asked = Arc::new(AtomicU64::new(0));
    let run = |workers, breaks_after| {
        let checkpoints = Checkpointing::to(folder.path().to_str().unwrap());
        let settings = Config { epoch_records: 10, checkpoints: Some(checkpoints), ..Config::workers(workers) };
        let (scored, latest) = (Arc::clone(&scored), Arc::clone(&latest));
        let asked = Arc::clone(&asked);
        // It never says the same twice.
        let answer = move |rows: &[i64]| {
            let first = asked.fetch_add(rows.len() as u64, Ordering::SeqCst);
            Ok((first..).take(rows.len()).map(|n| n as f32).collect())
        };
        let pool = Pool::new(config(4, 1), move || Ok(Toy::new(answer.clone())));
        execute(settings, move |job| {
            let events: Vec<i64> = (0..200).collect();
            let events = job.source("events", Events::new(events), Timing::by(|event: &i64| *event))?;
            let of_events = events.clone().infer("events scored", &pool, |event| *event)?;
            of_events.sink("scored", Once { epochs: Arc::clone(&scored), breaks_after })?;
            let latest_of = events.key_by(|event| event % 17).latest("latest")?;
            let of_rows = latest_of.infer("rows scored", &pool, |row| *row)?;
            of_rows.sink("latest scored", Once { epochs: Arc::clone(&latest), breaks_after })
        })
    };
    let broken = |done: Result<_, Error>| assert!(done.unwrap_err().to_string().contains("broken"));
    broken(run(1, 3));
    broken(run(2, 9));
    run(4, usize::MAX).unwrap();
    assert_eq!(scored.lock().unwrap().values().map(Vec::len).sum::<usize>(), 200);
}
