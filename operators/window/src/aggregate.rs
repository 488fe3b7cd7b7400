//! What windows keep of their events.

use tidemill::{Data, State};

/// What a window keeps of its events, and what it says of them in the end.
///
/// The result must not depend on the order in which events were added or accumulators merged: events are added as they
/// arrive. A tuple of up to six aggregates of the same events is one too, and its result a tuple.
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
///     fn merge(&self, dearest: &mut Option<i64>, other: &Option<i64>) {
///         *dearest = (*dearest).max(*other);
///     }
///
///     fn result(&self, dearest: &Option<i64>) -> Option<i64> {
///         *dearest
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no aggregate of these events",
    note = "use one of `tidemill_window` (`Count::new()`, `Sum::of(|e| …)`, …), a tuple of up to six, or implement `Aggregate`",
    note = "all aggregates of a tuple must have the same `In`",
    note = "more in `tidemill::guide`, \"When the compiler complains\""
)]
pub trait Aggregate: 'static {
    /// The events.
    type In: Data;
    /// What is kept of them per key and window. It begins as `Acc::default()`.
    type Acc: State;
    /// The result.
    type Out: Data;

    /// Whether [`Aggregate::sub`] is there: then what hopping windows share is added and taken away once, not added up
    /// for each window.
    const INVERTIBLE: bool = false;

    /// Counts one event in.
    fn add(&self, acc: &mut Self::Acc, event: &Self::In);

    /// Counts in all that `other` holds.
    fn merge(&self, acc: &mut Self::Acc, other: &Self::Acc);

    /// Takes out all that `other` holds, which was merged in before. Only called where `INVERTIBLE`.
    fn sub(&self, _acc: &mut Self::Acc, _other: &Self::Acc) {}

    /// What the events so far amount to. There is at least one.
    fn result(&self, acc: &Self::Acc) -> Self::Out;
}

macro_rules! together {
    ($($name:ident $at:tt),*) => {
        impl<T: Data, $($name: Aggregate<In = T>),*> Aggregate for ($($name,)*) {
            type In = T;
            type Acc = ($($name::Acc,)*);
            type Out = ($($name::Out,)*);

            const INVERTIBLE: bool = true $(&& $name::INVERTIBLE)*;

            #[inline]
            fn add(&self, acc: &mut Self::Acc, event: &T) {
                $(self.$at.add(&mut acc.$at, event);)*
            }

            #[inline]
            fn merge(&self, acc: &mut Self::Acc, other: &Self::Acc) {
                $(self.$at.merge(&mut acc.$at, &other.$at);)*
            }

            #[inline]
            fn sub(&self, acc: &mut Self::Acc, other: &Self::Acc) {
                $(self.$at.sub(&mut acc.$at, &other.$at);)*
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
together!(A 0, B 1, C 2, D 3, E 4);
together!(A 0, B 1, C 2, D 3, E 4, F 5);
