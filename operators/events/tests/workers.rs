//! The operators in a job: the same bytes on any number of workers.

use proptest::prelude::*;
use tidemill::{Config, Events, Memory, Timing, execute};
use tidemill_events::EachEvent;

/// Time, key, number.
type Event = (i64, u8, u32);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn jobs_write_the_same_bytes_on_any_number_of_workers(
        parts in prop::collection::vec(prop::collection::vec((0i64..5_000, 0u8..40, 0u32..9), 0..200), 1..4),
        epoch_records in 1usize..60,
    ) {
        let mut first = None;
        for workers in [1, 2, 4] {
            let (new, sessions, through, held, sampled) =
                (Memory::new(), Memory::new(), Memory::new(), Memory::new(), Memory::new());
            let to = (new.clone(), sessions.clone(), through.clone(), held.clone(), sampled.clone());
            let input = Events::partitioned(parts.clone());
            let report = execute(Config { epoch_records, ..Config::workers(workers) }, move |job| {
                // Some are later than that: dropped and counted.
                let timing = Timing::by(|event: &Event| event.0).disorder(2_000);
                let events = job.source("events", input.clone(), timing)?.key_by(|event| event.1);
                events.clone().deduplicate("new", 300)?.sink("new out", to.0.clone())?;
                events.clone().sessionise("sessions", 100)?.sink("sessions out", to.1.clone())?;
                let (through, held) = events.clone().rate_limit("limit", 2, 200)?;
                through.sink("through", to.2.clone())?;
                held.sink("held", to.3.clone())?;
                events.sample(0.5).sink("sampled", to.4.clone())
            }).unwrap();
            let late: Vec<u64> = ["new", "sessions", "limit"].map(|name| report.operator(name).unwrap().late).to_vec();
            let written = (new.take(), sessions.take(), through.take(), held.take(), sampled.take(), late);
            prop_assert_eq!(first.get_or_insert(written.clone()), &written, "{} workers", workers);
        }
    }
}
