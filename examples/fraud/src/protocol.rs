//! Which payments a model learns from and which it is judged on.
//!
//! The handbook's prequential validation (chapter 5, "Validation strategies"; the split itself in
//! chapter 3, "Baseline fraud detection system"): a week to train on, a week of delay in which
//! labels become known, and a week of test. Models are chosen on [`VALIDATION`] and reported on
//! [`TEST`].

use std::{collections::HashSet, ops::Range};

use crate::transaction::Transaction;

/// The days of a training week, and as many again of delay and of test.
pub const WEEK: u32 = 7;

/// The folds that results are reported on: training starts on 2018-08-15, 08-08, 08-01, 07-25.
pub const TEST: [Fold; 4] = [Fold::new(136), Fold::new(129), Fold::new(122), Fold::new(115)];

/// The folds that hyperparameters are chosen on: training starts on 2018-07-11, 07-04, 06-27,
/// 06-20. The latest of them ends its test on the last day before the earliest test of [`TEST`].
pub const VALIDATION: [Fold; 4] = [Fold::new(101), Fold::new(94), Fold::new(87), Fold::new(80)];

/// The split of the handbook's chapter 3: training from 2018-07-25 to 31, test from 08-08 to 14.
pub const SINGLE: Fold = TEST[3];

/// Three weeks in a row: training, delay and test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fold {
    /// The first day of training, counted from the data set's first.
    pub train_start_day: u32,
}

impl Fold {
    /// The fold whose training starts on this day.
    pub const fn new(train_start_day: u32) -> Self {
        Self { train_start_day }
    }

    /// The days of training.
    pub fn train_days(&self) -> Range<u32> {
        self.train_start_day..self.train_start_day + WEEK
    }

    /// The days of test.
    pub fn test_days(&self) -> Range<u32> {
        let start = self.train_start_day + 2 * WEEK;
        start..start + WEEK
    }

    /// The places of the training rows among `rows`, which are in time order.
    pub fn train(&self, rows: &[Transaction]) -> Range<usize> {
        places(rows, self.train_days())
    }

    /// The places of the test rows among `rows`, which are in time order; ascending.
    ///
    /// A card that is known to be compromised would have been blocked, so its rows are left out:
    /// on the test day `k` (0 to 6) those of every customer with a fraud between the first day of
    /// training and the day `k` of the delay week less one, that is, more than a week earlier.
    pub fn test(&self, rows: &[Transaction]) -> Vec<usize> {
        let mut blocked = HashSet::new();
        let mut known = self.train_start_day;
        let mut kept = Vec::new();
        for day in self.test_days() {
            let news = &rows[places(rows, known..day - WEEK)];
            blocked.extend(news.iter().filter(|row| row.fraud).map(|row| row.customer));
            known = day - WEEK;
            let today = places(rows, day..day + 1);
            kept.extend(today.filter(|&place| !blocked.contains(&rows[place].customer)));
        }
        kept
    }
}

/// The places of the rows on these days, of rows in time order.
pub fn places(rows: &[Transaction], days: Range<u32>) -> Range<usize> {
    let start = rows.partition_point(|row| row.day() < days.start);
    let end = rows.partition_point(|row| row.day() < days.end);
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{generate::BENCHMARK, transaction::DAY};

    /// The handbook's own counts (chapter 3, "Baseline fraud detection system").
    #[test]
    fn rows_of_the_single_split() {
        let train = &BENCHMARK[SINGLE.train(&BENCHMARK)];
        assert_eq!(train.len(), 67_240);
        assert_eq!(train.iter().filter(|row| row.fraud).count(), 598);
        let test = SINGLE.test(&BENCHMARK);
        assert_eq!(test.len(), 58_264);
        assert_eq!(test.iter().filter(|&&place| BENCHMARK[place].fraud).count(), 385);
    }

    #[test]
    fn no_validation_test_day_is_a_test_day() {
        let last = VALIDATION.map(|fold| fold.test_days().end).into_iter().max();
        let first = TEST.map(|fold| fold.test_days().start).into_iter().min();
        assert!(last <= first);
    }

    #[test]
    fn compromised_customers_leave_a_week_later() {
        let row = |day, customer, fraud| Transaction {
            sec: day * DAY,
            customer,
            terminal: 0,
            cents: 1,
            fraud,
            scenario: u8::from(fraud),
        };
        // Customer 1 is hit before training, 2 in it, 3 on day 0 of the delay week, 4 on none.
        let mut rows = vec![row(9, 1, true), row(16, 2, true), row(17, 3, true)];
        for day in 24..31 {
            rows.extend((1..5).map(|customer| row(day, customer, false)));
        }
        let kept: Vec<_> =
            Fold::new(10).test(&rows).into_iter().map(|place| (rows[place].day(), rows[place].customer)).collect();
        let mut expected = vec![(24, 1), (24, 3), (24, 4)];
        expected.extend((25..31).flat_map(|day| [(day, 1), (day, 4)]));
        assert_eq!(kept, expected);
    }
}
