//! Hopping windows whose aggregate can take events back, each given once: from one window to the next, what leaves is
//! taken out of a running result, and what enters is added.

use crate::aggregate::Aggregate;
use crate::open::{Open, begin, restore, snapshot};
use crate::windows::{Grid, Window, Windows, closed_through, place};
use rustc_hash::FxHashMap;
use std::ops::Range;
use tidemill::{Closing, Emit, Kernel, Key, Millis, Order, Record, StateError, type_name};

/// What a key's events of some panes add up to.
#[derive(Default)]
struct Running<Acc> {
    acc: Acc,
    /// How many of the panes have events of the key.
    panes: u32,
}

/// The windows of one worker's keys.
pub(crate) struct RollingKernel<K, F, A: Aggregate> {
    key: F,
    windows: Windows,
    grid: Grid,
    lateness: Millis,
    aggregate: A,
    /// What is in a window yet to be given, by the pane's number; no pane is empty.
    panes: Open<K, A::Acc>,
    /// What the panes before `rolled` add up to; each key is in one of them.
    running: FxHashMap<K, Running<A::Acc>>,
    rolled: i64,
    /// How many keys the panes added last had, for as many that begin.
    sizes: Vec<usize>,
}

impl<K: Key, F: Fn(&A::In) -> K, A: Aggregate> RollingKernel<K, F, A> {
    pub fn new(key: F, windows: Windows, lateness: Millis, aggregate: A) -> Self {
        let (panes, running) = (Open::new(), FxHashMap::default());
        let grid = windows.grid();
        RollingKernel { key, windows, grid, lateness, aggregate, panes, running, rolled: i64::MIN, sizes: Vec::new() }
    }

    /// Adds the panes up to those of a window.
    fn enter(&mut self, panes: &Range<i64>) {
        for (_, keys) in self.panes.range(self.rolled..panes.end) {
            self.sizes.push(keys.len());
            for (key, acc) in keys {
                let running = match self.running.get_mut(key) {
                    Some(running) => running,
                    None => self.running.entry(key.clone()).or_default(),
                };
                running.panes += 1;
                self.aggregate.merge(&mut running.acc, acc);
            }
        }
        self.rolled = panes.end;
    }

    /// Takes out the panes before those of the next window.
    fn leave(&mut self, panes: &Range<i64>) {
        while let Some(first) = self.panes.first_entry().filter(|first| *first.key() < panes.start) {
            for (key, acc) in first.remove() {
                match self.running.get_mut(&key) {
                    Some(running) if running.panes > 1 => {
                        running.panes -= 1;
                        self.aggregate.sub(&mut running.acc, &acc);
                    }
                    _ => _ = self.running.remove(&key),
                }
            }
        }
    }
}

impl<K, F, A> Kernel for RollingKernel<K, F, A>
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
        let mut rest = records.iter().peekable();
        // Neighbours mostly share a pane, so it is looked up once for all of them.
        while let Some(first) = rest.next() {
            let pane = self.grid.pane(first.time);
            let span = self.grid.pane_span(pane);
            let run = std::iter::once(first).chain(std::iter::from_fn(|| rest.next_if(|r| span.contains(&r.time))));
            if self.grid.last_with(pane) <= closed {
                emit.late.extend(run.cloned());
                continue;
            }
            let keys = self.panes.entry(pane).or_insert_with(|| begin(&mut self.sizes));
            for record in run {
                let key = (self.key)(&record.value);
                if pane < self.rolled {
                    let running = self.running.entry(key.clone()).or_default();
                    running.panes += u32::from(!keys.contains_key(&key));
                    self.aggregate.add(&mut running.acc, &record.value);
                }
                self.aggregate.add(keys.entry(key).or_default(), &record.value);
            }
        }
        records.clear();
    }

    fn settle(&mut self, at: Closing, emit: &mut Emit<A::In, Self::Out>) {
        let last = self.grid.ended(closed_through(at.after, self.lateness));
        let mut next = self.grid.ended(closed_through(at.before, self.lateness)).saturating_add(1);
        while let Some((earliest, _)) = self.panes.first_key_value() {
            // Where no key has events, there are no windows to go through.
            next = next.max(self.grid.first_with(*earliest));
            if next > last {
                break;
            }
            self.enter(&self.grid.panes(next));
            let Range { start, end } = self.grid.span(next);
            emit.out.reserve(self.running.len());
            emit.out.extend(self.running.iter().map(|(key, running)| {
                let value = Window { key: key.clone(), start, end, value: self.aggregate.result(&running.acc) };
                Record { time: end - 1, seq: place(key), value }
            }));
            next = next.saturating_add(1);
            self.leave(&self.grid.panes(next));
        }
    }

    fn snapshot(&self) -> Vec<(u8, Vec<u8>)> {
        snapshot(&self.panes)
    }

    fn restore(&mut self, _: Closing, state: &[u8], _: &mut Emit<A::In, Self::Out>) -> Result<(), StateError> {
        // The next window adds all panes anew.
        restore(&mut self.panes, state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Count;
    use tidemill::Seq;
    use tidemill::time::BEGINNING;

    #[test]
    fn a_large_pane_makes_room_in_one_that_follows_and_not_in_all() {
        let mut kernel = RollingKernel::new(|key: &i64| *key, Windows::hopping(20, 10), 0, Count::new());
        let event = |time, key| Record { time, seq: Seq::new(0, 0), value: key };
        let (at, mut emit) = (Closing { epoch: 1, before: BEGINNING, after: 20 }, Emit::default());
        kernel.records(at, &mut (0..10_000).map(|key| event(0, key)).collect(), &mut emit);
        kernel.settle(at, &mut emit);
        kernel.records(at, &mut (2..=1_001).map(|n| event(10 * n, n)).collect(), &mut emit);
        let room: Vec<usize> = kernel.panes.range(2..).map(|(_, keys)| keys.capacity()).collect();
        assert!(room.len() == 1_000 && room[0] >= 10_000 && room.iter().sum::<usize>() < 30_000, "{room:?}");
    }
}
