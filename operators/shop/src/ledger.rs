//! Which events hold.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use tidemill::time::END;
use tidemill::{
    Closing, Emit, Kernel, Keyed, Keys, Millis, Order, Record, Result, Save, Saved, Seq, StateError, Stream, Timers,
    Update, type_name,
};

use crate::event::{Action, ShopEvent};

/// An event that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Held {
    /// When it happened, in ms since 1970 UTC.
    pub time: Millis,
    /// Where it came from, which orders events of the same time.
    pub seq: Seq,
    /// What happened: never a cancellation or the wish to be forgotten. The quantity of a purchase is what has not been
    /// cancelled of it.
    pub event: ShopEvent,
}

/// What a ledger says.
pub struct Ledger<'s> {
    /// Which events hold: each when it comes, and as gone when it no longer holds.
    pub held: Stream<'s, Update<Held>>,
    /// Who was forgotten, each time something was known of the user: at the time of the wish, or of the watermark if that is
    /// later.
    pub forgotten: Stream<'s, Forgotten>,
    /// Events that came too late: older than what is kept, or than their user's wish to be forgotten.
    pub late: Stream<'s, ShopEvent>,
}

/// That a user was forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Forgotten {
    /// Who.
    pub user: u64,
    /// The time of the wish, in ms since 1970 UTC.
    pub time: Millis,
    /// How many events of the user were kept until then: cancelled ones and cancellations too.
    pub events: u64,
}

/// Streams of shop events, keyed by user.
pub trait Ledgers<'s> {
    /// Says which events hold: each when it comes, late ones too, and as gone when it no longer holds, because
    ///
    /// - it was cancelled: a purchase of which a part was cancelled goes, and comes again with what is left of it;
    /// - it is more than `keep` ms behind the watermark;
    /// - its user wants to be forgotten. Events of that user that come later and are older than the wish do not hold.
    ///
    /// At every epoch what holds is what going through the user's events of the last `keep` ms in order of time would
    /// give, in whatever order they came. Too late are events older than `keep`, or than their user's wish to be forgotten.
    ///
    /// The end of the input takes nothing back.
    ///
    /// State: the events of the last `keep` ms, and of each user who was forgotten when, for as long.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`](tidemill::Error::Graph) if the name is taken.
    fn ledger(self, name: &str, keep: Millis) -> Result<Ledger<'s>>;
}

impl<'s, F: Fn(&ShopEvent) -> u64 + Clone + 'static> Ledgers<'s> for Keyed<'s, ShopEvent, F> {
    fn ledger(self, name: &str, keep: Millis) -> Result<Ledger<'s>> {
        let (said, late) = self.kernel(name, LedgerKernel::new(keep))?;
        let (held, forgotten) = said.split_map(|said| match said {
            Said::Held(held) => (Some(held), None),
            Said::Forgotten(forgotten) => (None, Some(forgotten)),
        });
        Ok(Ledger { held, forgotten, late })
    }
}

/// What the operator says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Said {
    Held(Update<Held>),
    Forgotten(Forgotten),
}

/// What is known of one user.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Account {
    /// In order of time and place; cancellations too.
    events: Vec<Held>,
    /// The latest wish to be forgotten.
    forgotten: Option<Millis>,
}

impl Account {
    /// The purchases of an item that hold.
    fn purchases(&self, item: u64) -> Vec<Held> {
        let mut purchases: Vec<Held> = Vec::new();
        for held in self.events.iter().filter(|held| held.event.action.item() == Some(item)) {
            match held.event.action {
                Action::Purchase { .. } => purchases.push(*held),
                Action::Cancellation { order, quantity, .. } => cancel(&mut purchases, order, quantity),
                _ => {}
            }
        }
        purchases.retain(|held| matches!(held.event.action, Action::Purchase { quantity: 1.., .. }));
        purchases
    }

    /// Says of some of the events that they go; of what bears on orders, how the item's purchases were before that.
    fn note_gone(&self, some: std::ops::Range<usize>, said: &mut Vec<(Held, isize)>, items: &mut Before) {
        for held in &self.events[some] {
            match held.event.action.item().filter(|_| is_of_orders(&held.event.action)) {
                Some(item) => _ = items.entry(item).or_insert_with(|| self.purchases(item)),
                None => said.push((*held, -1)),
            }
        }
    }

    /// When it may change next by the watermark alone, if ever.
    fn due(&self, keep: Millis) -> Option<Millis> {
        let first = self.events.first().map(|held| held.time);
        first.into_iter().chain(self.forgotten).min().map(|time| time.saturating_add(keep))
    }
}

/// The purchases of items that hold, as they were before an epoch.
type Before = FxHashMap<u64, Vec<Held>>;

/// Takes so many from the latest purchases.
fn cancel(purchases: &mut [Held], of: Option<u64>, mut left: u32) {
    for held in purchases.iter_mut().rev() {
        if let Action::Purchase { order, quantity, .. } = &mut held.event.action
            && of.is_none_or(|of| of == *order)
        {
            let taken = left.min(*quantity);
            (*quantity, left) = (*quantity - taken, left - taken);
        }
    }
}

