//! What a window keeps besides count and sums.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::fmt::Debug;

use rustc_hash::FxHashMap;

/// Something a window of facts with `N` value columns keeps up to date: one per window and key.
///
/// Facts leave in the order in which they entered. `()` keeps nothing and costs nothing; pairs and triples keep each of
/// their parts. The state is rebuilt from the facts after a restore, so it need not be serialised.
///
/// ```
/// use tidemill_feature::{Distinct, History, Max, Span, Windows};
///
/// // Column 0 is the amount, column 1 the shop: the largest amount, and how many shops.
/// const WINDOWS: Windows<1> = Windows::new([Span::last(1_000)]);
/// let mut card = History::<2, 1, u64, (Max<0>, Distinct<1>)>::default();
/// card.push(&WINDOWS, (100, 0), [950, 7])?;
/// card.push(&WINDOWS, (200, 1), [120, 8])?;
/// let [last] = card.push(&WINDOWS, (300, 2), [300, 7])?;
/// assert_eq!(last.also, (Some(950), 2));
/// # Ok::<(), tidemill_feature::Refused>(())
/// ```
pub trait Aggregate<const N: usize>: Default + 'static {
    /// What it answers.
    type Reading: Copy + PartialEq + Debug;

    /// Whether the order of entering matters. If so, a late fact rebuilds the window instead of entering out of turn.
    const ORDERED: bool;

    /// Whether there is anything to keep; `false` spares the walk over a past window's facts.
    const KEEPS: bool = true;

    /// A fact enters the window.
    fn enter(&mut self, values: &[i64; N]);

    /// A fact leaves the window: the one that entered first, or any one if the order does not matter.
    fn leave(&mut self, values: &[i64; N]);

    /// The answer for the facts now in the window.
    fn read(&self) -> Self::Reading;
}

impl<const N: usize> Aggregate<N> for () {
    type Reading = ();
    const ORDERED: bool = false;
    const KEEPS: bool = false;

    #[inline]
    fn enter(&mut self, _: &[i64; N]) {}

    #[inline]
    fn leave(&mut self, _: &[i64; N]) {}

    #[inline]
    fn read(&self) {}
}

macro_rules! parts {
    ($($part:ident $index:tt),+) => {
        impl<const N: usize, $($part: Aggregate<N>),+> Aggregate<N> for ($($part,)+) {
            type Reading = ($($part::Reading,)+);
            const ORDERED: bool = $($part::ORDERED)||+;
            const KEEPS: bool = $($part::KEEPS)||+;

            fn enter(&mut self, values: &[i64; N]) {
                $(self.$index.enter(values);)+
            }

            fn leave(&mut self, values: &[i64; N]) {
                $(self.$index.leave(values);)+
            }

            fn read(&self) -> Self::Reading {
                ($(self.$index.read(),)+)
            }
        }
    };
}

parts!(A 0, B 1);
parts!(A 0, B 1, C 2);

/// The least value of column `C`, `None` if the window is empty; amortised constant time per fact.
#[derive(Clone, Debug, Default)]
pub struct Min<const C: usize>(Leaders);

/// The greatest value of column `C`, `None` if the window is empty; amortised constant time per fact.
#[derive(Clone, Debug, Default)]
pub struct Max<const C: usize>(Leaders);

macro_rules! extreme {
    ($name:ident, $beaten:expr) => {
        impl<const N: usize, const C: usize> Aggregate<N> for $name<C> {
            type Reading = Option<i64>;
            const ORDERED: bool = true;

            fn enter(&mut self, values: &[i64; N]) {
                const { assert!(C < N, "there is no such value column") };
                self.0.enter(values[C], $beaten);
            }

            fn leave(&mut self, values: &[i64; N]) {
                self.0.leave(values[C]);
            }

            fn read(&self) -> Option<i64> {
                self.0.0.front().copied()
            }
        }
    };
}

extreme!(Min, Ordering::Greater);
extreme!(Max, Ordering::Less);

/// The values that lead from some fact of the window to its end, best first: a value is dropped once a later one beats
/// it, and equal ones stay, so that the front leaves exactly when its fact does.
#[derive(Clone, Debug, Default)]
struct Leaders(VecDeque<i64>);

impl Leaders {
    fn enter(&mut self, value: i64, beaten: Ordering) {
        while self.0.back().is_some_and(|last| last.cmp(&value) == beaten) {
            self.0.pop_back();
        }
        self.0.push_back(value);
    }

    fn leave(&mut self, value: i64) {
        if self.0.front() == Some(&value) {
            self.0.pop_front();
        }
    }
}

/// How many different values column `C` has; a map from value to its number of facts.
#[derive(Clone, Debug, Default)]
pub struct Distinct<const C: usize>(FxHashMap<i64, u32>);

impl<const N: usize, const C: usize> Aggregate<N> for Distinct<C> {
    type Reading = u64;
    const ORDERED: bool = false;

    fn enter(&mut self, values: &[i64; N]) {
        const { assert!(C < N, "there is no such value column") };
        *self.0.entry(values[C]).or_default() += 1;
    }

    fn leave(&mut self, values: &[i64; N]) {
        if let Some(facts) = self.0.get_mut(&values[C]) {
            *facts -= 1;
            if *facts == 0 {
                self.0.remove(&values[C]);
            }
        }
    }

    fn read(&self) -> u64 {
        self.0.len() as u64
    }
}
