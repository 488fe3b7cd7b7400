//! Sliding windows over a keyed stream: what is counted, what is asked, and the two operators.

use std::marker::PhantomData;

use tidemill::{
    Collection, Data, DeadLetter, Epoch, Kernel, Key, Keyed, Record, Result, Stream, Update, differential_dataflow,
};

use crate::corrected::{AtOnceKernel, Meaning};
use crate::finals::FinalsKernel;
use crate::{Aggregate, Answer, Windows};

/// What an event is to its key's windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role<const N: usize> {
    /// It counts, with these values, and asks: a payment.
    Both([i64; N]),
    /// It only counts: a label.
    Fact([i64; N]),
    /// It only asks: a payment before its label is known.
    Question,
}

/// Sliding windows over events `T`: `N` value columns, `W` windows, and `X` what they keep besides
/// count and sums.
///
/// ```
/// use tidemill_feature::{DAY, Distinct, Role, Sliding, Span, Windows};
///
/// struct Payment { cents: i64, terminal: i64 }
/// const WINDOWS: Windows<2> = Windows::new([Span::last(DAY), Span::last(7 * DAY)]);
///
/// // Cents and different terminals over a day and a week.
/// let velocity = Sliding::new(WINDOWS, |p: &Payment| Role::Both([p.cents, p.terminal])).keeping::<Distinct<1>>();
/// ```
pub struct Sliding<F, const N: usize, const W: usize, X = ()> {
    pub(crate) windows: Windows<W>,
    pub(crate) role: F,
    keeping: PhantomData<X>,
}

impl<F: Clone, const N: usize, const W: usize, X> Clone for Sliding<F, N, W, X> {
    fn clone(&self) -> Self {
        Sliding { windows: self.windows, role: self.role.clone(), keeping: PhantomData }
    }
}

impl<F, const N: usize, const W: usize> Sliding<F, N, W> {
    /// These windows over events whose part in them `role` says.
    pub fn new<T>(windows: Windows<W>, role: F) -> Self
    where
        F: Fn(&T) -> Role<N> + Clone + 'static,
    {
        Sliding { windows, role, keeping: PhantomData }
    }

    /// Keeps [`crate::Min`], [`crate::Max`], [`crate::Distinct`] or several of them as well.
    pub fn keeping<X: Aggregate<N>>(self) -> Sliding<F, N, W, X> {
        Sliding { windows: self.windows, role: self.role, keeping: PhantomData }
    }
}

impl<F, const N: usize, const W: usize, X: Aggregate<N>> Sliding<F, N, W, X> {
    /// What [`SlidingWindows::finals`] runs: for tests, in a [`tidemill::harness::Harness`].
    pub fn finals_kernel<T, K, G>(
        self,
        name: &str,
        key: G,
    ) -> impl Kernel<In = T, Out = Record<(T, Answer<N, W, X::Reading>)>> + use<F, T, K, G, N, W, X>
    where
        T: Data,
        K: Key,
        G: Fn(&T) -> K + 'static,
        F: Fn(&T) -> Role<N> + 'static,
        X::Reading: Data,
    {
        FinalsKernel::<_, _, _, _, N, W, X>::new(name, key, self.windows, self.role)
    }

    /// What [`SlidingWindows::at_once`] runs: for tests, in a [`tidemill::harness::Harness`].
    pub fn at_once_kernel<T, K, G>(
        self,
        name: &str,
        key: G,
    ) -> impl Kernel<In = T, Out = ((T, Answer<N, W, X::Reading>), Epoch, isize)> + use<F, T, K, G, N, W, X>
    where
        T: Data + differential_dataflow::Data,
        K: Key,
        G: Fn(&T) -> K + 'static,
        F: Fn(&T) -> Role<N> + 'static,
        X::Reading: Data + differential_dataflow::Data,
    {
        let Sliding { windows, role, .. } = self;
        let meaning = move |event: &T| role(event).meaning(event, 1);
        let letter = |name: &str, event: &T, reason| DeadLetter::of(name, event, reason);
        AtOnceKernel::<_, _, _, _, _, N, W, X>::new(name, key, windows, meaning, letter)
    }

    /// What [`SlidingWindowsOfUpdates::updates_at_once`] runs: for tests, in a [`tidemill::harness::Harness`].
    pub fn updates_at_once_kernel<T, K, G>(
        self,
        name: &str,
        key: G,
    ) -> impl Kernel<In = Update<T>, Out = ((T, Answer<N, W, X::Reading>), Epoch, isize)> + use<F, T, K, G, N, W, X>
    where
        T: Data + differential_dataflow::Data,
        K: Key,
        G: Fn(&Update<T>) -> K + 'static,
        F: Fn(&T) -> Role<N> + 'static,
        X::Reading: Data + differential_dataflow::Data,
    {
        let Sliding { windows, role, .. } = self;
        let meaning = move |Update { row, diff }: &Update<T>| role(row).meaning(row, *diff);
        let letter = |name: &str, update: &Update<T>, reason| DeadLetter::of(name, &update.row, reason);
        AtOnceKernel::<_, _, _, _, _, N, W, X>::new(name, key, windows, meaning, letter)
    }
}

impl<const N: usize> Role<N> {
    /// What it means that an event of this role is there so many times more.
    fn meaning<T: Clone>(self, event: &T, diff: isize) -> Meaning<T, N> {
        let (fact, asks) = match self {
            Role::Both(values) => (Some((values, diff)), true),
            Role::Fact(values) => (Some((values, diff)), false),
            Role::Question => (None, true),
        };
        Meaning { fact, question: asks.then(|| (event.clone(), diff)) }
    }
}

