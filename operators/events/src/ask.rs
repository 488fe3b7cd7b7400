//! Questions to an index that follows a collection.

use crate::follow::{Everywhere, Follower, follow};
use tidemill::differential_dataflow::ExchangeData;
use tidemill::differential_dataflow::consolidation::consolidate;
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

    /// The row comes (`diff` above 0) or goes.
    fn change(&mut self, row: Self::Row, diff: isize);

    /// An epoch's changes, in the order of rows, each row once. Unless an index does better with all of them at hand, those that go
    /// are made first, one by one.
    fn change_all(&mut self, changes: Vec<(Self::Row, isize)>) {
        let mut come = Vec::new();
        for (row, diff) in changes {
            if diff < 0 { self.change(row, diff) } else { come.push((row, diff)) }
        }
        come.into_iter().for_each(|(row, diff)| self.change(row, diff));
    }

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

impl AsOf {
    /// The last epoch whose rows a question of this one sees. At the very first epoch there are none before it, and it waits
    /// for its own.
    pub(crate) fn last(self, epoch: Epoch) -> Epoch {
        match self {
            AsOf::Before => epoch.saturating_sub(1),
            AsOf::Now => epoch,
        }
    }
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
        X: Index<Question = Q>,
    {
        self.ask_map(name, rows, as_of, index, |question, answer| (question, answer))
    }

    /// The same, with what `made` makes of each question and its answer.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`](tidemill::Error::Graph) if the name is taken. A panic in the index stops the job.
    fn ask_map<X, O: Data>(
        self,
        name: &str,
        rows: Collection<'s, X::Row>,
        as_of: AsOf,
        index: X,
        made: impl FnMut(Q, X::Answer) -> O + 'static,
    ) -> Result<Stream<'s, O>>
    where
        X: Index<Question = Q>;
}

impl<'s, Q: Data> Asked<'s, Q> for Stream<'s, Q> {
    fn ask_map<X, O: Data>(
        self,
        name: &str,
        rows: Collection<'s, X::Row>,
        as_of: AsOf,
        index: X,
        made: impl FnMut(Q, X::Answer) -> O + 'static,
    ) -> Result<Stream<'s, O>>
    where
        X: Index<Question = Q>,
    {
        follow(self, (name, "index"), (rows, Everywhere::Rows), as_of, Answering { index, made })
    }
}

/// Makes an epoch's changes.
pub(crate) fn change<X: Index>(index: &mut X, mut changes: Vec<(X::Row, isize)>) {
    consolidate(&mut changes);
    index.change_all(changes);
}

/// Answers from an index.
struct Answering<X, F> {
    index: X,
    made: F,
}

impl<X: Index, O: Data, F: FnMut(X::Question, X::Answer) -> O + 'static> Follower for Answering<X, F> {
    type Row = X::Row;
    type In = X::Question;
    type Out = O;

    fn change(&mut self, changes: Vec<(X::Row, isize)>) {
        change(&mut self.index, changes);
    }

    fn take(&mut self, Record { time, seq, value }: Record<X::Question>, made: &mut Vec<Record<O>>) {
        let answer = self.index.answer(&value);
        made.push(Record { time, seq, value: (self.made)(value, answer) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AskedOfSeveral, Respondent};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use tidemill::harness::Ledger;
    use tidemill::{Checkpointing, Config, Events, Maintain, Timing, execute};

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

    /// What questions about the events' own keys are answered, by a job that falls over after so many events, and is begun
    /// again, each time with another number of workers.
    fn answers(
        events: &[(u8, i64)],
        epoch_records: usize,
        as_of: AsOf,
        falls: &[usize],
        workers: usize,
        asked: Asking,
    ) -> Vec<Answered> {
        let (folder, ledger) = (tempfile::tempdir().unwrap(), Ledger::new());
        let starts = falls.iter().copied().chain([usize::MAX]);
        for (workers, fuse) in (workers..).zip(starts) {
            let (to_ledger, input) = (ledger.clone(), Events::new(events.to_vec()).fails_after(fuse));
            let every_epoch = Checkpointing { interval_ms: 0, ..Checkpointing::to(folder.path().to_str().unwrap()) };
            let checkpoints = (!falls.is_empty()).then_some(every_epoch);
            let done = execute(Config { epoch_records, checkpoints, ..Config::workers(workers) }, move |job| {
                let events = job.source("events", input.clone(), Timing::by(|_: &(u8, i64)| 0))?;
                let rows = events.clone().key_by(|event| event.0).maintain("latest", Latest)?;
                let answered = match asked {
                    Asking::One => events.ask("sums", rows, as_of, Sums::default())?,
                    Asking::Several => {
                        let two = [(); 2].map(|()| Respondent::new(rows.clone(), Sums::default()));
                        let answered = events.ask_several("sums", as_of, two.into())?;
                        answered.map(|(question, answers)| {
                            assert!(answers.len() == 2 && answers[0] == answers[1], "{question:?}: {answers:?}");
                            (question, answers[0])
                        })
                    }
                    Asking::Noted => {
                        type Rows = [((u8, i64), isize)];
                        let noting = Respondent::noting(rows, move |(question, sum): &mut Answered, before, now| {
                            let seen: &Rows = if as_of == AsOf::Now { now } else { before };
                            let up_to = seen.iter().filter(|((key, _), _)| *key <= question.0);
                            *sum = up_to.map(|((_, number), times)| number * *times as i64).sum();
                        });
                        let noted =
                            events.map(|event| (event, 0)).ask_several::<()>("sums", AsOf::Now, vec![noting])?;
                        noted.map(|(noted, _)| noted)
                    }
                };
                answered.sink("out", to_ledger.clone())
            });
            if let Err(error) = done {
                assert!(fuse < usize::MAX && error.to_string().contains("as it was told to"), "{error}");
            }
        }
        ledger.items().into_iter().map(|record| record.value).collect()
    }

    type Answered = ((u8, i64), i64);

    #[derive(Clone, Copy, Debug)]
    enum Asking {
        One,
        Several,
        Noted,
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(36))]
        #[test]
        fn questions_are_answered_from_the_rows_before_or_of_their_epoch(
            events in prop::collection::vec((0u8..5, 1i64..100), 1..60), epoch_records in 1usize..9,
            now in any::<bool>(), asked in prop::sample::select(vec![Asking::One, Asking::Several, Asking::Noted]), falls in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
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
                let answers = answers(&events, epoch_records, as_of, &[], workers, asked);
                prop_assert_eq!(&answers, &expected, "{} workers", workers);
            }
            let falls: Vec<usize> = falls.iter().map(|fall| fall.index(events.len())).collect();
            prop_assert_eq!(&answers(&events, epoch_records, as_of, &falls, 1, asked), &expected, "after {:?}", falls);
        }
    }
}
