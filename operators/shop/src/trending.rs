//! Which items are in demand now: what happened lately counts, and ever less as it grows old.

use serde::{Deserialize, Serialize};
use tidemill::hash::stable_hash;
use tidemill::time::{END, show};
use tidemill::{
    Closing, Collection, Emit, Kernel, Key, Keys, Millis, Order, Record, Result, Save, Saved, Seq, StateError, Stream,
    Update, type_name,
};
use tidemill_rank::{Ranks, Summed};

use crate::event::Action;
use crate::ledger::Held;

/// What a view weighs while it is new. What is put into a cart weighs 3 of it, what is bought 5.
pub const FRESH: i64 = 1 << 20;

/// An item of a group, with what its events weigh, in parts of [`FRESH`].
pub type Trend<G> = Summed<G, u64>;

/// Streams of changes of which events hold.
pub trait Trending<'s> {
    /// The `n` items of each group whose events weigh most: a view counts 1, an item put into the cart 3, one bought 5,
    /// each halved with every `half_life` ms of age. `groups` says in which groups an item of a category is, such as this and one
    /// for all; an item that was of several categories counts in each what happened while it was.
    ///
    /// Age is counted in whole spans of an eighth of the half-life, between the span of the event and that of the
    /// watermark; what is ahead of the watermark is new, and after 64 spans, where it would count a 256th, an event
    /// counts no more. So the rows are at every epoch a function of the events that hold and of the watermark, exactly:
    /// they change as events come and go, and whenever the watermark enters a new span. The end of the input makes
    /// nothing old.
    ///
    /// State: of each item and category how much happened in each of the last 64 spans, where something did.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`](tidemill::Error::Graph) if the name is taken.
    fn trending<G: Key, I: IntoIterator<Item = G> + 'static>(
        self,
        name: &str,
        n: usize,
        half_life: Millis,
        groups: impl Fn(u64) -> I + 'static,
    ) -> Result<Collection<'s, Trend<G>>>;
}

impl<'s> Trending<'s> for Stream<'s, Update<Held>> {
    fn trending<G: Key, I: IntoIterator<Item = G> + 'static>(
        self,
        name: &str,
        n: usize,
        half_life: Millis,
        groups: impl Fn(u64) -> I + 'static,
    ) -> Result<Collection<'s, Trend<G>>> {
        let counted = self.flat_map(|Update { row: Held { time, event, .. }, diff }| {
            let count = match event.action {
                Action::View { .. } => 1,
                Action::Cart { .. } => 3,
                Action::Purchase { .. } => 5,
                _ => return None,
            };
            let item = (event.action.item()?, event.category);
            Some(Counted { item, time, count: count * diff as i64 })
        });
        let ageing =
            counted.key_by(|counted| counted.item).kernel(&format!("{name}: ageing"), Ageing::new(half_life))?.0;
        let grouped = ageing.flat_map(move |((item, category), weight)| {
            groups(category).into_iter().map(move |group| (group, item, weight)).collect::<Vec<_>>()
        });
        grouped.key_by(|change| change.0.clone()).top_sums(name, n, |change| (change.1, change.2))
    }
}

/// An item, and its category.
type Item = (u64, u64);

/// So much happened with an item at a time.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Counted {
    item: Item,
    time: Millis,
    count: i64,
}

/// Spans of a half-life.
const SPANS: i64 = 8;

/// After so many spans nothing counts.
const OLD: i64 = 8 * SPANS;

/// 2^(20 - k/8), rounded, for k from 0 to 7.
const EIGHTHS: [i64; SPANS as usize] = [1_048_576, 961_548, 881_744, 808_563, 741_455, 679_917, 623_487, 571_740];

/// What a view weighs that is so many spans old.
fn weight(age: i64) -> i64 {
    match age {
        ..=0 => FRESH,
        OLD.. => 0,
        _ => EIGHTHS[(age % SPANS) as usize] >> (age / SPANS),
    }
}

/// What happened with one item.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct History {
    /// Spans by number, each with how much happened in it: never 0.
    spans: Vec<(i64, i64)>,
    /// What was said that it weighs.
    said: i64,
    /// Whether it has changed in this epoch.
    #[serde(skip)]
    touched: bool,
}

