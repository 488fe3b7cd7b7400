//! The scores that need no learning: rules of thumb as a floor, the truth as a ceiling.

use crate::{features::Features, transaction::Transaction};

/// Payments of more than so many currency units are suspicious.
const LARGE: f64 = 220.0;

/// Payments of more than so many times the customer's mean of 30 days are suspicious.
const UNUSUAL: f64 = 3.0;

/// Three rules, one for each of the simulator's scenarios: a large amount, the terminal's share
/// of frauds over 7 days, and an amount far above the customer's own.
pub fn hand_rules(features: &Features) -> f64 {
    let amount = features.amount();
    let large = f64::from(u8::from(amount > LARGE));
    let unusual = f64::from(u8::from(amount > UNUSUAL * features.customer_mean_30d()));
    large + features.terminal_risk_7d() + unusual
}

/// The truth as a score: no metric can be higher. Card precision stays below 1, as most days
/// have fewer compromised cards than are looked at.
pub fn ceiling(transaction: &Transaction) -> f64 {
    f64::from(u8::from(transaction.fraud))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        batch,
        generate::BENCHMARK,
        metrics::{Metrics, Scored},
        protocol::{Fold, SINGLE, TEST},
    };

    fn judge(fold: Fold, score: impl Fn(usize) -> f64) -> Metrics {
        let scored = |place: usize| Scored {
            day: BENCHMARK[place].day(),
            customer: BENCHMARK[place].customer,
            score: score(place),
            fraud: BENCHMARK[place].fraud,
        };
        let test = fold.test(&BENCHMARK);
        Metrics::of(&test.into_iter().map(scored).collect::<Vec<_>>())
    }

    fn thousandths(share: f64) -> u32 {
        (share * 1000.0).round() as u32
    }

    /// Computed apart from this code, from the handbook's published data files.
    #[test]
    fn ceilings_of_the_test_folds() {
        let ceilings = TEST.map(|fold| judge(fold, |place| ceiling(&BENCHMARK[place])));
        assert!(ceilings.iter().all(|metrics| (metrics.auc, metrics.ap) == (1.0, 1.0)));
        assert_eq!(ceilings.map(|metrics| thousandths(metrics.cp100)), [451, 420, 409, 397]);
    }

    /// Checked with scikit-learn's metrics.
    #[test]
    fn hand_rules_on_the_single_split() {
        let features = batch::features(&BENCHMARK);
        let Metrics { auc, ap, cp100 } = judge(SINGLE, |place| hand_rules(&features[place]));
        assert_eq!([auc, ap, cp100].map(thousandths), [846, 521, 301]);
    }
}
