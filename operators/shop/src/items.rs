//! What is known of items.

use serde::{Deserialize, Serialize};
use tidemill::{Collection, Maintain, Millis, Order, Record, Result, Seq, Stream};

use crate::event::{ItemChange, ItemEvent};

/// What is true of an item that is sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ItemFact {
    /// Which.
    pub item: u64,
    /// What it is one of.
    pub category: u64,
    /// The price of one, in cents; `None` if nobody has said.
    pub cents: Option<i64>,
    /// How many are left; `None` if nobody has said.
    pub left: Option<u32>,
    /// Since when it is sold, in ms since 1970 UTC.
    pub since: Millis,
}

/// Streams of what changes about items.
pub trait Facts<'s> {
    /// What is true of each item that was listed: what was said last by event time, of what was said at the same time
    /// what stands last in its source. So an event that comes late changes what no later one has.
    ///
    /// State: of each item what was said last.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`](tidemill::Error::Graph) if the name is taken.
    fn facts(self, name: &str) -> Result<Collection<'s, ItemFact>>;
}

impl<'s> Facts<'s> for Stream<'s, ItemEvent> {
    fn facts(self, name: &str) -> Result<Collection<'s, ItemFact>> {
        self.key_by(|event| event.item).maintain(name, ItemFacts)
    }
}

/// What was said last of something, if anything was, and when.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Said<T>(Option<(Millis, Seq, T)>);

impl<T> Default for Said<T> {
    fn default() -> Self {
        Said(None)
    }
}

impl<T: Copy> Said<T> {
    fn say(&mut self, time: Millis, seq: Seq, what: T) {
        if self.0.is_none_or(|(last, at, _)| (last, at) < (time, seq)) {
            self.0 = Some((time, seq, what));
        }
    }

    fn last(&self) -> Option<T> {
        self.0.map(|(_, _, what)| what)
    }
}

/// What is known of one item.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Known {
    since: Option<Millis>,
    category: Said<u64>,
    cents: Said<i64>,
    left: Said<u32>,
}

struct ItemFacts;

impl Maintain for ItemFacts {
    type Key = u64;
    type In = ItemEvent;
    type State = Known;
    type Row = ItemFact;

    const ORDER: Order = Order::Any;

    fn update(&self, _: &u64, known: &mut Known, events: &mut Vec<Record<ItemEvent>>) {
        for Record { time, seq, value } in events.drain(..) {
            match value.change {
                ItemChange::Listed { category } => {
                    known.since = Some(known.since.map_or(time, |since| since.min(time)));
                    known.category.say(time, seq, category);
                }
                ItemChange::Stock { left } => known.left.say(time, seq, left),
                ItemChange::Price { cents } => known.cents.say(time, seq, cents),
            }
        }
    }

    fn rows(&self, item: &u64, known: &Known, rows: &mut Vec<ItemFact>) {
        if let (Some(category), Some(since)) = (known.category.last(), known.since) {
            let (cents, left) = (known.cents.last(), known.left.last());
            rows.push(ItemFact { item: *item, category, cents, left, since });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use tidemill::harness::Harness;

    fn change() -> impl Strategy<Value = ItemChange> {
        prop_oneof![
            (0u64..3).prop_map(|category| ItemChange::Listed { category }),
            (0u32..9).prop_map(|left| ItemChange::Stock { left }),
            (1i64..9).prop_map(|cents| ItemChange::Price { cents }),
        ]
    }

    proptest! {
        #[test]
        fn facts_are_what_was_said_last(
            epochs in prop::collection::vec(prop::collection::vec((0i64..9, 0u64..4, change()), 0..6), 1..10),
            workers in 1usize..4, cut in 0usize..10, after in 1usize..4,
        ) {
            let mut harness = Harness::maintain(workers, |event: &ItemEvent| event.item, || ItemFacts);
            let (mut all, mut rows) = (vec![], BTreeMap::<ItemFact, isize>::new());
            for (epoch, events) in epochs.into_iter().enumerate() {
                for (time, item, change) in events {
                    harness.push(time, ItemEvent { item, change });
                    all.push((time, all.len(), item, change));
                }
                harness.close_epoch();
                for (_, row, diff) in harness.changes() {
                    *rows.entry(row).or_default() += diff;
                }
                rows.retain(|_, count| *count != 0);
                let mut in_order = all.clone();
                in_order.sort_by_key(|(time, place, ..)| (*time, *place));
                let mut expected = BTreeMap::<u64, ItemFact>::new();
                let mut listed = BTreeMap::<u64, (u64, Millis)>::new();
                for (time, _, item, change) in in_order {
                    let fact = expected.entry(item).or_insert(ItemFact { item, category: 0, cents: None, left: None, since: 0 });
                    match change {
                        ItemChange::Listed { category } => listed.entry(item).or_insert((0, time)).0 = category,
                        ItemChange::Stock { left } => fact.left = Some(left),
                        ItemChange::Price { cents } => fact.cents = Some(cents),
                    }
                }
                let expected: BTreeMap<_, _> = listed.into_iter().map(|(item, (category, since))| {
                    (ItemFact { category, since, ..expected[&item] }, 1)
                }).collect();
                prop_assert_eq!(&rows, &expected);
                if epoch == cut {
                    prop_assert_eq!(harness.restore(after).unwrap().len(), rows.len());
                }
            }
        }
    }
}
