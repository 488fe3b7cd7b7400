//! What windows keep of their events.

use std::marker::PhantomData;
use tidemill::{Data, State};

/// What a window keeps of its events, and what it says of them in the end.
///
/// The result must not depend on the order in which events were added: they are added as they
/// arrive. A tuple of aggregates of the same events is one too, and its result a tuple.
///
/// ```
/// use tidemill_window::Aggregate;
///
/// /// The dearest sale, in cents.
/// struct Dearest;
///
/// impl Aggregate for Dearest {
///     type In = (u32, i64);
///     type Acc = Option<i64>;
///     type Out = Option<i64>;
///
///     fn add(&self, dearest: &mut Option<i64>, (_item, cents): &(u32, i64)) {
///         *dearest = (*dearest).max(Some(*cents));
///     }
///
///     fn result(&self, dearest: &Option<i64>) -> Option<i64> {
///         *dearest
///     }
/// }
/// ```
pub trait Aggregate: 'static {
    /// The events.
    type In: Data;
    /// What is kept of them per key and window. It begins as `Acc::default()`.
    type Acc: State;
    /// The result.
    type Out: Data;

    /// Counts one event in.
    fn add(&self, acc: &mut Self::Acc, event: &Self::In);

    /// What the events so far amount to.
    fn result(&self, acc: &Self::Acc) -> Self::Out;
}

/// How many events there were.
#[derive(Clone, Copy, Debug)]
pub struct Count<T>(PhantomData<fn(&T)>);

impl<T> Count<T> {
    /// Counts events.
    pub fn new() -> Self {
        Count(PhantomData)
    }
}

impl<T> Default for Count<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Data> Aggregate for Count<T> {
    type In = T;
    type Acc = u64;
    type Out = u64;

    #[inline]
    fn add(&self, count: &mut u64, _: &T) {
        *count += 1;
    }

    #[inline]
    fn result(&self, count: &u64) -> u64 {
        *count
    }
}

/// The sum of a whole number of each event, such as cents. It is exact while it fits an `i64`,
/// and wraps around beyond.
#[derive(Clone, Copy, Debug)]
pub struct Sum<T, F>(F, PhantomData<fn(&T)>);

impl<T, F: Fn(&T) -> i64> Sum<T, F> {
    /// Sums what `number` says of each event.
    pub fn of(number: F) -> Self {
        Sum(number, PhantomData)
    }
}

impl<T: Data, F: Fn(&T) -> i64 + 'static> Aggregate for Sum<T, F> {
    type In = T;
    type Acc = i64;
    type Out = i64;

    #[inline]
    fn add(&self, sum: &mut i64, event: &T) {
        *sum = sum.wrapping_add((self.0)(event));
    }

    #[inline]
    fn result(&self, sum: &i64) -> i64 {
        *sum
    }
}

macro_rules! together {
    ($($name:ident $at:tt),*) => {
        impl<T: Data, $($name: Aggregate<In = T>),*> Aggregate for ($($name,)*) {
            type In = T;
            type Acc = ($($name::Acc,)*);
            type Out = ($($name::Out,)*);

            #[inline]
            fn add(&self, acc: &mut Self::Acc, event: &T) {
                $(self.$at.add(&mut acc.$at, event);)*
            }

            #[inline]
            fn result(&self, acc: &Self::Acc) -> Self::Out {
                ($(self.$at.result(&acc.$at),)*)
            }
        }
    };
}
together!(A 0);
together!(A 0, B 1);
together!(A 0, B 1, C 2);
together!(A 0, B 1, C 2, D 3);
