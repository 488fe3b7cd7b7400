//! Hopping windows, each given once, from panes that neighbours share and that are added up anew for each window: for
//! aggregates that can take nothing back. For the others see `rolling.rs`.

use crate::aggregate::Aggregate;
use crate::windows::{Grid, Window, Windows, closed_through, place};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::ops::Range;
use tidemill::{Closing, Emit, Kernel, Key, Keys, Millis, Order, Record, Save, Saved, StateError, type_name};

/// One key's events that are in a window yet to be given.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Panes<Acc> {
    /// By number; none is empty.
    panes: VecDeque<(i64, Acc)>,
}

impl<Acc: Clone + Default> Panes<Acc> {
    fn add<A: Aggregate<Acc = Acc>>(&mut self, pane: i64, event: &A::In, aggregate: &A) {
        let at = match self.panes.back() {
            Some((last, _)) if *last == pane => self.panes.len() - 1,
            Some((last, _)) if *last > pane => self.panes.partition_point(|(number, _)| *number < pane),
            _ => self.panes.len(),
        };
        if self.panes.get(at).is_none_or(|(number, _)| *number != pane) {
            self.panes.insert(at, (pane, Acc::default()));
        }
        aggregate.add(&mut self.panes[at].1, event);
    }

    /// What the panes of one window amount to, if it has any. Windows come in order.
    fn result<A: Aggregate<Acc = Acc>>(&mut self, window: &Range<i64>, aggregate: &A) -> Option<A::Out> {
        while self.panes.pop_front_if(|(number, _)| *number < window.start).is_some() {}
        let mut inside = self.panes.iter().take_while(|(number, _)| *number < window.end).map(|(_, acc)| acc);
        let first = inside.next()?;
        let Some(second) = inside.next() else { return Some(aggregate.result(first)) };
        let mut all = first.clone();
        std::iter::once(second).chain(inside).for_each(|acc| aggregate.merge(&mut all, acc));
        Some(aggregate.result(&all))
    }
}

/// The panes of one worker's keys.
pub(crate) struct HoppingKernel<K, F, A: Aggregate> {
    key: F,
    windows: Windows,
    grid: Grid,
    lateness: Millis,
    aggregate: A,
    keys: Keys<K, Panes<A::Acc>>,
    /// No key has a pane before this one.
    earliest: i64,
}

impl<K: Key, F: Fn(&A::In) -> K, A: Aggregate> HoppingKernel<K, F, A> {
    pub fn new(key: F, windows: Windows, lateness: Millis, aggregate: A) -> Self {
        let grid = windows.grid();
        HoppingKernel { key, windows, grid, lateness, aggregate, keys: Keys::new(), earliest: i64::MAX }
    }
}

impl<K, F, A> Kernel for HoppingKernel<K, F, A>
where
    K: Key,
    F: Fn(&A::In) -> K + 'static,
    A: Aggregate,
{
    type In = A::In;
    type Out = Record<Window<K, A::Out>>;

    fn kind(&self) -> String {
        self.windows.describe(self.lateness)
    }

    fn state(&self) -> String {
        type_name::<A::Acc>()
    }

    fn order(&self) -> Order {
        Order::Any
    }

    fn records(&mut self, at: Closing, records: &mut Vec<Record<A::In>>, emit: &mut Emit<A::In, Self::Out>) {
        let closed = self.grid.ended(closed_through(at.before, self.lateness));
        for record in records.drain(..) {
            let pane = self.grid.pane(record.time);
            if self.grid.last_with(pane) <= closed {
                emit.late.push(record);
                continue;
            }
            self.earliest = self.earliest.min(pane);
            self.keys.get_or_default((self.key)(&record.value)).add(pane, &record.value, &self.aggregate);
        }
    }

    fn settle(&mut self, at: Closing, emit: &mut Emit<A::In, Self::Out>) {
        let last = self.grid.ended(closed_through(at.after, self.lateness));
        let mut next = self.grid.ended(closed_through(at.before, self.lateness)).saturating_add(1);
        while !self.keys.is_empty() {
            // Where no key has events, there are no windows to go through.
            next = next.max(self.grid.first_with(self.earliest));
            if next > last {
                break;
            }
            let (panes, span) = (self.grid.panes(next), self.grid.span(next));
            let (time, aggregate) = (span.end - 1, &self.aggregate);
            self.earliest = i64::MAX;
            let following = self.grid.panes(next.saturating_add(1)).start;
            self.keys.retain(|key, kept| {
                if let Some(value) = kept.result(&panes, aggregate) {
                    let value = Window { key: key.clone(), start: span.start, end: span.end, value };
                    emit.out.push(Record { time, seq: place(key), value });
                }
                let Some((latest, _)) = kept.panes.back() else { return false };
                if *latest < following {
                    return false;
                }
                if let Some((first, _)) = kept.panes.front() {
                    self.earliest = self.earliest.min((*first).max(following));
                }
                true
            });
            next = next.saturating_add(1);
        }
    }

    fn save(&mut self, save: &mut Save) {
        self.keys.save(save);
    }

    fn load(&mut self, _: Closing, entry: Saved<'_>, _: &mut Emit<A::In, Self::Out>) -> Result<(), StateError> {
        let (_, kept) = self.keys.load(entry)?;
        self.earliest = self.earliest.min(kept.panes.front().map_or(i64::MAX, |(first, _)| *first));
        Ok(())
    }
}