/// Whether cancellations bear on it.
fn is_of_orders(action: &Action) -> bool {
    matches!(action, Action::Purchase { .. } | Action::Cancellation { .. })
}

/// One worker's users.
struct LedgerKernel {
    keep: Millis,
    users: Keys<u64, Account>,
    expiry: Timers<u64>,
    epoch: FxHashMap<u64, Vec<Record<ShopEvent>>>,
}

impl LedgerKernel {
    fn new(keep: Millis) -> Self {
        LedgerKernel { keep, users: Keys::new(), expiry: Timers::default(), epoch: FxHashMap::default() }
    }

    /// Makes a user's events of an epoch that began at a watermark, and drops those older than `oldest`.
    fn update(
        &mut self,
        user: u64,
        mut events: Vec<Record<ShopEvent>>,
        (watermark, oldest): (Millis, Millis),
        emit: &mut Emitted,
    ) {
        let account = self.users.get_or_default(user);
        let (mut said, mut items) = (Vec::new(), Before::default());
        events.sort_by_key(|record| (record.time, record.seq));
        for record in events {
            let Record { time, seq, value: event } = record;
            if time < oldest || account.forgotten.is_some_and(|wish| time <= wish) {
                emit.late.push(record);
            } else if event.action == Action::Forget {
                account.forgotten = Some(time);
                let ends = account.events.partition_point(|held| held.time <= time);
                account.note_gone(0..ends, &mut said, &mut items);
                account.events.drain(..ends);
                if ends > 0 {
                    let forgotten = Forgotten { user, time, events: ends as u64 };
                    emit.out.push(Record { time: time.max(watermark), seq, value: Said::Forgotten(forgotten) });
                }
            } else {
                let place = account.events.partition_point(|other| (other.time, other.seq) < (time, seq));
                if is_of_orders(&event.action)
                    && let Some(item) = event.action.item()
                {
                    items.entry(item).or_insert_with(|| account.purchases(item));
                } else {
                    said.push((Held { time, seq, event }, 1));
                }
                account.events.insert(place, Held { time, seq, event });
            }
        }
        let expired = account.events.partition_point(|held| held.time < oldest);
        account.note_gone(0..expired, &mut said, &mut items);
        account.events.drain(..expired);
        account.forgotten = account.forgotten.filter(|wish| *wish >= oldest);
        for (item, before) in items {
            said.extend(before.into_iter().map(|held| (held, -1)));
            said.extend(account.purchases(item).into_iter().map(|held| (held, 1)));
        }
        if account.events.is_empty() && account.forgotten.is_none() {
            self.users.remove(&user);
        } else if let Some(due) = account.due(self.keep) {
            self.expiry.set(due, user);
        }
        tidemill::differential_dataflow::consolidation::consolidate(&mut said);
        let change = |(held, diff): (Held, isize)| Record {
            time: held.time,
            seq: held.seq.child(usize::from(diff > 0)),
            value: Said::Held(Update { row: held, diff }),
        };
        emit.out.extend(said.into_iter().map(change));
    }
}

type Emitted = Emit<ShopEvent, Record<Said>>;

impl Kernel for LedgerKernel {
    type In = ShopEvent;
    type Out = Record<Said>;

    fn kind(&self) -> String {
        format!("ledger of {} ms", self.keep)
    }

    fn state(&self) -> String {
        type_name::<Account>()
    }

    fn order(&self) -> Order {
        Order::Any
    }

    fn records(&mut self, _: Closing, records: &mut Vec<Record<ShopEvent>>, _: &mut Emitted) {
        for record in records.drain(..) {
            self.epoch.entry(record.value.user).or_default().push(record);
        }
    }

    fn settle(&mut self, at: Closing, emit: &mut Emitted) {
        // The end of the input takes nothing back.
        let now = if at.after == END { at.before } else { at.after };
        let oldest = now.saturating_sub(self.keep);
        for (user, events) in std::mem::take(&mut self.epoch) {
            self.update(user, events, (at.before, oldest), emit);
        }
        if now > at.before {
            for user in self.expiry.due(now.saturating_sub(1)) {
                if self.users.get(&user).is_some() {
                    self.update(user, Vec::new(), (at.before, oldest), emit);
                }
            }
        }
    }

    fn save(&mut self, save: &mut Save) {
        self.users.save(save);
    }

