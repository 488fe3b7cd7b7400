//! Counts, sums, means and variances: all invertible, and exact for whole numbers.

use crate::Aggregate;
use ordered_float::OrderedFloat;
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;
use tidemill::Data;

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

    const INVERTIBLE: bool = true;

    #[inline]
    fn add(&self, count: &mut u64, _: &T) {
        *count += 1;
    }

    #[inline]
    fn merge(&self, count: &mut u64, other: &u64) {
        *count += other;
    }

    #[inline]
    fn sub(&self, count: &mut u64, other: &u64) {
        *count -= other;
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

    const INVERTIBLE: bool = true;

    #[inline]
    fn add(&self, sum: &mut i64, event: &T) {
        *sum = sum.wrapping_add((self.0)(event));
    }

    #[inline]
    fn merge(&self, sum: &mut i64, other: &i64) {
        *sum = sum.wrapping_add(*other);
    }

    #[inline]
    fn sub(&self, sum: &mut i64, other: &i64) {
        *sum = sum.wrapping_sub(*other);
    }

    #[inline]
    fn result(&self, sum: &i64) -> i64 {
        *sum
    }
}

/// Count, sum and sum of squares of whole numbers: exact while the squares' sum fits an `i128`, and wrapping beyond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moments {
    count: u64,
    sum: i128,
    squares: i128,
}

impl Moments {
    fn add(&mut self, number: i64) {
        let number = i128::from(number);
        self.count += 1;
        self.sum = self.sum.wrapping_add(number);
        self.squares = self.squares.wrapping_add(number * number);
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
        self.squares = self.squares.wrapping_add(other.squares);
    }

    fn sub(&mut self, other: &Self) {
        self.count -= other.count;
        self.sum = self.sum.wrapping_sub(other.sum);
        self.squares = self.squares.wrapping_sub(other.squares);
    }

    fn mean(&self) -> f64 {
        self.sum as f64 / self.count as f64
    }

    fn variance(&self) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        // Around the whole part of the mean, which leaves small numbers also where the squares themselves have wrapped.
        let (count, n) = (i128::from(self.count), self.count as f64);
        let whole = self.sum.div_euclid(count);
        let rest = (self.sum - count * whole) as f64 / n;
        let around = self.squares.wrapping_sub(whole.wrapping_mul(self.sum.wrapping_add(self.sum - count * whole)));
        (around as f64 / n - rest * rest).max(0.0)
    }
}

macro_rules! of_moments {
    ($(#[$doc:meta])* $name:ident, $verb:literal, $result:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name<T, F>(F, PhantomData<fn(&T)>);

        impl<T, F: Fn(&T) -> i64> $name<T, F> {
            #[doc = concat!($verb, " what `number` says of each event.")]
            pub fn of(number: F) -> Self {
                $name(number, PhantomData)
            }
        }

        impl<T: Data, F: Fn(&T) -> i64 + 'static> Aggregate for $name<T, F> {
            type In = T;
            type Acc = Moments;
            type Out = OrderedFloat<f64>;

            const INVERTIBLE: bool = true;

            #[inline]
            fn add(&self, acc: &mut Moments, event: &T) {
                acc.add((self.0)(event));
            }

            #[inline]
            fn merge(&self, acc: &mut Moments, other: &Moments) {
                acc.merge(other);
            }

            #[inline]
            fn sub(&self, acc: &mut Moments, other: &Moments) {
                acc.sub(other);
            }

            #[inline]
            fn result(&self, acc: &Moments) -> OrderedFloat<f64> {
                OrderedFloat(acc.$result())
            }
        }
    };
}

of_moments!(
    /// The mean of a whole number of each event, as a float with an order, so that rows can hold it: `*mean` is the `f64`.
    Mean, "Averages", mean
);
of_moments!(
    /// The population variance (the mean squared distance from the mean) of a whole number of each event, computed from exact
    /// sums. Times `n / (n - 1)` it is the sample variance.
    Variance, "The variance of", variance
);
