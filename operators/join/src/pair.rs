//! What all joins share: two keyed streams as one, and how matches are said.

use crate::as_of::{AsOf, Version};
use crate::interval::Within;
use crate::lookup::LookupKernel;
use crate::window::SameWindow;
use serde::{Deserialize, Serialize};
use tidemill::timely::dataflow::operators::core::Map;
use tidemill::{Collection, Data, Error, Key, Keyed, Millis, Record, Result, Stream};

/// An event of either stream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Side<L, R> {
    /// Of the stream that joins.
    Left(L),
    /// Of the stream that is joined.
    Right(R),
}

/// What a full outer join finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair<L, R> {
    /// Two events that match.
    Both(L, R),
    /// A left event that nothing matched.
    Left(L),
    /// A right event that nothing matched.
    Right(R),
}

/// Both streams as one, keyed alike, under the lesser watermark.
pub(crate) type Both<'s, L, R, F> = Keyed<'s, Side<L, R>, F>;

/// Both inputs of the join called `name`. What comes of one record on both sides has two places, the left one first, so
/// that a stream joined with itself has an order too.
pub(crate) fn both<'s, L, R, K, FL, FR>(
    name: &str,
    left: Keyed<'s, L, FL>,
    right: Keyed<'s, R, FR>,
) -> Both<'s, L, R, impl Fn(&Side<L, R>) -> K + Clone + 'static>
where
    L: Data,
    R: Data,
    K: Key,
    FL: Fn(&L) -> K + Clone + 'static,
    FR: Fn(&R) -> K + Clone + 'static,
{
    let (of_left, of_right) = (left.key(), right.key());
    let left = side(left.stream(), 0, Side::Left).named(&format!("{name}, left"), "map");
    let right = side(right.stream(), 1, Side::Right).named(&format!("{name}, right"), "map");
    left.union(right).key_by(move |side| match side {
        Side::Left(event) => of_left(event),
        Side::Right(event) => of_right(event),
    })
}

fn side<'s, T: Data, L: Data, R: Data>(
    stream: &Stream<'s, T>,
    index: usize,
    side: fn(T) -> Side<L, R>,
) -> Stream<'s, Side<L, R>> {
    let placed =
        move |Record { time, seq, value }: Record<T>| Record { time, seq: seq.input(index), value: side(value) };
    Stream::from_inner(stream.inner().map(placed), stream)
}

/// Gives records of the same time and place, such as those of a stream that is the union of two made of one, an order that
/// does not hang on which came first. `records` are in order of time and place.
pub(crate) fn by_place<T: Data>(records: &mut [Record<T>]) {
    for equal in records.chunk_by_mut(|a, b| (a.time, a.seq) == (b.time, b.seq)).filter(|equal| equal.len() > 1) {
        // Into memory, of types that derive `Serialize`: the encoder has no way to fail.
        equal.sort_by_cached_key(|record| postcard::to_stdvec(&record.value).unwrap_or_default());
    }
}

/// Joins of a keyed stream.
pub trait Joins<'s, L: Data, K: Key, FL>: Sized {
    /// Joins with the events of another stream that have the same key; how they must lie in time is said next.
    fn join<R: Data, FR: Fn(&R) -> K + Clone + 'static>(self, right: Keyed<'s, R, FR>) -> Joining<'s, L, R, FL, FR>;

    /// Joins each event with the version of its key's row that was valid at the event's time and known at a moment:
    /// `moment` says which, such as the event's time, or that plus the days after which labels are complete. It is taken
    /// to be no earlier than the event's time.
    ///
    /// `versions` is a stream by known-at time. Of the versions known by then, the one with the greatest `valid_from` up
    /// to the event's time is taken, and of those with the same one the one known last. What becomes known later
    /// corrects nothing: an event is answered once, when the watermark passes its moment, at that moment.
    ///
    /// [`AsOf`] says what is kept, and for how long.
    fn join_versions<R, M>(self, versions: Stream<'s, Version<K, R>>, moment: M) -> AsOf<'s, L, K, R, FL, M>
    where
        R: Data,
        M: Fn(&L, Millis) -> Millis + 'static;

    /// [`Joins::join_versions`] and [`AsOf::join`] in one, where versions are never forgotten.
    ///
    /// # Errors
    ///
    /// If the job has an operator called `name` already.
    fn join_as_of<R, U, M, J>(
        self,
        name: &str,
        versions: Stream<'s, Version<K, R>>,
        moment: M,
        join: J,
    ) -> Result<(Stream<'s, U>, Stream<'s, Side<L, Version<K, R>>>)>
    where
        R: Data,
        U: Data,
        M: Fn(&L, Millis) -> Millis + 'static,
        J: Fn(&L, Option<&R>) -> U + 'static;

    /// Joins each event with the row of `rows` that is true for its key in the event's own epoch (the least, where there
    /// are several); an event for which `join` says `None` is left out. The event keeps its time, and later changes of
    /// the row correct nothing. Rows of later epochs are not known to it either, so where rows are read from a source, the
    /// events of the epochs in which that is still being read see a part of them.
    ///
    /// Held: the rows, by key, until the collection retracts them. They are no part of a checkpoint: like everything made
    /// of a collection they are built again from the rows that it says again at a restore.
    ///
    /// # Errors
    ///
    /// If the job has an operator called `name` already.
    fn lookup<R, U, FR, J>(self, name: &str, rows: Collection<'s, R>, key: FR, join: J) -> Result<Stream<'s, U>>
    where
        R: Data + Ord,
        U: Data,
        FR: Fn(&R) -> K + Clone + 'static,
        J: Fn(&L, Option<&R>) -> Option<U> + 'static;
}

impl<'s, L, K, FL> Joins<'s, L, K, FL> for Keyed<'s, L, FL>
where
    L: Data,
    K: Key,
    FL: Fn(&L) -> K + Clone + 'static,
{
    fn join<R: Data, FR: Fn(&R) -> K + Clone + 'static>(self, right: Keyed<'s, R, FR>) -> Joining<'s, L, R, FL, FR> {
        Joining { left: self, right }
    }

    fn join_versions<R, M>(self, versions: Stream<'s, Version<K, R>>, moment: M) -> AsOf<'s, L, K, R, FL, M>
    where
        R: Data,
        M: Fn(&L, Millis) -> Millis + 'static,
    {
        AsOf { left: self, versions, moment, forget_after: None }
    }

    fn join_as_of<R, U, M, J>(
        self,
        name: &str,
        versions: Stream<'s, Version<K, R>>,
        moment: M,
        join: J,
    ) -> Result<(Stream<'s, U>, Stream<'s, Side<L, Version<K, R>>>)>
    where
        R: Data,
        U: Data,
        M: Fn(&L, Millis) -> Millis + 'static,
        J: Fn(&L, Option<&R>) -> U + 'static,
    {
        self.join_versions(versions, moment).join(name, join)
    }

    fn lookup<R, U, FR, J>(self, name: &str, rows: Collection<'s, R>, key: FR, join: J) -> Result<Stream<'s, U>>
    where
        R: Data + Ord,
        U: Data,
        FR: Fn(&R) -> K + Clone + 'static,
        J: Fn(&L, Option<&R>) -> Option<U> + 'static,
    {
        // In the order of arrival nothing is late, so the time of changes does not matter.
        let changes = rows.rows_and_changes(|_| 0).key_by(move |update| key(&update.row));
        let both = both(name, self, changes);
        let kernel = LookupKernel::new(both.key(), join);
        Ok(both.kernel(name, kernel)?.0)
    }
}

/// Two keyed streams about to be joined.
pub struct Joining<'s, L: 'static, R: 'static, FL, FR> {
    pub(crate) left: Keyed<'s, L, FL>,
    pub(crate) right: Keyed<'s, R, FR>,
}

