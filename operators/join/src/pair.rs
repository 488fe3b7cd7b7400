//! What all joins share: two keyed streams as one, and how matches are said.

use crate::as_of::{AsOfKernel, Version};
use crate::interval::Within;
use crate::lookup::LookupKernel;
use crate::window::SameWindow;
use serde::{Deserialize, Serialize};
use tidemill::{Collection, Data, Error, Key, Keyed, Millis, Result, Stream};

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

pub(crate) fn both<'s, L, R, K, FL, FR>(
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
    let left = left.stream().clone().map(Side::Left);
    left.union(right.stream().clone().map(Side::Right)).key_by(move |side| match side {
        Side::Left(event) => of_left(event),
        Side::Right(event) => of_right(event),
    })
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
    /// The second stream holds the events and versions that were behind the watermark. State: events that wait, and of
    /// each key the version that is valid at the watermark (or that none is), those after it, and those before it that waiting
    /// events need: like a table by key, it grows with the keys and not with time.
    fn join_as_of<R, U, FV, M, J>(
        self,
        name: &str,
        versions: Keyed<'s, Version<R>, FV>,
        moment: M,
        join: J,
    ) -> Result<(Stream<'s, U>, Stream<'s, Side<L, Version<R>>>)>
    where
        R: Data,
        U: Data,
        FV: Fn(&Version<R>) -> K + Clone + 'static,
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

    fn join_as_of<R, U, FV, M, J>(
        self,
        name: &str,
        versions: Keyed<'s, Version<R>, FV>,
        moment: M,
        join: J,
    ) -> Result<(Stream<'s, U>, Stream<'s, Side<L, Version<R>>>)>
    where
        R: Data,
        U: Data,
        FV: Fn(&Version<R>) -> K + Clone + 'static,
        M: Fn(&L, Millis) -> Millis + 'static,
        J: Fn(&L, Option<&R>) -> U + 'static,
    {
        let both = both(self, versions);
        let kernel = AsOfKernel::new(both.key(), moment, join);
        both.kernel(name, kernel)
    }

    fn lookup<R, U, FR, J>(self, name: &str, rows: Collection<'s, R>, key: FR, join: J) -> Result<Stream<'s, U>>
    where
        R: Data + Ord,
        U: Data,
        FR: Fn(&R) -> K + Clone + 'static,
        J: Fn(&L, Option<&R>) -> Option<U> + 'static,
    {
        // In the order of arrival nothing is late, so the time of changes does not matter.
        let changes = rows.changes(|_| 0).key_by(move |update| key(&update.row));
        let both = both(self, changes);
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
        SameWindow { joining: self, width }
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
            pub fn inner<U: Data>(
                self,
                name: &str,
                join: impl Fn(&L, &R) -> U + 'static,
            ) -> Result<(Stream<'s, U>, Stream<'s, Side<L, R>>)> {
                self.run(name, Outer::default(), move |l, r| Some(join(l?, r?)))
            }

            /// Every pair that matches, and left events that nothing matched.
            pub fn left<U: Data>(
                self,
                name: &str,
                join: impl Fn(&L, Option<&R>) -> U + 'static,
            ) -> Result<(Stream<'s, U>, Stream<'s, Side<L, R>>)> {
                self.run(name, Outer { left: true, right: false }, move |l, r| Some(join(l?, r)))
            }

            /// Every pair that matches, and right events that nothing matched.
            pub fn right<U: Data>(
                self,
                name: &str,
                join: impl Fn(Option<&L>, &R) -> U + 'static,
            ) -> Result<(Stream<'s, U>, Stream<'s, Side<L, R>>)> {
                self.run(name, Outer { left: false, right: true }, move |l, r| Some(join(l, r?)))
            }

            /// Every pair that matches, and the events of both sides that nothing matched.
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
