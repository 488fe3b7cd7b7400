//! The cards to look at each day: the hundred with the highest scores.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidemill::time::days;
use tidemill::{Collection, Context, Maintain, Millis, Order, Process, Record, Reject, Result, Stream, Update};
use tidemill_inference::Score;

use crate::features::Features;
use crate::transaction::{DAY, START};

/// Cards a day that investigators have time for.
pub const BUDGET: usize = 100;

/// A payment and its score as it stands.
pub type Scored = (Features, Score);

/// A card among the day's highest, with the payment that put it there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Card {
    /// The day, counted from the data set's first.
    pub day: u32,
    /// From 1, the highest score, to [`BUDGET`].
    pub rank: u32,
    /// The score of the payment.
    pub score: Score,
    /// The card's highest-scored payment of the day.
    pub payment: Features,
}

/// The day of a payment, from 0.
fn day(payment: &Features) -> u32 {
    payment.sec / DAY
}

/// When a payment was made, in ms since 1970 UTC.
fn time(payment: &Features) -> Millis {
    START + i64::from(payment.sec) * 1000
}

/// When a day is over, in ms since 1970 UTC.
fn end_of(day: u32) -> Millis {
    START + days(i64::from(day) + 1)
}

/// The day's top cards, kept true as payments are scored and scores corrected.
pub fn top_cards(scores: Collection<'_, Scored>) -> Result<Collection<'_, Card>> {
    scores.changes(|(payment, _)| time(payment)).key_by(|change| day(&change.row.0)).maintain("top cards", TopCards)
}

/// Each day's top cards as they stood when the day was over, in order of rank.
pub fn alerts(cards: Collection<'_, Card>) -> Result<Stream<'_, Card>> {
    cards.changes(|card| time(&card.payment)).key_by(|change| change.row.day).process("alerts", AtDaysEnd)
}

/// A day's scores by card. A card counts with its highest; ties go to the lower card number, then
/// to the earlier payment.
struct TopCards;

#[derive(Clone, Default, Serialize, Deserialize)]
struct Day {
    /// For each card its scored payments, highest first, with how often each is there.
    cards: BTreeMap<u32, BTreeMap<(Reverse<Score>, Features), isize>>,
}

impl Maintain for TopCards {
    type Key = u32;
    type In = Update<Scored>;
    type State = Day;
    type Row = Card;
    const ORDER: Order = Order::Any;

    fn update(&self, _: &u32, day: &mut Day, changes: &mut Vec<Record<Update<Scored>>>) {
        for Record { value: Update { row: (payment, score), diff }, .. } in changes.drain(..) {
            let card = day.cards.entry(payment.customer).or_default();
            let times = card.entry((Reverse(score), payment)).or_default();
            *times += diff;
            if *times == 0 {
                card.remove(&(Reverse(score), payment));
                if card.is_empty() {
                    day.cards.remove(&payment.customer);
                }
            }
        }
    }

    fn rows(&self, &day: &u32, state: &Day, rows: &mut Vec<Card>) {
        let best = |card: &BTreeMap<(Reverse<Score>, Features), isize>| card.keys().next().copied();
        let mut top: Vec<(Reverse<Score>, u32, Features)> = state
            .cards
            .iter()
            .filter_map(|(&id, card)| best(card).map(|(score, payment)| (score, id, payment)))
            .collect();
        if top.len() > BUDGET {
            top.select_nth_unstable(BUDGET);
            top.truncate(BUDGET);
        }
        top.sort_unstable();
        let ranked = (1..).zip(top);
        rows.extend(ranked.map(|(rank, (Reverse(score), _, payment))| Card { day, rank, score, payment }));
    }

    fn expires(&self, _: &u32, day: &Day) -> Option<Millis> {
        // Its payments' own retractions empty it; then there is nothing left to keep.
        day.cards.is_empty().then_some(Millis::MIN)
    }
}

/// Holds a day's cards until it is over, then emits them once.
struct AtDaysEnd;

impl Process for AtDaysEnd {
    type Key = u32;
    type In = Update<Card>;
    type Out = Card;
    type State = BTreeMap<u32, Card>;
    const ORDER: Order = Order::Arrival;
    const UNDO: bool = false;

    fn process(
        &self,
        &day: &u32,
        Update { row, diff }: Update<Card>,
        cards: &mut BTreeMap<u32, Card>,
        ctx: &mut Context<'_, Card>,
    ) -> Result<(), Reject> {
        let over = end_of(day);
        if ctx.watermark() >= over {
            ctx.forget();
        } else if diff > 0 {
            cards.insert(row.rank, row);
            ctx.set_timer(over);
        } else if cards.get(&row.rank) == Some(&row) {
            cards.remove(&row.rank);
        }
        Ok(())
    }

    fn on_timer(&self, _: &u32, cards: &mut BTreeMap<u32, Card>, ctx: &mut Context<'_, Card>) -> Result<(), Reject> {
        for card in std::mem::take(cards).into_values() {
            ctx.emit(card);
        }
        ctx.forget();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill::harness::Harness;

    fn change(customer: u32, sec: u32, score: i64, diff: isize) -> Update<Scored> {
        let payment = Features { sec, customer, ..Features::default() };
        Update { row: (payment, Score::from_millionths(score)), diff }
    }

    #[test]
    fn a_card_counts_once_with_its_highest_score_and_a_correction_moves_it() {
        let mut harness = Harness::maintain(2, |c: &Update<Scored>| day(&c.row.0), || TopCards);
        let mut seen = Vec::new();
        for changes in
            [vec![change(1, 10, 500, 1), change(1, 20, 900, 1), change(2, 30, 700, 1)], vec![change(1, 20, 900, -1)]]
        {
            changes.into_iter().for_each(|change| harness.push(0, change));
            harness.close_epoch();
            seen.push(
                harness
                    .changes()
                    .into_iter()
                    .map(|(_, c, diff)| (c.payment.customer, c.rank, diff))
                    .collect::<Vec<_>>(),
            );
        }
        assert_eq!(seen[0], [(1, 1, 1), (2, 2, 1)]);
        let mut moved = seen[1].clone();
        moved.sort();
        assert_eq!(moved, [(1, 1, -1), (1, 2, 1), (2, 1, 1), (2, 2, -1)]);
    }

    #[test]
    fn no_more_cards_than_the_budget() {
        let mut harness = Harness::maintain(1, |c: &Update<Scored>| day(&c.row.0), || TopCards);
        for card in 0..3 * BUDGET as u32 {
            harness.push(0, change(card, 0, i64::from(card % 7), 1));
        }
        harness.close_epoch();
        let rows = harness.changes();
        assert_eq!(rows.len(), BUDGET);
        assert!(rows.iter().all(|(_, card, _)| card.score.millionths() >= 4));
    }

    #[test]
    fn alerts_come_once_when_the_day_is_over() {
        let card = |rank| Card { day: 0, rank, score: Score::ONE, payment: Features::default() };
        let update = |rank, diff| Update { row: card(rank), diff };
        let mut harness = Harness::process(1, |c: &Update<Card>| c.row.day, || AtDaysEnd);
        harness.push(0, update(1, 1));
        harness.push(0, update(2, 1));
        harness.watermark(end_of(0) - 1);
        assert_eq!(harness.out(), []);
        harness.push(0, update(2, -1));
        harness.watermark(end_of(0));
        assert_eq!(harness.out(), [card(1)]);
        harness.push(0, update(3, 1));
        harness.watermark(end_of(1));
        assert_eq!(harness.out(), []);
    }
}
