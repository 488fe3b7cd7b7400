//! Whole jobs.

use crate::server::{rows, table, url};
use crate::{Row, row};
use tidemill::{Config, Events, Maintain, Record, Timing, execute};
use tidemill_postgres::Postgres;

/// The latest row of each id.
struct Latest;

impl Maintain for Latest {
    type Key = i32;
    type In = Row;
    type State = Option<Row>;
    type Row = Row;

    fn update(&self, _: &i32, state: &mut Option<Row>, events: &mut Vec<Record<Row>>) {
        *state = events.pop().map(|record| record.value);
    }

    fn rows(&self, _: &i32, state: &Option<Row>, rows: &mut Vec<Row>) {
        rows.extend(state.clone());
    }
}

#[test]
fn a_job_fills_its_tables_and_another_run_of_it_again() {
    let (all, latest) = (table(), table());
    let given: Vec<Row> = (0..5000).map(|i| row(i % 40, &format!("n{i}"))).collect();
    let run = |workers, rewind| {
        let (given, all, latest) = (given.clone(), all.clone(), latest.clone());
        execute(Config { workers, epoch_records: 512, ..Config::default() }, move |job| {
            let rows = job.source("rows", Events::new(given.clone()), Timing::by(|_: &Row| 0))?;
            let example = Row { id: 0, name: String::new(), cents: Some(0) };
            let events = Postgres::events(url(), &all)?.create_like(&example)?;
            rows.clone().sink("all", if rewind { events.rewind() } else { events })?;
            rows.key_by(|row| row.id)
                .maintain("latest of each", Latest)?
                .sink("latest", Postgres::rows(url(), &latest, ["id"])?.create_like(&example)?)
        })
    };
    run(2, true).unwrap();
    let (events, current) = (rows(&all), rows(&latest));
    assert_eq!((events.len(), current.len()), (5000, 40));
    assert_eq!(current[0], "(0,n4960,)");
    for workers in [1, 4] {
        run(workers, true).unwrap();
        assert_eq!((rows(&all), rows(&latest)), (events.clone(), current.clone()));
    }
    // Without checkpoints every run is another one, and doubles nothing in silence.
    let text = run(1, false).unwrap_err().to_string();
    assert!(text.contains("sink `all`") && text.contains("rows of another run"), "{text}");
    assert_eq!(rows(&all), events);
}
