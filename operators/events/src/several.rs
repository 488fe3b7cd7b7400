//! One question to several indices, each of which follows a collection of its own.

use crate::ask::{AsOf, Index, change};
use std::collections::BTreeMap;
use tidemill::timely::container::CapacityContainerBuilder;
use tidemill::timely::dataflow::channels::pact::Pipeline;
use tidemill::timely::dataflow::operators::Capability;
use tidemill::timely::dataflow::operators::generic::OutputBuilder;
use tidemill::timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use tidemill::timely::dataflow::operators::vec::Broadcast;
use tidemill::{Collection, Data, Epoch, Record, Result, Stream};

/// An index, and the rows that it follows.
pub struct Respondent<'s, Q: 'static, A: 'static> {
    join: Join<'s, Q, A>,
    note: Note<'s, Q, A>,
}

/// Adds the rows to an operator as an input.
type Join<'s, Q, A> = Box<dyn FnOnce(&mut OperatorBuilder<'s, Epoch>) -> Box<dyn Respond<Q, A>> + 's>;

/// Notes in the plan that the rows are read.
type Note<'s, Q, A> = Box<dyn FnOnce(Stream<'s, (Q, Vec<A>)>) -> Stream<'s, (Q, Vec<A>)> + 's>;

impl<'s, Q: Data, A: Data> Respondent<'s, Q, A> {
    /// Answers from what `index` makes of `rows`.
    pub fn new<X: Index<Question = Q, Answer = A>>(rows: Collection<'s, X::Row>, mut index: X) -> Self {
        let noted = rows.clone();
        let join = move |builder: &mut OperatorBuilder<'s, Epoch>| {
            let mut input = builder.new_input(rows.inner().inner.clone().broadcast(), Pipeline);
            let mut coming: BTreeMap<Epoch, Vec<(X::Row, isize)>> = BTreeMap::new();
            let respond = move |step: Step<'_, Q>| {
                match step {
                    Step::Take => input.for_each_stamp(|_, batches| {
                        for (row, epoch, diff) in batches.flat_map(|batch| batch.drain(..)) {
                            coming.entry(epoch).or_default().push((row, diff));
                        }
                    }),
                    Step::Change(is_due) => {
                        while let Some(due) = coming.first_entry().filter(|first| is_due(first.key())) {
                            change(&mut index, due.remove());
                        }
                    }
                    Step::Answer(question) => return Some(index.answer(question)),
                }
                None
            };
            Box::new(respond) as Box<dyn Respond<Q, A>>
        };
        Respondent { join: Box::new(join), note: Box::new(move |stream| stream.also_of_rows(&noted)) }
    }
}

/// What an index does next.
enum Step<'a, Q> {
    /// Takes in what has come.
    Take,
    /// Makes the changes of these epochs.
    Change(&'a dyn Fn(&Epoch) -> bool),
    /// Answers.
    Answer(&'a Q),
}

trait Respond<Q, A>: FnMut(Step<'_, Q>) -> Option<A> {}
impl<Q, A, F: FnMut(Step<'_, Q>) -> Option<A>> Respond<Q, A> for F {}

/// Streams of questions that several answer.
pub trait AskedOfSeveral<'s, Q: Data>: Sized {
    /// Answers each question from several indices, in their order, as [`Asked::ask`](crate::Asked::ask) does from one: at the
    /// question's own time, on the worker where it is.
    ///
    /// One operator waits for all their rows at once. Where questions go from one `ask` to the next, each of these waits until
    /// all workers are done with the one before.
    ///
    /// State: the indices. They need no checkpoint: a collection says its rows again after a restart.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`](tidemill::Error::Graph) if the name is taken. A panic in an index stops the job.
    fn ask_several<A: Data>(
        self,
        name: &str,
        as_of: AsOf,
        respondents: Vec<Respondent<'s, Q, A>>,
    ) -> Result<Stream<'s, (Q, Vec<A>)>>;
}

impl<'s, Q: Data> AskedOfSeveral<'s, Q> for Stream<'s, Q> {
    fn ask_several<A: Data>(
        self,
        name: &str,
        as_of: AsOf,
        respondents: Vec<Respondent<'s, Q, A>>,
    ) -> Result<Stream<'s, (Q, Vec<A>)>> {
        let job = self.job().clone();
        let mut builder = OperatorBuilder::new(name.to_owned(), job.scope());
        let id = builder.operator_info().global_id;
        let mut taken = builder.new_input(self.inner(), Pipeline);
        let (joins, notes): (Vec<_>, Vec<_>) = respondents.into_iter().map(|of| (of.join, of.note)).unzip();
        let mut responds: Vec<_> = joins.into_iter().map(|join| join(&mut builder)).collect();
        let (output, answered) = builder.new_output();
        let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<Record<(Q, Vec<A>)>>>>::from(output);
        builder.build(move |capabilities| {
            drop(capabilities);
            let mut waiting: BTreeMap<Epoch, (Capability<Epoch>, Vec<Record<Q>>)> = BTreeMap::new();
            move |frontiers| {
                responds.iter_mut().for_each(|respond| drop(respond(Step::Take)));
                taken.for_each_stamp(|cap, batches| {
                    let Some(cap) = cap.retain_least(0) else { return };
                    let slot = waiting.entry(*cap.time()).or_insert_with(|| (cap, Vec::new()));
                    batches.for_each(|batch| slot.1.append(batch));
                });
                let over = |epoch: &Epoch| !frontiers.iter().any(|frontier| frontier.less_equal(epoch));
                let mut output = output.activate();
                // Epoch by epoch, so that no question meets rows of a later one.
                while let Some(first) = waiting.first_entry().filter(|first| over(&as_of.last(*first.key()))) {
                    let (epoch, (cap, records)) = first.remove_entry();
                    let last = as_of.last(epoch);
                    responds.iter_mut().for_each(|respond| drop(respond(Step::Change(&|change| *change <= last))));
                    let mut session = output.session(&cap);
                    for Record { time, seq, value } in records {
                        let answers = responds.iter_mut().filter_map(|respond| respond(Step::Answer(&value))).collect();
                        session.give(Record { time, seq, value: (value, answers) });
                    }
                }
                // Changes do not pile up while no questions come.
                responds.iter_mut().for_each(|respond| drop(respond(Step::Change(&over))));
            }
        });
        // Only now: an operator that is begun and not built leaves a scope that cannot be.
        job.name_operator(name, id)?;
        let answered = Stream::from_inner(answered, &self).named(name, "indices");
        Ok(notes.into_iter().fold(answered, |answered, note| note(answered)))
    }
}
