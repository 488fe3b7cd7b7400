//! Questions to an index that follows a collection.

use std::collections::BTreeMap;
use tidemill::differential_dataflow::ExchangeData;
use tidemill::differential_dataflow::consolidation::consolidate;
use tidemill::timely::container::CapacityContainerBuilder;
use tidemill::timely::dataflow::channels::pact::Pipeline;
use tidemill::timely::dataflow::operators::Capability;
use tidemill::timely::dataflow::operators::generic::OutputBuilder;
use tidemill::timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use tidemill::timely::dataflow::operators::vec::Broadcast;
use tidemill::{Collection, Data, Epoch, Record, Result, Stream};

/// Answers questions from the rows of a collection.
///
/// Answers must be a function of the rows that are there, whatever came before, and in whatever order: then they are the
/// same on any number of workers and after a restart.
pub trait Index: 'static {
    /// A row of the collection.
    type Row: ExchangeData;
    /// What is asked.
    type Question: Data;
    /// And answered.
    type Answer: Data;

    /// The row comes (`diff` above 0) or goes. Of an epoch's changes those that go come first.
    fn change(&mut self, row: Self::Row, diff: isize);

    /// Answers. It may use room in the index, and must not change it.
    fn answer(&mut self, question: &Self::Question) -> Self::Answer;
}

/// Which rows a question is answered from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    /// Those that were true before the question's epoch: nobody is told what has just been learnt from the question itself.
    Before,
    /// Those that are true at the end of its epoch.
    Now,
}

/// Streams of questions.
pub trait Asked<'s, Q: Data>: Sized {
    /// Answers each question from an index that follows `rows`, at the question's own time.
    ///
    /// Every worker has the whole index, and answers the questions that are there: no question travels. So it costs memory on
    /// each worker, and answers cost no more with many workers than with one.
    ///
    /// State: the index. It needs no checkpoint: a collection says its rows again after a restart.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`](tidemill::Error::Graph) if the name is taken. A panic in the index stops the job.
    fn ask<X>(
        self,
        name: &str,
        rows: Collection<'s, X::Row>,
        as_of: AsOf,
        index: X,
    ) -> Result<Stream<'s, (Q, X::Answer)>>
    where
        X: Index<Question = Q>;
}

