//! `Maintain`: events in, rows that are true now out.

use crate::idle::UntilIdle;
use crate::kernel::{Closing, Emit, Kernel, Order, StateError};
use crate::keys::Keys;
use crate::plan::type_name;
use crate::record::{Data, Record};
use crate::save::{Old, Save, Saved};
use crate::shape::shape_of;
use crate::state::State;
use crate::stream::Key;
use crate::time::{Epoch, Millis};
use crate::timers::Timers;
use differential_dataflow::consolidation::consolidate;
use rustc_hash::FxHashMap;

/// An operator that keeps state per key and says which rows are true of it. The engine emits the
/// difference between the rows before and after each epoch, so the collection is at every epoch
/// exactly `rows(state)`, and after a restart again.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `Maintain`",
    label = "no `Maintain`",
    note = "how to write one: see `tidemill::guide`"
)]
pub trait Maintain: 'static {
    // The compiler shows the lines below, with their comments, where a type does not fit.

    /// What state is found by.
    type Key: Key; // what to derive: see `tidemill::guide`
    /// What comes in.
    type In: Data; // what to derive: see `tidemill::guide`
    /// What is kept per key.
    type State: State; // what to derive: see `tidemill::guide`
    /// What is true of it.
    type Row: Data + Ord; // what to derive: see `tidemill::guide`

    /// The order in which events are needed. With [`Order::Any`], `events` are in no order.
    const ORDER: Order = Order::Arrival;

    /// The version of `State`: to be raised when that type changes, so that checkpoints with the old one can be read.
    const VERSION: u32 = 0;

    /// Makes a state of what `version`, an earlier one, wrote: `old.read::<OldState>()?`, or field by field. Without it a
    /// job with such a checkpoint does not begin.
    fn migrate(&self, version: u32, _old: &mut Old<'_>) -> Result<Self::State, StateError> {
        Err(StateError(format!("it is of version {version}, and `migrate` is not written for that")))
    }

    /// Takes one key's events of an epoch.
    fn update(&self, key: &Self::Key, state: &mut Self::State, events: &mut Vec<Record<Self::In>>);

    /// Adds the rows that are true of `state`. A key that was never seen has none.
    fn rows(&self, key: &Self::Key, state: &Self::State, rows: &mut Vec<Self::Row>);

    /// When the key may be dropped, its rows retracted: once the watermark is past this time.
    /// Asked after each update.
    fn expires(&self, _key: &Self::Key, _state: &Self::State) -> Option<Millis> {
        None
    }

    /// The same with a time-to-live: a key is dropped, its rows retracted, once the watermark is more than `ttl` ms past
    /// its latest event. An event after that begins anew.
    fn until_idle(self, ttl: Millis) -> UntilIdle<Self>
    where
        Self: Sized,
    {
        UntilIdle { maintain: self, ttl }
    }
}

/// Runs a [`Maintain`].
pub struct MaintainKernel<M: Maintain, F> {
    maintain: M,
    key: F,
    keys: Keys<M::Key, M::State>,
    expiry: Timers<M::Key>,
    epoch: FxHashMap<M::Key, Vec<Record<M::In>>>,
    rows: Vec<M::Row>,
}

type Rows<M> = (<M as Maintain>::Row, Epoch, isize);

impl<M: Maintain, F: Fn(&M::In) -> M::Key> MaintainKernel<M, F> {
    pub fn new(key: F, maintain: M) -> Self {
        let (keys, epoch) = (Keys::new(), FxHashMap::default());
        MaintainKernel { maintain, key, keys, expiry: Timers::default(), epoch, rows: Vec::new() }
    }

    /// Adds `diff` times the rows of a state to `changes`.
    fn say(&mut self, key: &M::Key, diff: isize, changes: &mut Vec<(M::Row, isize)>) {
        if let Some(state) = self.keys.get(key) {
            self.maintain.rows(key, state, &mut self.rows);
            changes.extend(self.rows.drain(..).map(|row| (row, diff)));
        }
    }
}

