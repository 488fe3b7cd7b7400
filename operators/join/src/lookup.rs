//! The lookup join: the row that is true now.

use crate::pair::Side;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use tidemill::{Closing, Data, Emit, Kernel, Key, Order, Record, Save, Saved, StateError, Update, type_name};

/// The rows of one worker's keys, with how often each is there.
pub(crate) struct LookupKernel<K, L, R, F, J> {
    key: F,
    join: J,
    rows: FxHashMap<K, BTreeMap<R, isize>>,
    left: PhantomData<fn(L)>,
}

impl<K: Key, L, R: Data + Ord, F, J> LookupKernel<K, L, R, F, J> {
    pub fn new(key: F, join: J) -> Self {
        LookupKernel { key, join, rows: FxHashMap::default(), left: PhantomData }
    }

    fn update(&mut self, key: K, Update { row, diff }: Update<R>) {
        let rows = self.rows.entry(key.clone()).or_default();
        let count = rows.entry(row.clone()).or_default();
        *count += diff;
        if *count == 0 {
            rows.remove(&row);
        }
        if rows.is_empty() {
            self.rows.remove(&key);
        }
    }
}

/// The rows are no state of its own: the collection that they come from says them again at a restore.
impl<K, L, R, F, J, U> Kernel for LookupKernel<K, L, R, F, J>
where
    K: Key,
    L: Data,
    R: Data + Ord,
    U: Data,
    F: Fn(&Side<L, Update<R>>) -> K + 'static,
    J: Fn(&L, Option<&R>) -> Option<U> + 'static,
{
    type In = Side<L, Update<R>>;
    type Out = Record<U>;

    fn kind(&self) -> String {
        "lookup".to_owned()
    }

    fn state(&self) -> String {
        type_name::<BTreeMap<R, isize>>()
    }

    fn order(&self) -> Order {
        Order::Arrival
    }

    fn records(&mut self, _: Closing, records: &mut Vec<Record<Self::In>>, emit: &mut Emit<Self::In, Self::Out>) {
        // An epoch's changes come before its events.
        for record in records.extract_if(.., |record| matches!(record.value, Side::Right(_))) {
            let key = (self.key)(&record.value);
            if let Side::Right(update) = record.value {
                self.update(key, update);
            }
        }
        for record in records.drain(..) {
            let key = (self.key)(&record.value);
            if let Side::Left(event) = &record.value {
                let rows = self.rows.get(&key);
                let row = rows.and_then(|rows| rows.iter().find(|(_, count)| **count > 0)).map(|(row, _)| row);
                emit.out.extend((self.join)(event, row).map(|value| record.with(value)));
            }
        }
    }

    fn settle(&mut self, _: Closing, _: &mut Emit<Self::In, Self::Out>) {}

    fn save(&mut self, _: &mut Save) {}

    fn load(&mut self, _: Closing, _: Saved<'_>, _: &mut Emit<Self::In, Self::Out>) -> Result<(), StateError> {
        Ok(())
    }
}
