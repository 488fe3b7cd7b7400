//! Tumbling windows, emitted once.

use crate::aggregate::Aggregate;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;
use tidemill::hash::{group_of, stable_hash};
use tidemill::{
    Closing, Data, Emit, Error, Kernel, Key, Keyed, Millis, Order, Record, Result, Seq, StateError, Stream,
};

/// What one key's events of one window amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Window<K, V> {
    /// The key.
    pub key: K,
    /// When the window begins, in milliseconds since 1970 UTC.
    pub start: Millis,
    /// When it has ended: the first millisecond that is not in it.
    pub end: Millis,
    /// The aggregate's result.
    pub value: V,
}

/// Windows over a stream grouped by key.
pub trait TumblingWindows<'s, T: Data, K: Key>: Sized {
    /// Aggregates each key's events by spans of `width` milliseconds of event time. A key and
    /// span with events gives one [`Window`], once the watermark has reached its end. The second
    /// stream holds the events whose window had been emitted already.
    ///
    /// Fails if the name is taken or `width` is not positive.
    fn tumbling<A: Aggregate<In = T>>(
        self,
        name: &str,
        width: Millis,
        aggregate: A,
    ) -> Result<(Stream<'s, Window<K, A::Out>>, Stream<'s, T>)>;
}

impl<'s, T, K, F> TumblingWindows<'s, T, K> for Keyed<'s, T, F>
where
    T: Data,
    K: Key,
    F: Fn(&T) -> K + Clone + 'static,
{
    fn tumbling<A: Aggregate<In = T>>(
        self,
        name: &str,
        width: Millis,
        aggregate: A,
    ) -> Result<(Stream<'s, Window<K, A::Out>>, Stream<'s, T>)> {
        if width <= 0 {
            return Err(Error::Graph(format!("windows `{name}` of {width} ms hold nothing: choose at least 1")));
        }
        let kernel = Tumbling::new(self.key(), width, aggregate);
        self.kernel(name, kernel)
    }
}

/// The windows that are open on one worker.
struct Tumbling<K, F, A: Aggregate> {
    key: F,
    width: Millis,
    aggregate: A,
    /// By the window's start; none of them is empty.
    open: BTreeMap<Millis, FxHashMap<K, A::Acc>>,
    /// How many keys the window emitted last had: the next ones will be as large.
    size: usize,
}

impl<K: Key, F: Fn(&A::In) -> K, A: Aggregate> Tumbling<K, F, A> {
    fn new(key: F, width: Millis, aggregate: A) -> Self {
        Tumbling { key, width, aggregate, open: BTreeMap::new(), size: 0 }
    }

    /// The window that an event at `time` is in.
    fn window(&self, time: Millis) -> Range<Millis> {
        let start = time.saturating_sub(time.rem_euclid(self.width));
        start..start.saturating_add(self.width)
    }
}

/// The partition number of what windows emit: after everything that was read.
const WINDOW: u16 = u16::MAX - 3;

/// The place of a key's result among those of its window: by its hash, all 64 bits of it.
fn place<K: Key>(key: &K) -> Seq {
    let hash = stable_hash(key);
    Seq::new(WINDOW, hash).child((hash >> 48) as usize)
}

