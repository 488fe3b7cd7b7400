//! How good a model's scores are: area under the ROC curve, average precision, card precision.
//!
//! The handbook explains all three in its chapter 4, "Performance metrics".

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

/// How many cards a day the investigators can look at, in the handbook.
pub const ALERTS_PER_DAY: usize = 100;

/// A payment with its score and its label.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// The day of the payment.
    pub day: u32,
    /// Who paid.
    pub customer: u32,
    /// The model's opinion, on any scale; higher is more suspicious.
    pub score: f64,
    /// The truth.
    pub fraud: bool,
}

/// The three metrics of one test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// The area under the ROC curve, see [`auc_roc`].
    pub auc: f64,
    /// The average precision, see [`average_precision`].
    pub ap: f64,
    /// The card precision of the 100 most suspicious cards a day, see [`card_precision`].
    pub cp100: f64,
}

impl Metrics {
    /// Judges the scores of one test week.
    pub fn of(rows: &[Scored]) -> Self {
        Self { auc: auc_roc(rows), ap: average_precision(rows), cp100: card_precision(rows, ALERTS_PER_DAY) }
    }
}

/// The mean of the metrics over some folds, and their standard deviation (divided by n, as
/// scikit-learn's `GridSearchCV` reports it and the handbook prints it).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The mean area under the ROC curve.
    pub auc: f64,
    /// Its deviation.
    pub auc_std: f64,
    /// The mean average precision.
    pub ap: f64,
    /// Its deviation.
    pub ap_std: f64,
    /// The mean card precision.
    pub cp100: f64,
    /// Its deviation.
    pub cp100_std: f64,
}

impl Summary {
    /// Sums up the folds; of none, every number is NaN.
    pub fn of(folds: &[Metrics]) -> Self {
        let (auc, auc_std) = mean_and_deviation(folds, |fold| fold.auc);
        let (ap, ap_std) = mean_and_deviation(folds, |fold| fold.ap);
        let (cp100, cp100_std) = mean_and_deviation(folds, |fold| fold.cp100);
        Self { auc, auc_std, ap, ap_std, cp100, cp100_std }
    }
}

