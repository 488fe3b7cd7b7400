//! Session and count windows, each given once.

use crate::aggregate::Aggregate;
use crate::panes::{Added, Panes, Shape};
use crate::windows::{Kind, Window, Windows, place};
use tidemill::{Closing, Emit, Kernel, Key, Keys, Millis, Order, Record, Save, Saved, StateError, Timers, type_name};

/// The open windows of one worker's keys.
pub(crate) struct FinalsKernel<K, F, A: Aggregate> {
    key: F,
    windows: Windows,
    shape: Shape,
    aggregate: A,
    keys: Keys<K, Panes<A::Acc>>,
    timers: Timers<K>,
}

impl<K: Key, F: Fn(&A::In) -> K, A: Aggregate> FinalsKernel<K, F, A> {
    pub fn new(key: F, windows: Windows, lateness: Millis, aggregate: A) -> Self {
        let shape = Shape::new(windows, lateness);
        FinalsKernel { key, windows, shape, aggregate, keys: Keys::new(), timers: Timers::default() }
    }
}

/// The order in which windows need their events.
pub(crate) fn order(windows: Windows) -> Order {
    match windows.kind {
        Kind::Count { .. } => Order::EventTime,
        // Which events are late depends on which others their epoch brought.
        Kind::Session { .. } => Order::Arrival,
        _ => Order::Any,
    }
}

/// Puts an epoch's records into the order in which [`Panes::add`] takes them.
pub(crate) fn arrange<T>(windows: Windows, records: &mut [Record<T>]) {
    if matches!(windows.kind, Kind::Session { .. }) {
        // An event too late for a session of its own still joins one that is open, and so may those before it in turn.
        records.sort_by_key(|record| std::cmp::Reverse(record.time));
    }
}

impl<K, F, A> Kernel for FinalsKernel<K, F, A>
where
    K: Key,
    F: Fn(&A::In) -> K + 'static,
    A: Aggregate,
{
    type In = A::In;
    type Out = Record<Window<K, A::Out>>;

    fn kind(&self) -> String {
        self.windows.describe(self.shape.lateness)
    }

    fn state(&self) -> String {
        type_name::<A::Acc>()
    }

    fn order(&self) -> Order {
        order(self.windows)
    }

    fn records(&mut self, at: Closing, records: &mut Vec<Record<A::In>>, emit: &mut Emit<A::In, Self::Out>) {
        arrange(self.windows, records);
        for record in records.drain(..) {
            let key = (self.key)(&record.value);
            let panes = self.keys.get_or_default(key.clone());
            let before = panes.closes(&self.shape);
            if let Added::Late = panes.add(&self.shape, at.before, record.time, &record.value, &self.aggregate) {
                emit.late.push(record);
            }
            match panes.closes(&self.shape) {
                None => drop(self.keys.remove(&key)),
                Some(after) if before.is_none_or(|before| after < before) => self.timers.set(after, key),
                _ => (),
            }
        }
    }

    fn settle(&mut self, at: Closing, emit: &mut Emit<A::In, Self::Out>) {
        for key in self.timers.due(at.after) {
            let Some(panes) = self.keys.get_mut(&key) else { continue };
            let mut nth = 0;
            while let Some((span, value)) = panes.close(&self.shape, at.after, &self.aggregate) {
                let value = Window { key: key.clone(), start: span.start, end: span.end, value };
                emit.out.push(Record { time: span.end - 1, seq: place(&key).child(nth), value });
                nth += 1;
            }
            match panes.closes(&self.shape) {
                None => drop(self.keys.remove(&key)),
                Some(next) => self.timers.set(next, key),
            }
        }
    }

    fn save(&mut self, save: &mut Save) {
        self.keys.save(save);
    }

    fn load(&mut self, _: Closing, entry: Saved<'_>, _: &mut Emit<A::In, Self::Out>) -> Result<(), StateError> {
        let (key, panes) = self.keys.load(entry)?;
        if let Some(closes) = panes.closes(&self.shape) {
            self.timers.set(closes, key);
        }
        Ok(())
    }
}