impl History {
    fn add(&mut self, span: i64, count: i64) {
        let place = self.spans.partition_point(|(other, _)| *other < span);
        match self.spans.get_mut(place) {
            Some((other, sum)) if *other == span => {
                *sum += count;
                if *sum == 0 {
                    self.spans.remove(place);
                }
            }
            _ => self.spans.insert(place, (span, count)),
        }
    }

    /// By how much the weight has changed since it was said, in the span that is now.
    fn say(&mut self, now: i64) -> i64 {
        let old = self.spans.partition_point(|(span, _)| now.saturating_sub(*span) >= OLD);
        self.spans.drain(..old);
        let weight = self.spans.iter().map(|(span, count)| count * weight(now.saturating_sub(*span))).sum();
        self.touched = false;
        weight - std::mem::replace(&mut self.said, weight)
    }
}

/// Says what one worker's items weigh as they grow old.
struct Ageing {
    half_life: Millis,
    span: Millis,
    items: Keys<Item, History>,
    touched: Vec<Item>,
}

impl Ageing {
    fn new(half_life: Millis) -> Self {
        Ageing { half_life, span: (half_life / SPANS).max(1), items: Keys::new(), touched: Vec::new() }
    }
}

/// The partition number of what is said, after everything that was read.
const AGED: u16 = u16::MAX - 2;

impl Kernel for Ageing {
    type In = Counted;
    /// An item, and what is added to its weight.
    type Out = Record<(Item, i64)>;

    fn kind(&self) -> String {
        format!("weights with a half-life of {}", show(self.half_life))
    }

    fn state(&self) -> String {
        type_name::<History>()
    }

    fn order(&self) -> Order {
        Order::Any
    }

    fn records(&mut self, _: Closing, records: &mut Vec<Record<Counted>>, _: &mut Emit<Counted, Self::Out>) {
        for Counted { item, time, count } in records.drain(..).map(|record| record.value) {
            let history = self.items.get_or_default(item);
            history.add(time.div_euclid(self.span), count);
            if !std::mem::replace(&mut history.touched, true) {
                self.touched.push(item);
            }
        }
    }

    fn settle(&mut self, at: Closing, emit: &mut Emit<Counted, Self::Out>) {
        // The end of the input makes nothing old.
        let time = if at.after == END { at.before } else { at.after };
        let now = time.div_euclid(self.span);
        let mut say = |item: Item, history: &mut History| {
            let change = history.say(now);
            if change != 0 {
                emit.out.push(Record { time, seq: Seq::new(AGED, stable_hash(&item)), value: (item, change) });
            }
            history.spans.is_empty()
        };
        if now > at.before.div_euclid(self.span) {
            self.items.retain(|item, history| !say(*item, history));
            self.touched.clear();
        }
        for item in self.touched.drain(..) {
            if self.items.get_mut(&item).is_some_and(|history| say(item, history)) {
                self.items.remove(&item);
            }
        }
    }

    fn save(&mut self, save: &mut Save) {
        self.items.save(save);
    }

    fn load(&mut self, _: Closing, entry: Saved<'_>, _: &mut Emit<Counted, Self::Out>) -> Result<(), StateError> {
        self.items.load(entry).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ledgers, NO_CATEGORY, ShopEvent};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use tidemill::harness::Harness;
    use tidemill::time::{days, hours};
    use tidemill::{Config, Events, Memory, Timing, execute};

    #[test]
    fn weights_halve_with_every_half_life() {
        for age in 0..OLD {
            let exact = FRESH as f64 * (-(age as f64) / SPANS as f64).exp2();
            assert!((weight(age) as f64 - exact).abs() <= 1.0, "{age}: {} for {exact}", weight(age));
            assert!(weight(age + 1) < weight(age));
        }
        assert_eq!((weight(-5), weight(i64::MAX), weight(OLD)), (FRESH, 0, 0));
    }