/// Sliding windows as operators on a keyed stream.
pub trait SlidingWindows<'s, T: Data> {
    /// *Final*: each question once, when the watermark has passed it, with the answer that will
    /// never change: what a training set needs. The second stream holds the events that came
    /// behind the watermark.
    ///
    /// Events are taken by event time, ties by place ([`tidemill::Seq`]). State per key reaches back as far as
    /// the widest window, and an idle key's goes when nothing can reach it any more.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`](tidemill::Error::Graph) if the name is taken or all that is read comes from control sources, which
    /// have no watermark.
    fn finals<F, const N: usize, const W: usize, X>(
        self,
        name: &str,
        sliding: Sliding<F, N, W, X>,
    ) -> Result<(Stream<'s, (T, Answer<N, W, X::Reading>)>, Stream<'s, T>)>
    where
        F: Fn(&T) -> Role<N> + Clone + 'static,
        X: Aggregate<N>,
        X::Reading: Data;

    /// *At once*: each question in its own epoch, with what is known, as a row that what comes
    /// later corrects: what a payment needs. A fact that comes late changes exactly the rows it
    /// touches.
    ///
    /// The horizon lies [`Windows::lateness`] behind the watermark as it was when the epoch began.
    /// Rows from the horizon on are corrected. One behind it is retracted when the watermark moves
    /// on, or its key has another event; so never in the epoch that asked. When the input ends, the
    /// rows that stand are left standing.
    ///
    /// The stream holds the events that came too late, and have changed nothing: a question behind
    /// the horizon, a fact that no question from the horizon on can reach.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`](tidemill::Error::Graph) if the name is taken.
    fn at_once<F, const N: usize, const W: usize, X>(
        self,
        name: &str,
        sliding: Sliding<F, N, W, X>,
    ) -> Result<(Collection<'s, (T, Answer<N, W, X::Reading>)>, Stream<'s, T>)>
    where
        T: differential_dataflow::Data,
        F: Fn(&T) -> Role<N> + Clone + 'static,
        X: Aggregate<N>,
        X::Reading: Data + differential_dataflow::Data;
}

/// Sliding windows over events that can be taken back: as an operator on a keyed stream of their updates.
pub trait SlidingWindowsOfUpdates<'s, T: Data> {
    /// [`SlidingWindows::at_once`], but what an update with a `diff` below 0 takes back was never there: the row of its
    /// question goes, and exactly the rows that its fact touched are corrected.
    ///
    /// An update takes back the event of its own time and place ([`tidemill::Seq::said`]), as one of
    /// [`Collection::changes`] does, and one whose operator keeps both. What takes back a fact that was never there, or was
    /// refused, goes to the dead-letter stream; the stream of what came too late holds what takes back facts that are no longer
    /// kept, too.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`](tidemill::Error::Graph) if the name is taken.
    fn updates_at_once<F, const N: usize, const W: usize, X>(
        self,
        name: &str,
        sliding: Sliding<F, N, W, X>,
    ) -> Result<(Collection<'s, (T, Answer<N, W, X::Reading>)>, Stream<'s, Update<T>>)>
    where
        T: differential_dataflow::Data,
        F: Fn(&T) -> Role<N> + Clone + 'static,
        X: Aggregate<N>,
        X::Reading: Data + differential_dataflow::Data;
}

impl<'s, T, K, G> SlidingWindowsOfUpdates<'s, T> for Keyed<'s, Update<T>, G>
where
    T: Data,
    K: Key,
    G: Fn(&Update<T>) -> K + Clone + 'static,
{
    fn updates_at_once<F, const N: usize, const W: usize, X>(
        self,
        name: &str,
        sliding: Sliding<F, N, W, X>,
    ) -> Result<(Collection<'s, (T, Answer<N, W, X::Reading>)>, Stream<'s, Update<T>>)>
    where
        T: differential_dataflow::Data,
        F: Fn(&T) -> Role<N> + Clone + 'static,
        X: Aggregate<N>,
        X::Reading: Data + differential_dataflow::Data,
    {
        let kernel = sliding.updates_at_once_kernel(name, self.key());
        self.kernel_rows(name, kernel)
    }
}

impl<'s, T, K, G> SlidingWindows<'s, T> for Keyed<'s, T, G>
where
    T: Data,
    K: Key,
    G: Fn(&T) -> K + Clone + 'static,
{
    fn finals<F, const N: usize, const W: usize, X>(
        self,
        name: &str,
        sliding: Sliding<F, N, W, X>,
    ) -> Result<(Stream<'s, (T, Answer<N, W, X::Reading>)>, Stream<'s, T>)>
    where
        F: Fn(&T) -> Role<N> + Clone + 'static,
        X: Aggregate<N>,
        X::Reading: Data,
    {
        let kernel = sliding.finals_kernel(name, self.key());
        self.kernel(name, kernel)
    }

    fn at_once<F, const N: usize, const W: usize, X>(
        self,
        name: &str,
        sliding: Sliding<F, N, W, X>,
    ) -> Result<(Collection<'s, (T, Answer<N, W, X::Reading>)>, Stream<'s, T>)>
    where
        T: differential_dataflow::Data,
        F: Fn(&T) -> Role<N> + Clone + 'static,
        X: Aggregate<N>,
        X::Reading: Data + differential_dataflow::Data,
    {
        let kernel = sliding.at_once_kernel(name, self.key());
        self.kernel_rows(name, kernel)
    }
}
