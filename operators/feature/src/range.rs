//! A fact, and a window as a range of facts.

use serde::{Deserialize, Serialize};

use crate::{Aggregate, At, array};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Fact<const N: usize, T> {
    pub(crate) at: At<T>,
    #[serde(with = "array")]
    pub(crate) values: [i64; N],
}

/// The facts `start..end` of a window, numbered from the first ever, modulo 2^32.
#[derive(Clone, Debug)]
pub(crate) struct Range<const N: usize, X> {
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) sums: [i64; N],
    pub(crate) also: X,
}

impl<const N: usize, X: Aggregate<N>> Range<N, X> {
    pub(crate) fn at(number: u32) -> Self {
        Range { start: number, end: number, sums: [0; N], also: X::default() }
    }

    /// Where its facts lie in a queue from whose front `dropped` facts have gone.
    #[inline]
    pub(crate) fn places(&self, dropped: u32) -> std::ops::Range<usize> {
        self.start.wrapping_sub(dropped) as usize..self.end.wrapping_sub(dropped) as usize
    }

    /// The next fact enters.
    #[inline]
    pub(crate) fn enter(&mut self, values: &[i64; N]) {
        self.end = self.end.wrapping_add(1);
        add(&mut self.sums, values);
        self.also.enter(values);
    }

    /// The oldest fact leaves.
    #[inline]
    pub(crate) fn leave(&mut self, values: &[i64; N]) {
        self.start = self.start.wrapping_add(1);
        subtract(&mut self.sums, values);
        self.also.leave(values);
    }
}

pub(crate) fn collect<'a, const N: usize, T: 'a, X: Aggregate<N>>(facts: impl Iterator<Item = &'a Fact<N, T>>) -> X {
    let mut also = X::default();
    if X::KEEPS {
        facts.for_each(|fact| also.enter(&fact.values));
    }
    also
}

#[inline]
pub(crate) fn add<const N: usize>(sums: &mut [i64; N], values: &[i64; N]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += value;
    }
}

#[inline]
pub(crate) fn subtract<const N: usize>(sums: &mut [i64; N], values: &[i64; N]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum -= value;
    }
}
