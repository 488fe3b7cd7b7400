//! A job that is begun again does not ask its model anew about what was scored since its last checkpoint.

mod common;

use common::{Toy, config};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tidemill::harness::Ledger;
use tidemill::{Checkpointing, Config, Error, Events, Timing, execute};
use tidemill_inference::{Infer, Pool};
use tidemill_rank::Ranks;

#[test]
fn scores_come_again_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let (scored, latest) = (Ledger::new(), Ledger::new());
    let asked = Arc::new(AtomicU64::new(0));
    let run = |workers, fuse| {
        let checkpoints = Checkpointing::to(folder.path().to_str().unwrap());
        let settings = Config { epoch_records: 10, checkpoints: Some(checkpoints), ..Config::workers(workers) };
        let source = Events::new((0..200).collect()).fails_after(fuse);
        let (scored, latest, asked) = (scored.clone(), latest.clone(), Arc::clone(&asked));
        // It never says the same twice.
        let answer = move |rows: &[i64]| {
            let first = asked.fetch_add(rows.len() as u64, Ordering::SeqCst);
            Ok((first..).take(rows.len()).map(|n| n as f32).collect())
        };
        let pool = Pool::new(config(4, 1), move || Ok(Toy::new(answer.clone())));
        execute(settings, move |job| {
            let events = job.source("events", source.clone(), Timing::by(|event: &i64| *event))?;
            events.clone().infer("events scored", &pool, |event| *event)?.sink("scored", scored.clone())?;
            let latest_of = events.key_by(|event| event % 17).latest("latest")?;
            latest_of.infer("rows scored", &pool, |row| *row)?.sink("latest scored", latest.clone())
        })
    };
    for (workers, fuse) in [(1, 140), (2, 170), (4, usize::MAX)] {
        match run(workers, fuse) {
            Err(Error::Source { .. }) => assert!(fuse < 200),
            done => _ = done.unwrap(),
        }
        assert!(!scored.items().is_empty());
    }
    assert_eq!(scored.items().len(), 200);
    assert_eq!(latest.items().iter().map(|update| update.diff).sum::<isize>(), 17);
}
