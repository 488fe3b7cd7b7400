//! Events that bear on all rows of a collection.

use crate::AsOf;
use crate::follow::{Everywhere, Follower, follow};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use tidemill::differential_dataflow::ExchangeData;
use tidemill::{Collection, Data, Record, Result, Stream};

/// Streams of events that bear on all rows of a collection.
pub trait WithEachRow<'s, T: Data>: Sized {
    /// Gives each event once with each row that is true at the end of its epoch: what has to be done again for all of them.
    /// The event goes to every worker, and the rows stay where they are. So the work is shared among workers as the rows
    /// are, and what comes of a row is on the worker that has it.
    ///
    /// State: the rows. It needs no checkpoint: a collection says its rows again after a restart.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`](tidemill::Error::Graph) if the name is taken.
    fn with_each_row<R: ExchangeData>(self, name: &str, rows: Collection<'s, R>) -> Result<Stream<'s, (T, R)>>;
}

impl<'s, T: Data> WithEachRow<'s, T> for Stream<'s, T> {
    fn with_each_row<R: ExchangeData>(self, name: &str, rows: Collection<'s, R>) -> Result<Stream<'s, (T, R)>> {
        let none = EachRow { rows: BTreeMap::new(), events: PhantomData };
        follow(self, (name, "each row"), (rows, Everywhere::Events), AsOf::Now, none)
    }
}

/// One worker's rows, with how often each is there.
struct EachRow<T, R> {
    rows: BTreeMap<R, isize>,
    events: PhantomData<fn(T)>,
}

impl<T: Data, R: ExchangeData> Follower for EachRow<T, R> {
    type Row = R;
    type In = T;
    type Out = (T, R);

    fn change(&mut self, changes: Vec<(R, isize)>) {
        for (row, diff) in changes {
            let count = self.rows.entry(row.clone()).or_default();
            *count += diff;
            if *count == 0 {
                self.rows.remove(&row);
            }
        }
    }

    fn take(&mut self, Record { time, seq, value }: Record<T>, made: &mut Vec<Record<(T, R)>>) {
        let rows = self.rows.iter().filter(|(_, count)| **count > 0).enumerate();
        made.extend(rows.map(|(nth, (row, _))| Record {
            time,
            seq: seq.child(nth),
            value: (value.clone(), row.clone()),
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill::{Config, Events, Maintain, Memory, Timing, execute};

    /// A row for each name that has come.
    struct Names;

    impl Maintain for Names {
        type Key = u8;
        type In = (i64, Option<u8>);
        type State = u64;
        type Row = (u8, u64);

        fn update(&self, _: &u8, times: &mut u64, events: &mut Vec<Record<Self::In>>) {
            *times += events.drain(..).count() as u64;
        }

        fn rows(&self, name: &u8, times: &u64, rows: &mut Vec<Self::Row>) {
            rows.push((*name, *times));
        }
    }

    #[test]
    fn an_event_meets_each_row_once_on_any_number_of_workers() {
        // Names come, and twice somebody calls all that are there.
        let events: Vec<(i64, Option<u8>)> =
            vec![(1, Some(1)), (2, Some(2)), (3, None), (4, Some(1)), (5, Some(3)), (6, None)];
        for workers in [1, 2, 4] {
            let (input, out) = (Events::new(events.clone()), Memory::new());
            let to_out = out.clone();
            execute(Config { epoch_records: 1, ..Config::workers(workers) }, move |job| {
                let events = job.source("events", input.clone(), Timing::by(|event: &(i64, Option<u8>)| event.0))?;
                let (named, calls) = events.branch(|event| event.1.is_some());
                let rows = named.key_by(|event| event.1.unwrap_or(0)).maintain("names", Names)?;
                calls.with_each_row("all", rows)?.map(|((time, _), row)| (time, row)).sink("out", to_out.clone())
            })
            .unwrap();
            let mut met = out.values();
            met.sort();
            assert_eq!(met, [(3, (1, 1)), (3, (2, 1)), (6, (1, 2)), (6, (2, 1)), (6, (3, 1))], "{workers} workers");
        }
    }
}