impl<'s, L: Data, R: Data, FL, FR> Joining<'s, L, R, FL, FR> {
    /// Matches a left event at time `t` with the right events from `t + from` to `t + to` ms, both included and either may
    /// be negative.
    pub fn within(self, from: Millis, to: Millis) -> Within<'s, L, R, FL, FR> {
        Within { joining: self, from, to }
    }

    /// Matches the events that lie in the same tumbling window of `width` ms.
    pub fn window(self, width: Millis) -> SameWindow<'s, L, R, FL, FR> {
        SameWindow { joining: self, width, offset: 0 }
    }
}

/// Which events come out although nothing matched them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outer {
    pub left: bool,
    pub right: bool,
}

pub(crate) type Joined<'s, L, R, U> = Result<(Stream<'s, U>, Stream<'s, Side<L, R>>)>;

pub(crate) fn refuse<T>(name: &str, fault: &str) -> Result<T> {
    Err(Error::Graph(format!("join `{name}` {fault}")))
}

/// Writes `inner`, `left`, `right` and `full` for a join whose kernel takes the sides that are there.
macro_rules! four_joins {
    ($type:ident) => {
        impl<'s, L, R, K, FL, FR> $type<'s, L, R, FL, FR>
        where
            L: Data,
            R: Data,
            K: Key,
            FL: Fn(&L) -> K + Clone + 'static,
            FR: Fn(&R) -> K + Clone + 'static,
        {
            /// Every pair that matches. The second stream holds what came too late.
            ///
            /// # Errors
            ///
            /// If the job has an operator called `name` already, or nothing can match.
            pub fn inner<U: Data>(
                self,
                name: &str,
                join: impl Fn(&L, &R) -> U + 'static,
            ) -> Result<(Stream<'s, U>, Stream<'s, Side<L, R>>)> {
                self.run(name, Outer::default(), move |l, r| Some(join(l?, r?)))
            }

            /// Every pair that matches, and left events that nothing matched.
            ///
            /// # Errors
            ///
            /// If the job has an operator called `name` already, or nothing can match.
            pub fn left<U: Data>(
                self,
                name: &str,
                join: impl Fn(&L, Option<&R>) -> U + 'static,
            ) -> Result<(Stream<'s, U>, Stream<'s, Side<L, R>>)> {
                self.run(name, Outer { left: true, right: false }, move |l, r| Some(join(l?, r)))
            }

            /// Every pair that matches, and right events that nothing matched.
            ///
            /// # Errors
            ///
            /// If the job has an operator called `name` already, or nothing can match.
            pub fn right<U: Data>(
                self,
                name: &str,
                join: impl Fn(Option<&L>, &R) -> U + 'static,
            ) -> Result<(Stream<'s, U>, Stream<'s, Side<L, R>>)> {
                self.run(name, Outer { left: false, right: true }, move |l, r| Some(join(l, r?)))
            }

            /// Every pair that matches, and the events of both sides that nothing matched.
            ///
            /// # Errors
            ///
            /// If the job has an operator called `name` already, or nothing can match.
            pub fn full<U: Data>(
                self,
                name: &str,
                join: impl Fn(Pair<&L, &R>) -> U + 'static,
            ) -> Result<(Stream<'s, U>, Stream<'s, Side<L, R>>)> {
                self.run(name, Outer { left: true, right: true }, move |l, r| match (l, r) {
                    (Some(l), Some(r)) => Some(join(Pair::Both(l, r))),
                    (Some(l), None) => Some(join(Pair::Left(l))),
                    (None, Some(r)) => Some(join(Pair::Right(r))),
                    (None, None) => None,
                })
            }
        }
    };
}
pub(crate) use four_joins;