    fn load(&mut self, _: Closing, entry: Saved<'_>, _: &mut Emitted) -> Result<(), StateError> {
        let (user, account) = self.users.load(entry)?;
        if let Some(due) = account.due(self.keep) {
            self.expiry.set(due, user);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use tidemill::harness::Harness;

    const KEEP: Millis = 60;

    /// What holds of all events so far, by going through them in order of time.
    fn oracle(events: &[(Millis, Seq, ShopEvent)], watermark: Millis) -> BTreeMap<Held, isize> {
        let mut all = events.to_vec();
        all.sort_by_key(|event| (event.0, event.1));
        let mut held: Vec<Held> = vec![];
        for (time, seq, event) in all.into_iter().filter(|event| event.0 >= watermark.saturating_sub(KEEP)) {
            match event.action {
                Action::Forget => held.retain(|held| held.event.user != event.user),
                Action::Cancellation { order, item, mut quantity } => {
                    for held in held.iter_mut().rev().filter(|held| held.event.user == event.user) {
                        if let Action::Purchase { order: of, item: what, quantity: left, .. } = &mut held.event.action
                            && *what == item
                            && order.is_none_or(|order| order == *of)
                        {
                            let taken = quantity.min(*left);
                            *left -= taken;
                            quantity -= taken;
                        }
                    }
                }
                _ => held.push(Held { time, seq, event }),
            }
        }
        let gone = |held: &Held| matches!(held.event.action, Action::Purchase { quantity: 0, .. });
        held.into_iter().filter(|held| !gone(held)).map(|held| (held, 1)).collect()
    }

    fn action() -> impl Strategy<Value = Action> {
        let item = 0u64..3;
        prop_oneof![
            3 => item.clone().prop_map(|item| Action::View { item }),
            4 => (0u64..3, item.clone(), 1u32..5).prop_map(|(order, item, quantity)| Action::Purchase { order, item, quantity, cents: 100 }),
            3 => (prop::option::of(0u64..3), item.clone(), 1u32..6).prop_map(|(order, item, quantity)| Action::Cancellation { order, item, quantity }),
            1 => item.prop_map(|item| Action::NotInterested { item }),
            1 => Just(Action::Forget),
        ]
    }

    #[test]
    fn whoever_hears_of_a_late_wish_hears_of_it_in_time() {
        let mut harness = Harness::kernel(1, |event: &ShopEvent| event.user, || LedgerKernel::new(KEEP));
        harness.push(10, ShopEvent::new(7, Action::View { item: 1 }));
        harness.watermark(50);
        harness.emitted();
        harness.push(20, ShopEvent::new(7, Action::Forget));
        harness.close_epoch();
        let told: Vec<(Millis, Forgotten)> = harness
            .emitted()
            .into_iter()
            .filter_map(|record| match record.value {
                Said::Forgotten(of) => Some((record.time, of)),
                Said::Held(_) => None,
            })
            .collect();
        assert_eq!(told, [(50, Forgotten { user: 7, time: 20, events: 1 })]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn what_holds_is_what_going_through_all_events_gives(
            epochs in prop::collection::vec((prop::collection::vec((-70i64..40, 0u64..3, action()), 0..9), 0i64..50), 1..14),
            workers in 1usize..4, cut in 0usize..14, after in 1usize..4,
        ) {
            let mut harness = Harness::kernel(workers, |event: &ShopEvent| event.user, || LedgerKernel::new(KEEP));
            let (mut events, mut rows, mut watermark, mut number) = (vec![], BTreeMap::<Held, isize>::new(), 1_000, 0);
            let mut wishes = BTreeMap::<u64, Millis>::new();
            for (epoch, (batch, step)) in epochs.into_iter().enumerate() {
                let before = watermark;
                watermark += step;
                let mut batch: Vec<_> = batch.into_iter().map(|(offset, user, action)| {
                    let seq = Seq::new(0, number);
                    number += 1;
                    (watermark - step + offset, seq, ShopEvent::new(user, action))
                }).collect();
                batch.iter().for_each(|(time, _, event)| harness.push(*time, *event));
                harness.watermark(watermark);
                // Those that are too late never were.
                batch.sort_by_key(|event| (event.0, event.1));
                let (mut late, mut forgotten) = (vec![], vec![]);
                for (time, seq, event) in batch {
                    if time < watermark - KEEP || wishes.get(&event.user).is_some_and(|wish| time <= *wish) {
                        late.push(event);
                        continue;
                    }
                    if event.action == Action::Forget {
                        wishes.insert(event.user, time);
                        let of_user = |other: &&(Millis, Seq, ShopEvent)| {
                            other.2.user == event.user && other.0 <= time && other.0 >= before - KEEP && other.2.action != Action::Forget
                        };
                        let known = events.iter().filter(of_user).count() as u64;
                        if known > 0 {
                            forgotten.push(Forgotten { user: event.user, time, events: known });
                        }
                        events.retain(|other| other.2.user != event.user || other.0 > time);
                    }
                    events.push((time, seq, event));
                }
                let mut told = harness.late();
                told.sort();
                late.sort();
                prop_assert_eq!(told, late);
                let mut told = vec![];
                for said in harness.out() {
                    match said {
                        Said::Held(Update { row, diff }) => *rows.entry(row).or_default() += diff,
                        Said::Forgotten(of) => told.push(of),
                    }
                }
                told.sort();
                forgotten.sort();
                prop_assert_eq!(told, forgotten);
                rows.retain(|_, count| *count != 0);
                prop_assert_eq!(&rows, &oracle(&events, watermark));
                if epoch == cut {
                    prop_assert_eq!(harness.restore(after).unwrap(), vec![]);
                }
            }
            harness.watermark(watermark + 1_000);
            prop_assert!(harness.is_empty(), "users of whom nothing is known are kept");
        }
    }
}
