//! A job that is begun again does not ask anew what it was answered since its last checkpoint.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use tidemill::harness::Ledger;
use tidemill::{Checkpointing, Config, Error, Events, Record, Timing, execute};
use tidemill_enrich::{Calls, Enrich, Failure};

#[test]
fn answers_come_again_as_they_were() {
    for ordered in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let ledger: Ledger<Record<(i64, usize)>> = Ledger::new();
        // How often the service was asked about each event.
        let asked: Arc<Mutex<BTreeMap<i64, usize>>> = Arc::default();
        let run = |workers, fuse| {
            let checkpoints = Checkpointing::to(folder.path().to_str().unwrap());
            let config = Config { epoch_records: 10, checkpoints: Some(checkpoints), ..Config::workers(workers) };
            let source = Events::new((0..200).collect()).fails_after(fuse);
            let (asked, ledger) = (Arc::clone(&asked), ledger.clone());
            execute(config, move |job| {
                let events = job.source("events", source.clone(), Timing::by(|event: &i64| *event))?;
                let asked = Arc::clone(&asked);
                // It never says the same twice.
                let call = move |(): &mut (), event: &i64| {
                    let mut asked = asked.lock().unwrap();
                    let times = asked.entry(*event).or_default();
                    *times += 1;
                    if event % 7 == 3 { Err(Failure::permanent("no")) } else { Ok((*event, *times)) }
                };
                let calls = Calls::new(|| Ok::<_, Infallible>(()), call);
                let calls = if ordered { calls.ordered() } else { calls.unordered() };
                events.enrich("ask", calls)?.sink("out", ledger.clone())
            })
        };
        let mut known = Vec::new();
        for (workers, fuse) in [(1, 140), (2, 170), (4, usize::MAX)] {
            match run(workers, fuse) {
                Err(Error::Source { .. }) => assert!(fuse < 200),
                done => _ = done.unwrap(),
            }
            let asked = asked.lock().unwrap().clone();
            assert!(known.iter().all(|(event, times)| asked[event] == *times), "what is known is not asked again");
            known = ledger.items().iter().map(|record| (record.value.0, asked[&record.value.0])).collect();
            assert!(!known.is_empty());
        }
        assert_eq!(known.len(), (0..200).filter(|event| event % 7 != 3).count());
    }
}
