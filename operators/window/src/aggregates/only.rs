//! Some of the events.

use crate::Aggregate;

/// Another aggregate of those events only that a test says yes to. Where there are none it says what it says of
/// nothing: 0 for counts and sums, NaN for means, the type's default for extremes.
///
/// ```
/// use tidemill_window::{Aggregate, Count, Only};
///
/// // How many sales there were, and how many of them for 100 or more.
/// let sales = (Count::new(), Only::of(|cents: &i64| *cents >= 10_000, Count::new()));
/// let mut acc = Default::default();
/// [250, 12_000, 990].iter().for_each(|cents| sales.add(&mut acc, cents));
/// assert_eq!(sales.result(&acc), (3, 1));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Only<A, P> {
    test: P,
    aggregate: A,
}

impl<A: Aggregate, P: Fn(&A::In) -> bool> Only<A, P> {
    /// `aggregate` of the events that `test` says yes to.
    pub fn of(test: P, aggregate: A) -> Self {
        Only { test, aggregate }
    }
}

impl<A: Aggregate, P: Fn(&A::In) -> bool + 'static> Aggregate for Only<A, P> {
    type In = A::In;
    type Acc = A::Acc;
    type Out = A::Out;

    const INVERTIBLE: bool = A::INVERTIBLE;

    #[inline]
    fn add(&self, acc: &mut A::Acc, event: &A::In) {
        if (self.test)(event) {
            self.aggregate.add(acc, event);
        }
    }

    #[inline]
    fn merge(&self, acc: &mut A::Acc, other: &A::Acc) {
        self.aggregate.merge(acc, other);
    }

    #[inline]
    fn sub(&self, acc: &mut A::Acc, other: &A::Acc) {
        self.aggregate.sub(acc, other);
    }

    #[inline]
    fn result(&self, acc: &A::Acc) -> A::Out {
        self.aggregate.result(acc)
    }
}