    proptest! {
        #[test]
        fn a_weight_is_what_the_events_that_hold_weigh_now(
            epochs in prop::collection::vec((prop::collection::vec((-9_000i64..600, 0u64..4, 0i64..6), 0..9), 0i64..700), 1..14),
            workers in 1usize..4, cut in 0usize..14, after in 1usize..4,
        ) {
            const HALF_LIFE: Millis = 800;
            let mut harness = Harness::kernel(workers, |counted: &Counted| counted.item, || Ageing::new(HALF_LIFE));
            let (mut held, mut weights) = (Vec::<Counted>::new(), BTreeMap::<Item, i64>::new());
            let mut watermark = 100_000;
            for (epoch, (events, step)) in epochs.into_iter().enumerate() {
                for (offset, item, count) in events {
                    // Some come, some of any age go.
                    if count == 0 && !held.is_empty() {
                        let gone = held.swap_remove(offset.unsigned_abs() as usize % held.len());
                        harness.push(gone.time, Counted { count: -gone.count, ..gone });
                    } else if count > 0 {
                        let counted = Counted { item: (item, item % 2), time: watermark + offset, count };
                        harness.push(counted.time, counted);
                        held.push(counted);
                    }
                }
                watermark += step;
                harness.watermark(watermark);
                let mut said = vec![];
                for (item, change) in harness.out() {
                    said.push(item);
                    *weights.entry(item).or_default() += change;
                }
                said.sort();
                prop_assert!(said.windows(2).all(|pair| pair[0] < pair[1]), "an item is told of once an epoch");
                weights.retain(|_, weight| *weight != 0);
                let mut expected = BTreeMap::<Item, i64>::new();
                for Counted { item, time, count } in &held {
                    let age = watermark.div_euclid(100) - time.div_euclid(100);
                    if age < 64 {
                        *expected.entry(*item).or_default() += count * weight(age);
                    }
                }
                prop_assert_eq!(&weights, &expected);
                if epoch == cut {
                    prop_assert_eq!(harness.restore(after).unwrap(), vec![]);
                }
            }
            harness.watermark(watermark + 20_000);
            prop_assert!(harness.is_empty(), "items of which all is old are kept");
        }
    }

    #[test]
    fn what_was_bought_trends_until_something_newer_does() {
        let bought = |order, item| Action::Purchase { order, item, quantity: 1, cents: 100 };
        let mut events: Vec<(Millis, u64, Action)> = vec![
            (days(1), 1, bought(1, 10)),
            (days(1), 2, Action::View { item: 11 }),
            (days(1), 2, Action::View { item: 20 }),
            (days(1), 3, Action::Cart { item: 21 }),
        ];
        let run = |events: Vec<(Millis, u64, Action)>, workers| {
            let out = Memory::new();
            let to_out = out.clone();
            execute(Config { epoch_records: 1, ..Config::workers(workers) }, move |job| {
                let timing = Timing::by(|event: &(Millis, u64, Action)| event.0);
                let events = job.source("events", Events::new(events.clone()), timing)?;
                let events = events.map(|(_, user, action)| ShopEvent {
                    category: action.item().map_or(NO_CATEGORY, |item| item / 10),
                    ..ShopEvent::new(user, action)
                });
                let held = events.key_by(|event| event.user).ledger("what holds", days(30))?.held;
                let groups = |category| [None, Some(category)];
                held.trending("trending", 2, hours(8), groups)?.sink("out", to_out.clone())
            })
            .unwrap();
            out.rows().into_iter().map(|(row, count)| (row, assert_eq!(count, 1)).0).collect::<Vec<_>>()
        };
        let row = |key, item, sum| Trend { key, item, sum };
        for workers in [1, 2, 4] {
            let expected = [
                row(None, 10, 5 * FRESH),
                row(None, 21, 3 * FRESH),
                row(Some(1), 10, 5 * FRESH),
                row(Some(1), 11, FRESH),
                row(Some(2), 20, FRESH),
                row(Some(2), 21, 3 * FRESH),
            ];
            assert_eq!(run(events.clone(), workers), expected);
        }
        // A half-life later, and one purchase is taken back.
        events.push((days(1) + hours(8), 1, Action::Cancellation { order: None, item: 10, quantity: 1 }));
        events.push((days(1) + hours(8), 4, Action::View { item: 11 }));
        for workers in [1, 2, 4] {
            let expected = [
                row(None, 11, FRESH + FRESH / 2),
                row(None, 21, 3 * FRESH / 2),
                row(Some(1), 11, FRESH + FRESH / 2),
                row(Some(2), 20, FRESH / 2),
                row(Some(2), 21, 3 * FRESH / 2),
            ];
            assert_eq!(run(events.clone(), workers), expected);
        }
    }
}
