//! The windows by their definition: filter all facts, for each question anew.

#![allow(missing_docs, dead_code, reason = "shared by several test files")]

use std::collections::BTreeSet;

use proptest::prelude::*;
use tidemill_feature::{Answer, Distinct, Max, Min, Summary, Ties};

/// Column 0 is small with many repeats, column 1 anything.
pub const N: usize = 2;
pub const W: usize = 4;
pub type Tie = u8;
pub type All = (Min<1>, Max<0>, Distinct<0>);
pub type Reading = (Option<i64>, Option<i64>, u64);

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    pub at: (i64, Tie),
    pub values: [i64; N],
    pub fact: bool,
    pub question: bool,
}

/// Widths and delays, as the definition has them.
pub type Shape = [(u64, u64); W];

pub fn event() -> impl Strategy<Value = Event> {
    (0..60i64, 0..4u8, -2..3i64, any::<i32>(), 0..4u8).prop_map(|(time, tie, small, value, kind)| Event {
        at: (time, tie),
        values: [small, i64::from(value)],
        fact: kind != 1,
        question: kind != 2,
    })
}

pub fn shape() -> impl Strategy<Value = Shape> {
    let delay = prop_oneof![Just(0u64), 0..12u64];
    proptest::array::uniform4((0..20u64, delay))
}

pub fn ties() -> impl Strategy<Value = Ties> {
    prop_oneof![Just(Ties::Before), Just(Ties::All)]
}

/// The answer at `at`, from `facts` in order, of which those at the question's position or before it count as such.
pub fn answer<T: Ord>(
    shape: &Shape,
    ties: Ties,
    facts: &[((i64, T), [i64; N])],
    at: (i64, T),
) -> Answer<N, W, Reading> {
    shape.map(|(width, delay)| {
        let newest = at.0 - delay as i64;
        let held: Vec<[i64; N]> = facts
            .iter()
            .filter(|(fact, _)| newest - (width as i64) < fact.0 && fact.0 <= newest)
            .filter(|(fact, _)| delay > 0 || ties == Ties::All || *fact <= at)
            .map(|(_, values)| *values)
            .collect();
        Summary {
            count: held.len() as u64,
            sums: [0, 1].map(|column| held.iter().map(|values| values[column]).sum()),
            also: (
                held.iter().map(|values| values[1]).min(),
                held.iter().map(|values| values[0]).max(),
                held.iter().map(|values| values[0]).collect::<BTreeSet<_>>().len() as u64,
            ),
        }
    })
}