impl<M: Maintain, F: Fn(&M::In) -> M::Key + 'static> Kernel for MaintainKernel<M, F> {
    type In = M::In;
    type Out = Rows<M>;

    fn kind(&self) -> String {
        format!("maintain {}", type_name::<M>())
    }

    fn state(&self) -> String {
        type_name::<M::State>()
    }

    fn version(&self) -> u32 {
        M::VERSION
    }

    fn shape(&self) -> String {
        shape_of::<M::State>()
    }

    fn order(&self) -> Order {
        M::ORDER
    }

    fn records(&mut self, _: Closing, records: &mut Vec<Record<M::In>>, _: &mut Emit<M::In, Rows<M>>) {
        for record in records.drain(..) {
            self.epoch.entry((self.key)(&record.value)).or_default().push(record);
        }
    }

    fn settle(&mut self, at: Closing, emit: &mut Emit<M::In, Rows<M>>) {
        let mut changes = Vec::new();
        for (key, mut events) in std::mem::take(&mut self.epoch) {
            self.say(&key, -1, &mut changes);
            let state = self.keys.get_or_default(key.clone());
            self.maintain.update(&key, state, &mut events);
            if let Some(expires) = self.maintain.expires(&key, state) {
                self.expiry.set(expires, key.clone());
            }
            self.say(&key, 1, &mut changes);
        }
        if at.after > at.before {
            for key in self.expiry.due(at.after.saturating_sub(1)) {
                let Some(state) = self.keys.get(&key) else { continue };
                match self.maintain.expires(&key, state) {
                    Some(expires) if expires < at.after => {
                        self.say(&key, -1, &mut changes);
                        self.keys.remove(&key);
                    }
                    Some(expires) => self.expiry.set(expires, key),
                    None => {}
                }
            }
        }
        consolidate(&mut changes);
        emit.out.extend(changes.into_iter().map(|(row, diff)| (row, at.epoch, diff)));
    }

    fn save(&mut self, save: &mut Save) {
        self.keys.save(save);
    }

    fn load(&mut self, at: Closing, entry: Saved<'_>, emit: &mut Emit<M::In, Rows<M>>) -> Result<(), StateError> {
        let maintain = &self.maintain;
        let (key, state) = self.keys.load_by(entry, M::VERSION, |old| match entry.version == M::VERSION {
            true => old.read(),
            false => maintain.migrate(entry.version, old),
        })?;
        if let Some(expires) = self.maintain.expires(&key, state) {
            self.expiry.set(expires, key.clone());
        }
        let mut changes = Vec::new();
        self.say(&key, 1, &mut changes);
        emit.out.extend(changes.into_iter().map(|(row, diff)| (row, at.epoch, diff)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::Harness;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const KEPT: Millis = 100;

    /// How many events a key has had, and when the latest was, until 100 ms after that.
    struct Counts;

    impl Maintain for Counts {
        type Key = u8;
        type In = (Millis, u8);
        type State = (u32, Millis);
        type Row = (u8, u32, Millis);

        fn update(&self, _: &u8, (count, latest): &mut (u32, Millis), events: &mut Vec<Record<(Millis, u8)>>) {
            for event in events.drain(..) {
                (*count, *latest) = (*count + 1, event.time.max(*latest));
            }
        }

        fn rows(&self, key: &u8, (count, latest): &(u32, Millis), rows: &mut Vec<Self::Row>) {
            rows.push((*key, *count, *latest));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn idle_keys_go_with_their_rows(
            epochs in prop::collection::vec((prop::collection::vec((-80i64..120, 0u8..4), 0..6), 0i64..90), 1..30),
            workers in 1usize..5, cut in 0usize..30, after in 1usize..5
        ) {
            let mut harness = Harness::maintain(workers, |event: &(Millis, u8)| event.1, || Counts.until_idle(KEPT));
            let (mut keys, mut rows, mut watermark) = (BTreeMap::new(), BTreeMap::new(), 1_000);
            for (number, (batch, step)) in epochs.into_iter().enumerate() {
                for (offset, key) in batch {
                    let time = watermark + offset;
                    harness.push(time, (time, key));
                    let (count, latest) = keys.entry(key).or_insert((0, 0));
                    (*count, *latest) = (*count + 1, time.max(*latest));
                }
                watermark += step;
                harness.watermark(watermark);
                if step > 0 {
                    keys.retain(|_, (_, latest)| *latest + KEPT >= watermark);
                }
                for (_, row, diff) in harness.changes() {
                    *rows.entry(row).or_insert(0) += diff;
                }
                rows.retain(|_, count| *count != 0);
                let expected: BTreeMap<_, _> = keys.iter().map(|(key, (count, latest))| ((*key, *count, *latest), 1)).collect();
                prop_assert_eq!(&rows, &expected);
                if number == cut {
                    harness.restore(after).unwrap();
                }
                prop_assert!(harness.kernels().all(|kernel| kernel.expiry.len() == kernel.keys.len()));
            }
        }
    }
}
