//! The customers to look at each month: those with the most unusual purchases.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidemill::{Collection, Context, Maintain, Millis, Order, Process, Record, Reject, Result, Stream, Update};
use tidemill_inference::Score;

use super::calendar::Month;
use super::clean::Purchase;
use crate::features::Features;

/// A purchase with its features.
pub type Row = (Purchase, Features);

/// One of a month's most unusual purchases: the most unusual one of its customer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Suspect {
    /// The month.
    pub month: Month,
    /// From 1, the highest score.
    pub rank: u32,
    /// How unusual.
    pub score: Score,
    /// The purchase and its features.
    pub row: Row,
}

/// The `top` purchases of each month, kept true as purchases are scored and scores corrected; at most one of each
/// customer. Ties go to the earlier purchase.
pub fn suspects(scores: Collection<'_, (Row, Score)>, top: usize) -> Result<Collection<'_, Suspect>> {
    let month = |change: &Update<(Row, Score)>| Month::of(change.row.0.0.time);
    scores.changes(|((purchase, _), _)| purchase.time).key_by(month).maintain("suspects", Top(top))
}

/// Each month's suspects as they stood when it was over, in order of rank.
pub fn alerts(suspects: Collection<'_, Suspect>) -> Result<Stream<'_, Suspect>> {
    suspects.changes(|suspect| suspect.row.0.time).key_by(|change| change.row.month).process("alerts", AtMonthsEnd)
}

/// A month's scores by customer. A purchase whose score is retracted and not given anew has only had its time: the
/// score stands, and of such purchases a customer's highest is kept.
struct Top(usize);

#[derive(Clone, Default, Serialize, Deserialize)]
struct Customer {
    /// Purchases whose scores may change.
    open: BTreeMap<Purchase, (Score, Features)>,
    /// The highest of the others.
    settled: Option<Best>,
}

/// Orders the highest score first.
type Best = (Reverse<Score>, Purchase, Features);

impl Customer {
    fn best(&self) -> Option<Best> {
        let open = self.open.iter().map(|(purchase, (score, features))| (Reverse(*score), purchase, features));
        let open = open.min().map(|(score, purchase, features)| (score, purchase.clone(), *features));
        open.into_iter().chain(self.settled.clone()).min()
    }

    fn settle(&mut self, purchase: Purchase) {
        if let Some((score, features)) = self.open.remove(&purchase) {
            let settled = (Reverse(score), purchase, features);
            self.settled = Some(self.settled.take().map_or(settled.clone(), |best| best.min(settled)));
        }
    }
}

impl Maintain for Top {
    type Key = Month;
    type In = Update<(Row, Score)>;
    type State = BTreeMap<String, Customer>;
    type Row = Suspect;
    const ORDER: Order = Order::Any;

    fn update(&self, _: &Month, customers: &mut Self::State, changes: &mut Vec<Record<Self::In>>) {
        // What replaces a score comes in the same epoch as its retraction.
        changes.sort_by_key(|change| change.value.diff > 0);
        let mut replaced: BTreeMap<Purchase, bool> = BTreeMap::new();
        for Record { value: Update { row: ((purchase, features), score), diff }, .. } in changes.drain(..) {
            if diff > 0 {
                replaced.remove(&purchase);
                customers.entry(purchase.customer.clone()).or_default().open.insert(purchase, (score, features));
            } else {
                replaced.insert(purchase, false);
            }
        }
        for purchase in replaced.into_keys() {
            if let Some(customer) = customers.get_mut(&purchase.customer) {
                customer.settle(purchase);
            }
        }
    }

    fn rows(&self, &month: &Month, customers: &Self::State, rows: &mut Vec<Suspect>) {
        let mut best: Vec<Best> = customers.values().filter_map(Customer::best).collect();
        if best.len() > self.0 {
            best.select_nth_unstable(self.0);
            best.truncate(self.0);
        }
        best.sort_unstable();
        let ranked = (1..).zip(best);
        rows.extend(ranked.map(|(rank, (Reverse(score), purchase, features))| Suspect {
            month,
            rank,
            score,
            row: (purchase, features),
        }));
    }

    fn expires(&self, &month: &Month, customers: &Self::State) -> Option<Millis> {
        customers.values().all(|customer| customer.open.is_empty()).then(|| month.end())
    }
}

/// Holds a month's suspects until it is over, then emits them once.
struct AtMonthsEnd;

impl Process for AtMonthsEnd {
    type Key = Month;
    type In = Update<Suspect>;
    type Out = Suspect;
    type State = BTreeMap<u32, Suspect>;
    const ORDER: Order = Order::Arrival;
    const UNDO: bool = false;

    fn process(
        &self,
        month: &Month,
        Update { row, diff }: Update<Suspect>,
        suspects: &mut Self::State,
        ctx: &mut Context<'_, Suspect>,
    ) -> Result<(), Reject> {
        if ctx.watermark() >= month.end() {
            ctx.forget();
        } else if diff > 0 {
            // A rank once taken stays taken: what is retracted is replaced, or the month is over.
            suspects.insert(row.rank, row);
            ctx.set_timer(month.end());
        }
        Ok(())
    }

    fn on_timer(&self, _: &Month, suspects: &mut Self::State, ctx: &mut Context<'_, Suspect>) -> Result<(), Reject> {
        std::mem::take(suspects).into_values().for_each(|suspect| ctx.emit(suspect));
        ctx.forget();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill::harness::Harness;

    /// A Monday in December 2010.
    const TIME: Millis = 1_291_593_600_000;

    fn change(customer: &str, time: Millis, score: i64, diff: isize) -> Update<(Row, Score)> {
        let purchase = Purchase {
            time,
            invoice: "1".into(),
            item: "X".into(),
            customer: customer.into(),
            quantity: crate::shop::decimal::Decimal::ONE,
            cents: 100,
        };
        Update { row: ((purchase, Features::default()), Score::from_millionths(score)), diff }
    }

    fn month(change: &Update<(Row, Score)>) -> Month {
        Month::of(change.row.0.0.time)
    }

    #[test]
    fn a_customer_counts_once_and_what_has_had_its_time_stands() {
        let mut harness = Harness::maintain(2, month, || Top(2));
        let mut epoch = |changes: Vec<Update<(Row, Score)>>| {
            changes.into_iter().for_each(|change| harness.push(TIME, change));
            harness.close_epoch();
            let changes = harness.changes().into_iter();
            changes.map(|(_, s, diff)| (diff, s.rank, s.row.0.customer, s.score.millionths())).collect::<Vec<_>>()
        };
        let mut first =
            epoch(vec![change("a", TIME, 500, 1), change("a", TIME + 1, 900, 1), change("b", TIME, 700, 1)]);
        first.sort();
        assert_eq!(first, [(1, 1, "a".into(), 900), (1, 2, "b".into(), 700)]);
        // Corrected: the other purchase of `a` is ahead of nothing any more.
        let mut corrected = epoch(vec![change("a", TIME + 1, 600, 1), change("a", TIME + 1, 900, -1)]);
        corrected.sort();
        assert_eq!(
            corrected,
            [(-1, 1, "a".into(), 900), (-1, 2, "b".into(), 700), (1, 1, "b".into(), 700), (1, 2, "a".into(), 600)]
        );
        // Had their time: nothing changes.
        assert_eq!(epoch(vec![change("b", TIME, 700, -1), change("a", TIME + 1, 600, -1)]), []);
        let third = epoch(vec![change("c", TIME, 650, 1)]);
        assert_eq!(third.iter().map(|(diff, ..)| diff).sum::<isize>(), 0);
        assert!(third.contains(&(1, 2, "c".into(), 650)), "{third:?}");
    }

    #[test]
    fn alerts_come_once_when_the_month_is_over() {
        let suspect = |rank| {
            let Update { row: (row, score), .. } = change("a", TIME, 900, 1);
            Suspect { month: Month::of(TIME), rank, score, row }
        };
        let mut harness = Harness::process(1, |change: &Update<Suspect>| change.row.month, || AtMonthsEnd);
        harness.push(TIME, Update { row: suspect(2), diff: 1 });
        harness.push(TIME, Update { row: suspect(1), diff: 1 });
        let end = Month::of(TIME).end();
        harness.watermark(end - 1);
        assert_eq!(harness.out(), []);
        harness.watermark(end);
        assert_eq!(harness.out(), [suspect(1), suspect(2)]);
        harness.push(TIME, Update { row: suspect(1), diff: 1 });
        harness.watermark(end + 1);
        assert_eq!(harness.out(), []);
    }
}
