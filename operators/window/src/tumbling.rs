//! Tumbling windows and the global one, each given once.

use crate::aggregate::Aggregate;
use crate::open::{Open, begin};
use crate::windows::{Kind, Window, Windows, closed_through, place};
use std::ops::Range;
use tidemill::time::{BEGINNING, END};
use tidemill::{Closing, Emit, Kernel, Key, Millis, Order, Record, Save, Saved, StateError, type_name};

/// The windows that are open on one worker.
pub(crate) struct TumblingKernel<K, F, A: Aggregate> {
    key: F,
    windows: Windows,
    lateness: Millis,
    aggregate: A,
    /// By the window's start; none of them is empty.
    open: Open<K, A::Acc>,
    /// How many keys the windows emitted last had, for as many that begin.
    sizes: Vec<usize>,
}

impl<K: Key, F: Fn(&A::In) -> K, A: Aggregate> TumblingKernel<K, F, A> {
    pub fn new(key: F, windows: Windows, lateness: Millis, aggregate: A) -> Self {
        TumblingKernel { key, windows, lateness, aggregate, open: Open::new(), sizes: Vec::new() }
    }
}

/// The window that an event at `time` is in.
fn window(windows: Windows, time: Millis) -> Range<Millis> {
    let Kind::Hopping { width, .. } = windows.kind else { return BEGINNING..END };
    // The last millisecond there is has none after it, and so would be in no window.
    let time = time.min(END - 1);
    let inside = (time.rem_euclid(width) - windows.offset.rem_euclid(width)).rem_euclid(width);
    time.saturating_sub(inside)..time.saturating_add(width - inside)
}

impl<K, F, A> Kernel for TumblingKernel<K, F, A>
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
        let closed = closed_through(at.before, self.lateness);
        let mut rest = records.iter().peekable();
        // Neighbours mostly share a window, so it is looked up once for all of them.
        while let Some(first) = rest.next() {
            let window = window(self.windows, first.time);
            let run = std::iter::once(first).chain(std::iter::from_fn(|| rest.next_if(|r| window.contains(&r.time))));
            if window.end <= closed {
                emit.late.extend(run.cloned());
                continue;
            }
            let keys = self.open.get_or_insert_with(window.start, || begin(&mut self.sizes));
            for record in run {
                self.aggregate.add(keys.get_or_default((self.key)(&record.value)), &record.value);
            }
        }
        records.clear();
    }

    fn settle(&mut self, at: Closing, emit: &mut Emit<A::In, Self::Out>) {
        while let Some(start) = self.open.first() {
            let end = window(self.windows, start).end;
            if end > closed_through(at.after, self.lateness) {
                break;
            }
            let before = emit.out.len();
            emit.out.extend(self.open.close(start).map(|(key, acc)| {
                let (seq, value) = (place(&key), self.aggregate.result(&acc));
                Record { time: end - 1, seq, value: Window { key, start, end, value } }
            }));
            self.sizes.push(emit.out.len() - before);
        }
    }

    fn save(&mut self, save: &mut Save) {
        self.open.save(save);
    }

    fn load(&mut self, _: Closing, entry: Saved<'_>, _: &mut Emit<A::In, Self::Out>) -> Result<(), StateError> {
        self.open.load(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Count;
    use tidemill::Seq;

    #[test]
    fn a_large_window_makes_room_in_one_that_follows_and_not_in_all() {
        let mut kernel = TumblingKernel::new(|key: &i64| *key, Windows::tumbling(10), 0, Count::new());
        let event = |time, key| Record { time, seq: Seq::new(0, 0), value: key };
        let (at, mut emit) = (Closing { epoch: 1, before: BEGINNING, after: 10 }, Emit::default());
        kernel.records(at, &mut (0..10_000).map(|key| event(0, key)).collect(), &mut emit);
        kernel.settle(at, &mut emit);
        kernel.records(at, &mut (1..=1_000).map(|n| event(10 * n, n)).collect(), &mut emit);
        let room: Vec<usize> = kernel.open.range(..).map(|(_, keys)| keys.capacity()).collect();
        assert!(room.len() == 1_000 && room[0] >= 10_000 && room.iter().sum::<usize>() < 30_000, "{room:?}");
    }
}
