//! Events that bear on all rows of a collection, or on a part of them.

use crate::AsOf;
use crate::follow::{Everywhere, Follower, follow};
use std::collections::BTreeMap;
use tidemill::differential_dataflow::ExchangeData;
use tidemill::{Collection, Data, Record, Result, Stream};

/// Streams of events that bear on many rows of a collection.
pub trait WithEachRow<'s, T: Data>: Sized {
    /// Gives each event once with each row that is true at the end of its epoch and of the part that the event names, or with
    /// all of them if it names none: what has to be done again for them. Rows of other parts are not looked at.
    ///
    /// The event goes to every worker, and the rows stay where they are. So the work is shared among workers as the rows
    /// are, and what comes of a row is on the worker that has it.
    ///
    /// State: the rows. It needs no checkpoint: a collection says its rows again after a restart.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`](tidemill::Error::Graph) if the name is taken.
    fn with_each_row<R: ExchangeData>(
        self,
        name: &str,
        rows: Collection<'s, R>,
        named: impl Fn(&T) -> Option<u64> + 'static,
        part: impl Fn(&R) -> u64 + 'static,
    ) -> Result<Stream<'s, (T, R)>>;
}

impl<'s, T: Data> WithEachRow<'s, T> for Stream<'s, T> {
    fn with_each_row<R: ExchangeData>(
        self,
        name: &str,
        rows: Collection<'s, R>,
        named: impl Fn(&T) -> Option<u64> + 'static,
        part: impl Fn(&R) -> u64 + 'static,
    ) -> Result<Stream<'s, (T, R)>> {
        let none = EachRow { parts: BTreeMap::new(), named: Box::new(named), part: Box::new(part) };
        follow(self, (name, "each row"), (rows, Everywhere::Events), AsOf::Now, none)
    }
}

/// One worker's rows.
struct EachRow<T, R> {
    /// By part, with how often each is there.
    parts: BTreeMap<u64, BTreeMap<R, isize>>,
    named: Box<dyn Fn(&T) -> Option<u64>>,
    part: Box<dyn Fn(&R) -> u64>,
}

impl<T: Data, R: ExchangeData> Follower for EachRow<T, R> {
    type Row = R;
    type In = T;
    type Out = (T, R);

    fn change(&mut self, changes: Vec<(R, isize)>) {
        for (row, diff) in changes {
            let part = (self.part)(&row);
            let rows = self.parts.entry(part).or_default();
            let count = rows.entry(row.clone()).or_default();
            *count += diff;
            if *count == 0 {
                rows.remove(&row);
            }
            if rows.is_empty() {
                self.parts.remove(&part);
            }
        }
    }

    fn take(&mut self, Record { time, seq, value }: Record<T>, made: &mut Vec<Record<(T, R)>>) {
        let named = match (self.named)(&value) {
            Some(part) => self.parts.range(part..=part),
            None => self.parts.range(..),
        };
        let rows = named.flat_map(|(_, rows)| rows).filter(|(_, count)| **count > 0).enumerate();
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
    fn an_event_meets_each_row_of_its_part_once_on_any_number_of_workers() {
        // Names come, some twice, and three times somebody calls: the odd ones, the even ones, all.
        let names = [1, 2, 3, 4, 1, 6].into_iter().zip(1i64..).map(|(name, time)| (time, Some(name)));
        let events: Vec<(i64, Option<u8>)> = names.chain([(7, None), (8, None), (10, None), (11, Some(9))]).collect();
        for workers in [1, 2, 4] {
            let (input, out) = (Events::new(events.clone()), Memory::new());
            let to_out = out.clone();
            execute(Config { epoch_records: 1, ..Config::workers(workers) }, move |job| {
                let events = job.source("events", input.clone(), Timing::by(|event: &(i64, Option<u8>)| event.0))?;
                let (named, calls) = events.branch(|event| event.1.is_some());
                let rows = named.key_by(|event| event.1.unwrap_or(0)).maintain("names", Names)?;
                let part = |call: &(i64, Option<u8>)| (call.0 < 10).then_some(call.0 as u64 % 2);
                let met = calls.with_each_row("called", rows, part, |row| u64::from(row.0) % 2)?;
                met.map(|((time, _), row)| (time, row)).sink("out", to_out.clone())
            })
            .unwrap();
            let mut met = out.values();
            met.sort();
            let odd = [(7, (1, 2)), (7, (3, 1))];
            let even = [(8, (2, 1)), (8, (4, 1)), (8, (6, 1))];
            let all = [(10, (1, 2)), (10, (2, 1)), (10, (3, 1)), (10, (4, 1)), (10, (6, 1))];
            assert_eq!(met, [&odd[..], &even, &all].concat(), "{workers} workers");
        }
    }
}