fn mean_and_deviation(folds: &[Metrics], metric: fn(&Metrics) -> f64) -> (f64, f64) {
    let count = folds.len() as f64;
    let mean = folds.iter().map(metric).sum::<f64>() / count;
    let variance = folds.iter().map(|fold| (metric(fold) - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt())
}

/// The probability that a random fraud has a higher score than a random genuine payment, a tie
/// counting half: the area under the ROC curve, as scikit-learn's `roc_auc_score`.
///
/// Computed from ranks (Mann and Whitney 1947). NaN if a score is, or if one class has no rows.
pub fn auc_roc(rows: &[Scored]) -> f64 {
    let Some(steps) = steps(rows) else {
        return f64::NAN;
    };
    let (frauds, genuine) = totals(&steps);
    let mut above = 0.0;
    let mut area = 0.0;
    for step in &steps {
        area += step.genuine * (above + step.frauds / 2.0);
        above += step.frauds;
    }
    area / (frauds * genuine)
}

/// The mean of the precision at each distinct score as a threshold, weighted by the recall that
/// the threshold adds, as scikit-learn's `average_precision_score`: no interpolation.
///
/// NaN if a score is; 0 if there are no frauds.
pub fn average_precision(rows: &[Scored]) -> f64 {
    let Some(steps) = steps(rows) else {
        return f64::NAN;
    };
    let (frauds, _) = totals(&steps);
    if frauds == 0.0 {
        return 0.0;
    }
    let (mut found, mut flagged) = (0.0, 0.0);
    let mut sum = 0.0;
    for step in &steps {
        found += step.frauds;
        flagged += step.frauds + step.genuine;
        sum += step.frauds * (found / flagged);
    }
    sum / frauds
}

/// The share of compromised cards among the `k` cards that each day's payments make most
/// suspicious, as a mean over the days that have payments (handbook, chapter 4, "Precision top-k
/// metrics").
///
/// A card's score of a day is its highest, and it is compromised if any payment of the day is
/// fraudulent. Compromised cards among the `k` are found, and leave: their payments of later days
/// do not count. The share is always of `k`, even where fewer cards paid. Cards with equal
/// scores rank by ascending customer number.
///
/// NaN if a score is, or if there are no rows.
pub fn card_precision(rows: &[Scored], k: usize) -> f64 {
    if rows.iter().any(|row| row.score.is_nan()) {
        return f64::NAN;
    }
    let mut days: BTreeMap<u32, Vec<Scored>> = BTreeMap::new();
    for row in rows {
        days.entry(row.day).or_default().push(*row);
    }
    let mut found = HashSet::new();
    let mut hits = 0;
    for today in days.values_mut() {
        today.retain(|row| !found.contains(&row.customer));
        let top = top_cards(today, k);
        let compromised = top.iter().filter(|card| card.fraud).map(|card| card.customer);
        let before = found.len();
        found.extend(compromised);
        hits += found.len() - before;
    }
    hits as f64 / (k * days.len()) as f64
}

/// The `k` most suspicious cards of one day's payments, most suspicious first: each the highest
/// score and the worst label of its payments. Equal scores rank by ascending customer number.
pub fn top_cards(today: &[Scored], k: usize) -> Vec<Scored> {
    let mut cards: BTreeMap<u32, Scored> = BTreeMap::new();
    for row in today {
        let card = cards.entry(row.customer).or_insert(*row);
        card.score = card.score.max(row.score);
        card.fraud |= row.fraud;
    }
    let mut cards: Vec<_> = cards.into_values().collect();
    // Stable, so the customers' order holds among equals; 0 added for -0 to equal it.
    cards.sort_by(|a, b| (b.score + 0.0).total_cmp(&(a.score + 0.0)));
    cards.truncate(k);
    cards
}

/// The rows of one score.
struct Step {
    frauds: f64,
    genuine: f64,
}

/// The rows by distinct score, highest first; nothing if a score is NaN.
fn steps(rows: &[Scored]) -> Option<Vec<Step>> {
    if rows.iter().any(|row| row.score.is_nan()) {
        return None;
    }
    let mut sorted: Vec<_> = rows.iter().map(|row| (row.score, row.fraud)).collect();
    sorted.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let steps = sorted.chunk_by(|a, b| a.0 == b.0).map(|ties| {
        let frauds = ties.iter().filter(|(_, fraud)| *fraud).count();
        Step { frauds: frauds as f64, genuine: (ties.len() - frauds) as f64 }
    });
    Some(steps.collect())
}

/// All frauds and all genuine payments.
fn totals(steps: &[Step]) -> (f64, f64) {
    steps.iter().fold((0.0, 0.0), |(frauds, genuine), step| (frauds + step.frauds, genuine + step.genuine))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(scores_and_labels: &[(f64, u8)]) -> Vec<Scored> {
        let scored = |&(score, label)| Scored { day: 0, customer: 0, score, fraud: label == 1 };
        scores_and_labels.iter().map(scored).collect()
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12 || a.is_nan() && b.is_nan()
    }

    /// The example of scikit-learn's manual for both metrics.
    #[test]
    fn manual_example() {
        let rows = rows(&[(0.1, 0), (0.4, 0), (0.35, 1), (0.8, 1)]);
        assert!(close(auc_roc(&rows), 0.75));
        assert!(close(average_precision(&rows), 0.5 + 0.5 * 2.0 / 3.0));
    }

    #[test]
    fn ties() {
        let rows = rows(&[(1.0, 1), (0.0, 1), (-0.0, 0), (0.0, 0)]);
        // Of the four pairs, the first fraud wins two and the second ties two.
        assert!(close(auc_roc(&rows), 3.0 / 4.0));
        assert!(close(average_precision(&rows), 0.5 * 1.0 + 0.5 * 2.0 / 4.0));
    }

    #[test]
    fn undefined() {
        assert!(auc_roc(&rows(&[(0.5, 1)])).is_nan());
        assert!(auc_roc(&rows(&[(f64::NAN, 1), (0.5, 0)])).is_nan());
        assert!(average_precision(&rows(&[(f64::NAN, 1), (0.5, 0)])).is_nan());
        assert_eq!(average_precision(&rows(&[(0.5, 0)])), 0.0);
        assert!(card_precision(&[], 3).is_nan());
    }

    fn card(day: u32, customer: u32, score: f64, fraud: bool) -> Scored {
        Scored { day, customer, score, fraud }
    }

    #[test]
    fn found_cards_leave() {
        let rows = [
            // Card 1 is found by its high score, although that payment was genuine; card 2 is a
            // false alarm; card 3 is not looked at.
            card(0, 1, 0.9, false),
            card(0, 1, 0.1, true),
            card(0, 2, 0.8, false),
            card(0, 3, 0.7, true),
            // Without card 1, cards 2 and 3 are the top two.
            card(1, 1, 0.9, true),
            card(1, 2, 0.8, true),
            card(1, 3, 0.7, true),
            // Nobody is left, and the day counts.
            card(5, 1, 0.9, true),
        ];
        assert!(close(card_precision(&rows, 2), (0.5 + 1.0 + 0.0) / 3.0));
    }

    #[test]
    fn fewer_cards_than_looked_for() {
        assert!(close(card_precision(&[card(0, 1, 0.5, true)], 100), 0.01));
    }

    #[test]
    fn equal_scores_rank_by_customer() {
        let rows = [card(0, 9, 0.0, true), card(0, 4, -0.0, false), card(0, 6, 0.0, true)];
        let ranked: Vec<_> = top_cards(&rows, 3).iter().map(|card| card.customer).collect();
        assert_eq!(ranked, [4, 6, 9]);
        assert_eq!(card_precision(&rows, 1), 0.0);
    }

    #[test]
    fn population_deviation() {
        let fold = |auc| Metrics { auc, ap: 0.5, cp100: 0.25 };
        let summary = Summary::of(&[fold(0.25), fold(0.75)]);
        assert_eq!((summary.auc, summary.auc_std), (0.5, 0.25));
        assert_eq!((summary.ap, summary.ap_std), (0.5, 0.0));
    }

    /// Every pair of a fraud and a genuine payment.
    fn auc_by_pairs(rows: &[Scored]) -> f64 {
        let (mut wins, mut pairs) = (0.0, 0.0);
        for fraud in rows.iter().filter(|row| row.fraud) {
            for genuine in rows.iter().filter(|row| !row.fraud) {
                pairs += 1.0;
                wins += match fraud.score.partial_cmp(&genuine.score) {
                    Some(std::cmp::Ordering::Greater) => 1.0,
                    Some(std::cmp::Ordering::Equal) => 0.5,
                    _ => 0.0,
                };
            }
        }
        wins / pairs
    }

    /// Precision and recall counted anew at every threshold.
    fn ap_by_thresholds(rows: &[Scored]) -> f64 {
        let mut thresholds: Vec<_> = rows.iter().map(|row| row.score).collect();
        thresholds.sort_by(|a, b| b.total_cmp(a));
        thresholds.dedup();
        let frauds = rows.iter().filter(|row| row.fraud).count();
        let (mut sum, mut recall_before) = (0.0, 0.0);
        for threshold in thresholds {
            let flagged: Vec<_> = rows.iter().filter(|row| row.score >= threshold).collect();
            let found = flagged.iter().filter(|row| row.fraud).count() as f64;
            let recall = if frauds == 0 { 0.0 } else { found / frauds as f64 };
            sum += (recall - recall_before) * found / flagged.len() as f64;
            recall_before = recall;
        }
        sum
    }

    proptest! {
        #[test]
        fn equal_brute_force(
            scores_and_labels in prop::collection::vec((-8..8i8, 0..2u8), 0..60)
        ) {
            let rows = rows(
                &scores_and_labels.iter().map(|&(s, l)| (f64::from(s), l)).collect::<Vec<_>>(),
            );
            prop_assert!(close(auc_roc(&rows), auc_by_pairs(&rows)));
            prop_assert!(close(average_precision(&rows), ap_by_thresholds(&rows)));
        }
    }
}