impl<'s, Q: Data> Asked<'s, Q> for Stream<'s, Q> {
    fn ask<X>(
        self,
        name: &str,
        rows: Collection<'s, X::Row>,
        as_of: AsOf,
        mut index: X,
    ) -> Result<Stream<'s, (Q, X::Answer)>>
    where
        X: Index<Question = Q>,
    {
        let job = self.job().clone();
        let mut builder = OperatorBuilder::new(name.to_owned(), job.scope());
        let id = builder.operator_info().global_id;
        let mut questions = builder.new_input(self.inner(), Pipeline);
        let mut changes = builder.new_input(rows.inner().inner.clone().broadcast(), Pipeline);
        let (output, answered) = builder.new_output();
        let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<Record<(Q, X::Answer)>>>>::from(output);
        builder.build(move |capabilities| {
            drop(capabilities);
            let mut waiting: BTreeMap<Epoch, (Capability<Epoch>, Vec<Record<Q>>)> = BTreeMap::new();
            let mut coming: BTreeMap<Epoch, Vec<(X::Row, isize)>> = BTreeMap::new();
            move |frontiers| {
                changes.for_each_stamp(|_, batches| {
                    for (row, epoch, diff) in batches.flat_map(|batch| batch.drain(..)) {
                        coming.entry(epoch).or_default().push((row, diff));
                    }
                });
                questions.for_each_stamp(|cap, batches| {
                    let Some(cap) = cap.retain_least(0) else { return };
                    let slot = waiting.entry(*cap.time()).or_insert_with(|| (cap, Vec::new()));
                    batches.for_each(|batch| slot.1.append(batch));
                });
                let over = |epoch: &Epoch| !frontiers.iter().any(|frontier| frontier.less_equal(epoch));
                let mut change_through = |index: &mut X, is_due: &dyn Fn(&Epoch) -> bool| {
                    while let Some(changes) = coming.first_entry().filter(|first| is_due(first.key())) {
                        let mut changes = changes.remove();
                        consolidate(&mut changes);
                        let (gone, come): (Vec<_>, Vec<_>) = changes.into_iter().partition(|(_, diff)| *diff < 0);
                        gone.into_iter().chain(come).for_each(|(row, diff)| index.change(row, diff));
                    }
                };
                let mut output = output.activate();
                // Epoch by epoch, so that no question is answered from rows of a later one.
                while let Some(first) = waiting.first_entry().filter(|first| over(first.key())) {
                    let (epoch, (cap, records)) = first.remove_entry();
                    let last = if as_of == AsOf::Now { epoch } else { epoch.saturating_sub(1) };
                    change_through(&mut index, &|change| *change <= last);
                    output.session(&cap).give_iterator(records.into_iter().map(|Record { time, seq, value }| {
                        let answer = index.answer(&value);
                        Record { time, seq, value: (value, answer) }
                    }));
                }
                // Changes do not pile up while nothing is asked: those of epochs from which no question can come are made.
                change_through(&mut index, &over);
            }
        });
        // Only now: an operator that is begun and not built leaves a scope that cannot be.
        job.name_operator(name, id)?;
        Ok(Stream::from_inner(answered, &self).named(name, "index").also_of_rows(&rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use tidemill::{Config, Events, Maintain, Memory, Timing, execute};

    /// The latest number of each key: (key, number).
    struct Latest;

    impl Maintain for Latest {
        type Key = u8;
        type In = (u8, i64);
        type State = i64;
        type Row = (u8, i64);

        fn update(&self, _: &u8, latest: &mut i64, events: &mut Vec<Record<(u8, i64)>>) {
            *latest = events.last().map_or(*latest, |event| event.value.1);
        }

        fn rows(&self, key: &u8, latest: &i64, rows: &mut Vec<(u8, i64)>) {
            rows.push((*key, *latest));
        }
    }

    /// The sum of the numbers up to a key.
    #[derive(Default)]
    struct Sums(BTreeMap<u8, i64>);

    impl Index for Sums {
        type Row = (u8, i64);
        type Question = (u8, i64);
        type Answer = i64;

        fn change(&mut self, (key, number): (u8, i64), diff: isize) {
            if diff > 0 {
                assert_eq!(self.0.insert(key, number), None, "the row before has not gone");
            } else {
                assert_eq!(self.0.remove(&key), Some(number));
            }
        }

        fn answer(&mut self, (key, _): &(u8, i64)) -> i64 {
            self.0.range(..=key).map(|(_, number)| number).sum()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn questions_are_answered_from_the_rows_before_or_of_their_epoch(
            events in prop::collection::vec((0u8..5, 1i64..100), 1..60), epoch_records in 1usize..9,
            now in any::<bool>(),
        ) {
            let as_of = if now { AsOf::Now } else { AsOf::Before };
            let mut expected = vec![];
            let mut rows = BTreeMap::new();
            for epoch in events.chunks(epoch_records) {
                let mut after = rows.clone();
                after.extend(epoch.iter().copied());
                let seen = if now { &after } else { &rows };
                expected.extend(epoch.iter().map(|event| (*event, seen.range(..=event.0).map(|(_, number)| number).sum())));
                rows = after;
            }
            for workers in [1, 2, 4] {
                let out = Memory::new();
                let (to_out, input) = (out.clone(), Events::new(events.clone()));
                execute(Config { epoch_records, ..Config::workers(workers) }, move |job| {
                    let events = job.source("events", input.clone(), Timing::by(|_: &(u8, i64)| 0))?;
                    let rows = events.clone().key_by(|event| event.0).maintain("latest", Latest)?;
                    events.ask("sums", rows, as_of, Sums::default())?.sink("out", to_out.clone())
                }).unwrap();
                prop_assert_eq!(&out.values(), &expected, "{} workers", workers);
            }
        }
    }
}