impl<K, F, A> Kernel for Tumbling<K, F, A>
where
    K: Key,
    F: Fn(&A::In) -> K + 'static,
    A: Aggregate,
{
    type In = A::In;
    type Out = Record<Window<K, A::Out>>;

    fn order(&self) -> Order {
        Order::Any
    }

    fn records(&mut self, at: Closing, records: &mut Vec<Record<A::In>>, emit: &mut Emit<A::In, Self::Out>) {
        let mut rest = records.as_slice();
        // Neighbours mostly share a window, so it is looked up once for all of them.
        while let Some(first) = rest.first() {
            let window = self.window(first.time);
            let same = rest[1..].iter().take_while(|r| window.contains(&r.time)).count();
            let (run, others) = rest.split_at(1 + same);
            rest = others;
            if window.end <= at.before {
                emit.late.extend_from_slice(run);
                continue;
            }
            let room = || FxHashMap::with_capacity_and_hasher(self.size, Default::default());
            let keys = self.open.entry(window.start).or_insert_with(room);
            for record in run {
                let acc = keys.entry((self.key)(&record.value)).or_default();
                self.aggregate.add(acc, &record.value);
            }
        }
        records.clear();
    }

    fn settle(&mut self, at: Closing, emit: &mut Emit<A::In, Self::Out>) {
        while let Some(window) = self.open.first_entry() {
            let start = *window.key();
            let end = start.saturating_add(self.width);
            if end > at.after {
                break;
            }
            let keys = window.remove();
            self.size = keys.len();
            emit.out.extend(keys.into_iter().map(|(key, acc)| {
                let (seq, value) = (place(&key), self.aggregate.result(&acc));
                Record { time: end - 1, seq, value: Window { key, start, end, value } }
            }));
        }
    }

    fn snapshot(&self) -> Vec<(u8, Vec<u8>)> {
        let mut groups: BTreeMap<u8, BTreeMap<Millis, BTreeMap<&K, &A::Acc>>> = BTreeMap::new();
        for (&start, keys) in &self.open {
            for (key, acc) in keys {
                let windows = groups.entry(group_of(stable_hash(key))).or_default();
                windows.entry(start).or_default().insert(key, acc);
            }
        }
        // Into memory, of types that derive `Serialize`: the encoder has no way to fail.
        groups.into_iter().map(|(group, windows)| (group, postcard::to_stdvec(&windows).unwrap_or_default())).collect()
    }

    fn restore(&mut self, _: Closing, state: &[u8], _: &mut Emit<A::In, Self::Out>) -> Result<(), StateError> {
        let windows: BTreeMap<Millis, BTreeMap<K, A::Acc>> = postcard::from_bytes(state)?;
        for (start, keys) in windows {
            self.open.entry(start).or_default().extend(keys);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Count, Sum};
    use proptest::prelude::*;
    use tidemill::harness::Harness;
    use tidemill::time::{BEGINNING, END};
    use tidemill::{Config, Events, Memory, Timing, execute};

    /// Time, key, number.
    type Event = (Millis, u8, i64);

    const WIDTH: Millis = 100;

    fn aggregate() -> (Count<Event>, Sum<Event, fn(&Event) -> i64>) {
        (Count::new(), Sum::of(|e: &Event| e.2))
    }

    /// One epoch: its events, and the watermark at its end.
    type Closed = (Vec<Event>, Millis);

    /// Epochs of events on both sides of the watermark, some of them twice.
    fn epochs() -> impl Strategy<Value = Vec<Closed>> {
        let event = (-350i64..350, 0u8..12, -5i64..100, 1usize..3);
        prop::collection::vec((prop::collection::vec(event, 0..40), 0i64..150), 1..12).prop_map(|epochs| {
            let mut watermark = -200;
            let close = |(events, step): (Vec<_>, Millis)| {
                let near = |(offset, key, n, times)| vec![(watermark + offset, key, n); times];
                let events = events.into_iter().flat_map(near).collect();
                watermark += step;
                (events, watermark)
            };
            epochs.into_iter().map(close).collect()
        })
    }

    type Out = (Window<u8, (u64, i64)>, usize);

    /// All windows with the epoch that must emit them, and the late events, by the definition.
    fn oracle(epochs: &[Closed]) -> (Vec<Out>, Vec<Event>) {
        let mut before = BEGINNING;
        let (mut late, mut windows) = (vec![], BTreeMap::new());
        for (events, after) in epochs {
            for event in events {
                let start = (event.0 as f64 / WIDTH as f64).floor() as Millis * WIDTH;
                if start + WIDTH <= before {
                    late.push(*event);
                } else {
                    windows.entry((start, event.1)).or_insert_with(Vec::new).push(event.2);
                }
            }
            before = *after;
        }
        let window = |((start, key), numbers): (_, Vec<i64>)| {
            let end = start + WIDTH;
            let emitted = epochs.iter().position(|(_, after)| *after >= end).unwrap_or(epochs.len());
            let value = (numbers.len() as u64, numbers.iter().sum());
            (Window { key, start, end, value }, emitted)
        };
        (windows.into_iter().map(window).collect(), late)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn windows_are_what_the_definition_says_also_after_a_restore(
            epochs in epochs(), workers in 1usize..5, cut in 0usize..12, after in 1usize..5
        ) {
            let key = |e: &Event| e.1;
            let mut harness = Harness::kernel(workers, key, move || Tumbling::new(key, WIDTH, aggregate()));
            let (mut out, mut late) = (vec![], vec![]);
            let mut before = BEGINNING;
            let end = (vec![], END);
            for (number, (events, watermark)) in epochs.iter().chain([&end]).enumerate() {
                events.iter().for_each(|event| harness.push(event.0, *event));
                harness.watermark(*watermark);
                for Record { time, value, .. } in harness.emitted() {
                    prop_assert!(time == value.end - 1 && time >= before, "not late for whoever comes next");
                    out.push((value, number));
                }
                late.extend(harness.late());
                if number == cut {
                    prop_assert!(harness.restore(after).unwrap().is_empty());
                }
                before = *watermark;
            }
            let (mut expected, mut expected_late) = oracle(&epochs);
            out.sort();
            expected.sort();
            late.sort();
            expected_late.sort();
            prop_assert_eq!(out, expected);
            prop_assert_eq!(late, expected_late);
        }

        #[test]
        fn a_job_writes_the_same_bytes_on_any_number_of_workers(
            parts in prop::collection::vec(prop::collection::vec((-600i64..6_000, 0u8..50, 0i64..9), 0..200), 1..4),
            epoch_records in 1usize..60,
        ) {
            let mut first = None;
            for workers in [1, 2, 4] {
                let (out, late) = (Memory::new(), Memory::new());
                let (to_out, to_late, input) = (out.clone(), late.clone(), Events::partitioned(parts.clone()));
                let config = Config { epoch_records, ..Config::workers(workers) };
                execute(config, move |job| {
                    let timing = Timing::by(|e: &Event| e.0).disorder(1_000);
                    let events = job.source("events", input.clone(), timing)?;
                    let (windows, late) = events.key_by(|e| e.1).tumbling("windows", WIDTH, aggregate())?;
                    // What they emit is in time for windows of windows.
                    let all = Sum::of(|w: &Window<u8, (u64, i64)>| w.value.0 as i64);
                    let (all, never) = windows.clone().key_by(|_| ()).tumbling("all", 3 * WIDTH, all)?;
                    never.inspect(|window| panic!("late: {window:?}")).for_each(|_| ());
                    all.sink("all out", Memory::new())?;
                    windows.sink("out", to_out.clone())?;
                    late.sink("late", to_late.clone())
                }).unwrap();
                let (out, late) = (out.take(), late.take());
                let counted: u64 = out.iter().map(|(_, r)| r.value.value.0).sum();
                prop_assert_eq!(counted as usize + late.len(), parts.concat().len());
                prop_assert_eq!(first.get_or_insert((out.clone(), late.clone())), &(out, late), "{} workers", workers);
            }
        }
    }

    #[test]
    fn a_window_closes_when_the_watermark_reaches_its_end_and_not_before() {
        let key = |e: &Event| e.1;
        let mut harness = Harness::kernel(1, key, move || Tumbling::new(key, WIDTH, aggregate()));
        harness.push(0, (0, 1, 10));
        harness.push(99, (99, 1, 20));
        harness.push(100, (100, 1, 40));
        harness.watermark(99);
        assert_eq!(harness.out(), []);
        harness.push(5, (5, 1, 80)); // behind the watermark, and its window is still open
        harness.watermark(100);
        assert_eq!(harness.out(), [Window { key: 1, start: 0, end: 100, value: (3, 110) }]);
        harness.push(99, (99, 1, 1));
        harness.watermark(END);
        assert_eq!(harness.late(), [(99, 1, 1)]);
        assert_eq!(harness.out(), [Window { key: 1, start: 100, end: 200, value: (1, 40) }]);
    }

    #[test]
    fn the_ends_of_time_are_in_windows_too() {
        let key = |e: &Event| e.1;
        let mut harness = Harness::kernel(1, key, move || Tumbling::new(key, WIDTH, aggregate()));
        for time in [Millis::MIN, Millis::MIN + 1, Millis::MAX - 1, Millis::MAX] {
            harness.push(time, (time, 1, 1));
        }
        harness.watermark(END);
        let counts: u64 = harness.out().iter().map(|w| w.value.0).sum();
        assert_eq!((counts, harness.late().len()), (4, 0));
    }

    #[test]
    fn a_window_of_no_width_is_refused() {
        let outcome = execute(Config::workers(1), |job| {
            let events = job.source("events", Events::new(vec![(0, 0, 0)]), Timing::by(|e: &Event| e.0))?;
            events.key_by(|e| e.1).tumbling("none", 0, aggregate())?.0.sink("out", Memory::new())
        });
        assert!(outcome.unwrap_err().to_string().contains("windows `none` of 0 ms"));
    }
}
