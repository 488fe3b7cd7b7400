//! One question to several indices, each of which follows a collection of its own.

use crate::ask::{AsOf, Index, change};
use crate::follow::{Coming, Meet, meet};
use tidemill::differential_dataflow::ExchangeData;
use tidemill::differential_dataflow::consolidation::consolidate;
use tidemill::timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use tidemill::{Collection, Data, Epoch, Record, Result, Stream, everywhere};

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
    pub fn new<X: Index<Question = Q, Answer = A>>(rows: Collection<'s, X::Row>, index: X) -> Self {
        Self::following(rows, |coming| Box::new(Indexed { coming, index }))
    }

    /// Has no answer of its own: puts down in the question what is to be known of `rows`, in their order and with how often each
    /// is there, as they were before the question's epoch and as they are at its end; those after it are asked the question with
    /// that. For questions as of [`AsOf::Now`], and a few rows: they are copied in each epoch.
    pub fn noting<R: ExchangeData>(
        rows: Collection<'s, R>,
        note: impl FnMut(&mut Q, &[(R, isize)], &[(R, isize)]) + 'static,
    ) -> Self {
        Self::following(rows, |coming| Box::new(Noting { coming, before: Vec::new(), now: Vec::new(), note }))
    }

    fn following<R: ExchangeData>(
        rows: Collection<'s, R>,
        respond: impl FnOnce(Coming<R>) -> Box<dyn Respond<Q, A>> + 's,
    ) -> Self {
        let noted = rows.clone();
        let join = move |builder: &mut OperatorBuilder<'s, Epoch>| {
            respond(Coming::new(builder, everywhere(rows.inner().inner)))
        };
        Respondent { join: Box::new(join), note: Box::new(move |stream| stream.also_of_rows(&noted)) }
    }
}

/// An index in its operator.
trait Respond<Q, A> {
    fn take(&mut self);

    fn change(&mut self, is_due: &dyn Fn(&Epoch) -> bool);

    fn answer(&mut self, question: &mut Q) -> Option<A>;
}

struct Indexed<X: Index> {
    coming: Coming<X::Row>,
    index: X,
}

impl<X: Index> Respond<X::Question, X::Answer> for Indexed<X> {
    fn take(&mut self) {
        self.coming.take();
    }

    fn change(&mut self, is_due: &dyn Fn(&Epoch) -> bool) {
        self.coming.make(is_due, |changes| change(&mut self.index, changes));
    }

    fn answer(&mut self, question: &mut X::Question) -> Option<X::Answer> {
        Some(self.index.answer(question))
    }
}

/// Rows of which something is put down.
struct Noting<R, F> {
    coming: Coming<R>,
    before: Vec<(R, isize)>,
    now: Vec<(R, isize)>,
    note: F,
}

impl<Q, A, R: ExchangeData, F: FnMut(&mut Q, &[(R, isize)], &[(R, isize)]) + 'static> Respond<Q, A> for Noting<R, F> {
    fn take(&mut self) {
        self.coming.take();
    }

    fn change(&mut self, is_due: &dyn Fn(&Epoch) -> bool) {
        let Noting { coming, before, now, .. } = self;
        let mut follow = |now: &mut Vec<(R, isize)>, is_due: &dyn Fn(&Epoch) -> bool| {
            coming.make(is_due, |changes| now.extend(changes));
            consolidate(now);
        };
        follow(now, &|epoch| is_due(&epoch.saturating_add(1)));
        before.clone_from(now);
        follow(now, is_due);
    }

    fn answer(&mut self, question: &mut Q) -> Option<A> {
        (self.note)(question, &self.before, &self.now);
        None
    }
}

/// All indices of an operator.
struct Several<Q, A>(Vec<Box<dyn Respond<Q, A>>>);

impl<Q: Data, A: Data> Meet<Q, (Q, Vec<A>)> for Several<Q, A> {
    fn take(&mut self) {
        self.0.iter_mut().for_each(|of| of.take());
    }

    fn change(&mut self, is_due: &dyn Fn(&Epoch) -> bool) {
        self.0.iter_mut().for_each(|of| of.change(is_due));
    }

    fn meet(&mut self, Record { time, seq, mut value }: Record<Q>, made: &mut Vec<Record<(Q, Vec<A>)>>) {
        let answers = self.0.iter_mut().filter_map(|of| of.answer(&mut value)).collect();
        made.push(Record { time, seq, value: (value, answers) });
    }
}

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
        let (joins, notes): (Vec<_>, Vec<_>) = respondents.into_iter().map(|of| (of.join, of.note)).unzip();
        let answered = meet((&self, self.clone().inner()), (name, "indices"), as_of, |builder| {
            Several(joins.into_iter().map(|join| join(builder)).collect())
        })?;
        Ok(notes.into_iter().fold(answered, |answered, note| note(answered)))
    }
}
