//! Rows a second into PostgreSQL, appended and kept by key, in epochs of several sizes.
//!
//! `POSTGRES_OPTIONS="-c fsync=on" scripts/postgres.sh start DIR`, then this with the URL that it prints.

use serde::Serialize;
use std::time::Instant;
use tidemill::{Epoch, Record, Seq, Sink, SinkError, Start, Update};
use tidemill_postgres::Postgres;

#[derive(Clone, Serialize)]
struct Payment {
    id: i64,
    customer: i32,
    at: i64,
    cents: i64,
    score: f64,
    note: &'static str,
}

fn payment(id: i64) -> Payment {
    let customer = (id * 7919 % 100_000) as i32;
    Payment {
        id,
        customer,
        at: 1_700_000_000_000 + id,
        cents: id % 10_000,
        score: id as f64 / 3e6,
        note: "card present",
    }
}

/// Writes `items` in epochs of `size` rows from `start` on; gives where a next run begins.
fn measure<S: Sink>(
    name: &str,
    mut sink: S,
    start: Start,
    rows: i64,
    size: i64,
    items: impl Fn(i64) -> Vec<S::Item>,
) -> Start {
    sink.open(&start).expect("the table");
    let (begun, mut epoch) = (Instant::now(), start.epoch);
    for first in (0..rows).step_by(size as usize) {
        epoch += 1;
        let mut items = (first..rows.min(first + size)).flat_map(&items).collect();
        sink.write(epoch, &mut items).and_then(|()| sink.commit(epoch)).expect("to write");
    }
    let each = begun.elapsed().as_secs_f64() / rows as f64;
    println!("{name:16} {size:7} rows an epoch {:9.0} rows/s {:8.2} ms an epoch", 1.0 / each, each * size as f64 * 1e3);
    Start { epoch, saved: Some(sink.save().expect("open")), ..start }
}

fn main() -> Result<(), SinkError> {
    let url = std::env::args().nth(1).expect("the URL of a database to write to, as the argument");
    for (rows, size) in [(1_000, 1), (50_000, 100), (400_000, 10_000), (1_000_000, 200_000)] {
        let first = || Start {
            lineage: format!("{size}"),
            checkpoints: true,
            epoch: 0,
            exact_through: Epoch::MAX,
            saved: None,
        };
        let sink = Postgres::events(&url, "throughput_events")?.timestamp("at").create_like(&payment(1))?.append();
        let event = |id| vec![Record { time: 0, seq: Seq::default(), value: payment(id) }];
        measure("events", sink, first(), rows, size, event);

        let sink = || Postgres::rows(&url, "throughput_rows", ["id"])?.timestamp("at").create_like(&payment(1));
        let new = |id| vec![Update { row: payment(id), diff: 1 }];
        let next = measure("rows, new", sink()?, first(), rows, size, new);
        let other = |id| Payment { cents: -1, ..payment(id) };
        let replaced = |id| vec![Update { row: other(id), diff: 1 }, Update { row: payment(id), diff: -1 }];
        let next = measure("rows, replaced", sink()?, next, rows, size, replaced);
        measure("rows, deleted", sink()?, next, rows, size, |id| vec![Update { row: other(id), diff: -1 }]);
    }
    Ok(())
}
