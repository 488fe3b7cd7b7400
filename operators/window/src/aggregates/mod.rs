//! The aggregates that come with the crate.

mod collect;
mod distinct;
mod extremes;
mod only;
mod quantiles;
mod sums;

pub use collect::Collect;
pub use distinct::{Distinct, HyperLogLog, Registers};
pub use extremes::{Leaders, Max, Min, TopK};
pub use only::Only;
pub use quantiles::Quantiles;
pub use sums::{Count, Mean, Moments, Sum, Variance};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Aggregate;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use tidemill::hash::stable_hash;

    type Event = (i64, u8);

    /// The result of `events` in pieces that were cut at `cuts`, merged from the last to the first; where the aggregate is
    /// invertible, more was merged in and taken out again.
    fn pieced<A: Aggregate<In = Event>>(aggregate: &A, events: &[Event], cut: usize, more: &[Event]) -> A::Out {
        let accumulate = |events: &[Event]| {
            let mut acc = A::Acc::default();
            events.iter().for_each(|event| aggregate.add(&mut acc, event));
            acc
        };
        let (left, right) = events.split_at(cut.min(events.len()));
        let mut acc = accumulate(right);
        let more = accumulate(more);
        if A::INVERTIBLE {
            aggregate.merge(&mut acc, &more);
        }
        aggregate.merge(&mut acc, &accumulate(left));
        if A::INVERTIBLE {
            aggregate.sub(&mut acc, &more);
        }
        aggregate.result(&acc)
    }

    proptest! {
        #[test]
        fn results_are_what_the_definitions_say_however_events_are_grouped(
            events in prop::collection::vec((-1_000i64..1_000, 0u8..40), 1..200),
            more in prop::collection::vec((-1_000i64..1_000, 0u8..40), 0..20),
            cut in 0usize..200,
        ) {
            let cents = |e: &Event| e.0;
            let mut sorted: Vec<i64> = events.iter().map(cents).collect();
            sorted.sort();
            let (n, sum) = (events.len(), sorted.iter().sum::<i64>());
            let mean = sum as f64 / n as f64;
            let six = (Count::new(), Sum::of(cents), Min::of(cents), Max::of(cents), Distinct::of(|e: &Event| e.1), TopK::of(3, cents));
            let (count, total, min, max, distinct, top) = pieced(&six, &events, cut, &more);
            prop_assert_eq!((count as usize, total, min, max), (n, sum, sorted[0], sorted[n - 1]));
            prop_assert_eq!(distinct as usize, events.iter().map(|e| e.1).collect::<BTreeSet<_>>().len());
            prop_assert_eq!(top, sorted.iter().rev().take(3).copied().collect::<Vec<_>>());
            let (average, variance) = pieced(&(Mean::of(cents), Variance::of(cents)), &events, cut, &more);
            prop_assert_eq!(*average, mean);
            let expected = sorted.iter().map(|x| (*x as f64 - mean).powi(2)).sum::<f64>() / n as f64;
            prop_assert!((*variance - expected).abs() <= 1e-9 * expected.max(1.0));
            let mut all = events.clone();
            all.sort();
            prop_assert_eq!(pieced(&Collect::new(), &events, cut, &more), all.clone());
            // Of few different values many are level.
            let most = all.iter().map(|e| e.0 / 300).max();
            let leaders: Vec<Event> = all.iter().filter(|e| Some(e.0 / 300) == most).copied().collect();
            prop_assert_eq!(pieced(&Leaders::of(|e: &Event| e.0 / 300), &events, cut, &more), leaders);
            let few = Only::of(|e: &Event| e.1 < 5, (Count::new(), Sum::of(cents), Max::of(cents)));
            let some: Vec<i64> = all.iter().filter(|e| e.1 < 5).map(cents).collect();
            let expected = (some.len() as u64, some.iter().sum(), some.iter().max().copied().unwrap_or_default());
            prop_assert_eq!(pieced(&few, &events, cut, &more), expected);
            let invertible = Only::of(|e: &Event| e.1 < 5, Sum::of(cents));
            prop_assert_eq!(pieced(&invertible, &events, cut, &more), expected.1);
        }

        #[test]
        fn quantiles_are_within_one_percent(events in prop::collection::vec((1i64..1_000_000, 0u8..1), 1..300), cut in 0usize..300) {
            let mut sorted: Vec<i64> = events.iter().map(|e| e.0).collect();
            sorted.sort();
            let levels = [0.0, 0.1, 0.5, 0.99, 1.0];
            let quantiles = pieced(&Quantiles::of(&levels, |e: &Event| e.0 as f64), &events, cut, &[]);
            for (level, quantile) in levels.iter().zip(&quantiles) {
                let rank = level * (sorted.len() - 1) as f64;
                let (below, above) = (sorted[rank.floor() as usize] as f64, sorted[rank.ceil() as usize] as f64);
                prop_assert!(**quantile >= below * 0.99 - 1e-9 && **quantile <= above * 1.01 + 1e-9, "{level}: {quantile} of {below}..{above}");
            }
            let whole = pieced(&Quantiles::of(&levels, |e: &Event| e.0 as f64), &events, 0, &[]);
            prop_assert_eq!(quantiles, whole, "the same however grouped");
        }
    }

    #[test]
    fn hyperloglog_is_within_its_error_and_does_not_depend_on_grouping() {
        for n in [1u64, 10, 500, 3_000, 20_000, 300_000] {
            let distinct = HyperLogLog::of(|e: &u64| *e);
            let (mut whole, mut even, mut odd) = (Registers::default(), Registers::default(), Registers::default());
            for value in (0..n).chain(0..n / 2) {
                distinct.add(&mut whole, &value);
                distinct.add(if value % 2 == 0 { &mut even } else { &mut odd }, &value);
            }
            distinct.merge(&mut odd, &even);
            let estimate = distinct.result(&whole);
            assert_eq!(distinct.result(&odd), estimate);
            let error = (estimate as f64 - n as f64).abs() / n as f64;
            assert!(error < 0.04, "{n} distinct values were estimated as {estimate}");
        }
    }

    #[test]
    fn hyperloglog_does_not_mind_which_share_of_all_keys_comes() {
        let distinct = HyperLogLog::of(|e: &u64| *e);
        let mut registers = Registers::default();
        // A tenth by the first bits of their hash, as one worker of ten has them.
        let share: Vec<u64> = (0..200_000).filter(|key| stable_hash(key) < u64::MAX / 10).collect();
        share.iter().for_each(|key| distinct.add(&mut registers, key));
        let (estimate, n) = (distinct.result(&registers) as f64, share.len() as f64);
        assert!((estimate - n).abs() / n < 0.04, "{n} distinct values were estimated as {estimate}");
    }

    #[test]
    fn variance_of_large_numbers_is_that_of_their_differences() {
        for first in [0, 1_700_000_000_000, 1_700_000_000_000_000_000, i64::MAX - 10_000, i64::MIN] {
            let numbers = Variance::of(|e: &i64| *e);
            let mut acc = Default::default();
            (0..10_000).for_each(|n| numbers.add(&mut acc, &(first + n)));
            let expected = (10_000f64.powi(2) - 1.0) / 12.0;
            assert!(
                (*numbers.result(&acc) - expected).abs() < 1e-6 * expected,
                "from {first}: {:?}",
                numbers.result(&acc)
            );
        }
    }

    #[test]
    fn numbers_that_are_none_are_left_out_of_quantiles() {
        let quantiles = Quantiles::of(&[0.5], |x: &f64| *x);
        let mut acc = Default::default();
        for x in [f64::NAN, 3.0, f64::INFINITY, f64::NEG_INFINITY] {
            quantiles.add(&mut acc, &x);
        }
        let median = quantiles.result(&acc)[0];
        assert!((*median - 3.0).abs() < 0.03, "{median}");
        assert!(quantiles.result(&Default::default())[0].is_nan());
    }

    #[test]
    fn quantiles_tell_numbers_apart_over_17_orders_of_magnitude_and_down_to_1e_9() {
        let median = |numbers: [f64; 3]| {
            let quantiles = Quantiles::of(&[0.5], |x: &f64| *x);
            let mut acc = Default::default();
            numbers.iter().for_each(|x| quantiles.add(&mut acc, x));
            *quantiles.result(&acc)[0]
        };
        assert!((median([1.0, 2.0, 1e17]) - 2.0).abs() < 0.02);
        assert!((3.0..1e3).contains(&median([1.0, 2.0, 1e20])), "the smallest that there is a counter for");
        assert!((median([-1.0, 1.1e-9, 1.0]) - 1.1e-9).abs() < 1.1e-11);
        assert_eq!(median([-1.0, 1e-9, 1.0]), 0.0);
    }
}
