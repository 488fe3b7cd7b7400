//! A [`Maintain`]: events in, rows that are true now out. Which account pays with which cards?

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tidemill::{Maintain, Millis, Order, Record};

/// A card was added to an account, or removed from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardEvent {
    /// When, in milliseconds since 1970 UTC.
    pub time: Millis,
    /// Whose account.
    pub account: u32,
    /// Which card.
    pub card: u32,
    /// Whether it was added.
    pub added: bool,
}

/// Keeps a row `(account, card)` for each card of an account that was added and not removed since.
///
/// It takes events in any order: of each card the latest counts (and of several at once an addition), so an event that
/// comes late changes rows only if nothing later is known.
///
/// State: the last event of each card an account has had.
#[derive(Clone, Copy, Debug)]
pub struct CardsInUse;

impl Maintain for CardsInUse {
    type Key = u32;
    type In = CardEvent;
    /// By card: when it was added or removed last, and whether it was added.
    type State = BTreeMap<u32, (Millis, bool)>;
    type Row = (u32, u32);

    const ORDER: Order = Order::Any;

    fn update(&self, _: &u32, cards: &mut Self::State, events: &mut Vec<Record<CardEvent>>) {
        for Record { value: event, .. } in events.drain(..) {
            let latest = cards.entry(event.card).or_insert((Millis::MIN, false));
            *latest = (*latest).max((event.time, event.added));
        }
    }

    fn rows(&self, account: &u32, cards: &Self::State, rows: &mut Vec<(u32, u32)>) {
        let in_use = cards.iter().filter(|(_, (_, added))| *added);
        rows.extend(in_use.map(|(card, _)| (*account, *card)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use tidemill::harness::Harness;

    fn harness(
        workers: usize,
    ) -> Harness<impl tidemill::Kernel<In = CardEvent, Out = ((u32, u32), tidemill::Epoch, isize)>> {
        Harness::maintain(workers, |event: &CardEvent| event.account, || CardsInUse)
    }

    fn event(time: Millis, account: u32, card: u32, added: bool) -> CardEvent {
        CardEvent { time, account, card, added }
    }

    #[test]
    fn a_removal_retracts_and_what_was_before_it_comes_too_late_to_matter() {
        let mut harness = harness(1);
        harness.push(10, event(10, 1, 77, true));
        harness.close_epoch();
        harness.push(30, event(30, 1, 77, false));
        harness.close_epoch();
        harness.push(20, event(20, 1, 77, true));
        harness.close_epoch();
        assert_eq!(harness.changes(), [(1, (1, 77), 1), (2, (1, 77), -1)]);
    }

    proptest! {
        #[test]
        fn rows_are_the_cards_whose_last_event_added_them(
            epochs in prop::collection::vec(prop::collection::vec((0i64..20, 0u32..4, 0u32..4, any::<bool>()), 0..10), 1..8),
            workers in 1usize..5, cut in 0usize..8, after in 1usize..5,
        ) {
            let (mut harness, mut rows, mut events) = (harness(workers), BTreeSet::new(), vec![]);
            for (number, epoch) in epochs.into_iter().enumerate() {
                for (time, account, card, added) in epoch {
                    harness.push(time, event(time, account, card, added));
                    events.push((account, card, time, added));
                }
                harness.close_epoch();
                for (_, row, diff) in harness.changes() {
                    let changed = if diff > 0 { rows.insert(row) } else { rows.remove(&row) };
                    prop_assert!(changed && diff.abs() == 1);
                }
                events.sort();
                let last = events.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)).filter_map(|card| card.last());
                let expected: BTreeSet<_> = last.filter(|(.., added)| *added).map(|(a, c, ..)| (*a, *c)).collect();
                prop_assert_eq!(&rows, &expected);
                if number == cut {
                    // After a restart the operator says all its rows again, for whatever derives from them.
                    let said: BTreeSet<_> = harness.restore(after).unwrap().into_iter().map(|(row, ..)| row).collect();
                    prop_assert_eq!(&said, &rows);
                }
            }
        }
    }
}
