//! The interval join: events whose times are so far apart.

use crate::pair::{Joined, Joining, Outer, Pair, Side, both, by_place, four_joins, refuse};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use tidemill::time::{END, show};
use tidemill::{
    Closing, Data, Emit, Kernel, Key, Keys, Millis, Order, Record, Result, Save, Saved, Seq, StateError, Stream,
    Timers, type_name,
};

/// An interval join to be: see [`Joining::within`].
///
/// Events are taken in order of event time. A pair comes out when the watermark has passed both, at the time of the later
/// one; an event that nothing matched when the watermark has passed the last time at which a match could have come, at
/// that time, or at its own if that is later. Events behind the watermark are late, and match nothing.
///
/// State: a left event is kept until the watermark is past its time plus `to`, a right one until it is past its time less
/// `from`, and not at all where that is before its own time.
pub struct Within<'s, L: 'static, R: 'static, FL, FR> {
    pub(crate) joining: Joining<'s, L, R, FL, FR>,
    pub(crate) from: Millis,
    pub(crate) to: Millis,
}

impl<'s, L, R, K, FL, FR> Within<'s, L, R, FL, FR>
where
    L: Data,
    R: Data,
    K: Key,
    FL: Fn(&L) -> K + Clone + 'static,
    FR: Fn(&R) -> K + Clone + 'static,
{
    fn run<U: Data>(
        self,
        name: &str,
        outer: Outer,
        join: impl Fn(Option<&L>, Option<&R>) -> Option<U> + 'static,
    ) -> Joined<'s, L, R, U> {
        let Within { joining: Joining { left, right }, from, to } = self;
        if from > to {
            return refuse(name, &format!("matches nothing from {from} to {to} ms: choose `from` up to `to`"));
        }
        let both = both(name, left, right);
        let kernel = IntervalKernel::new(both.key(), (from, to), outer, join);
        both.kernel(name, kernel)
    }
}

four_joins!(Within);

/// An event that may still find a match.
#[derive(Clone, Serialize, Deserialize)]
struct Waiting<T> {
    time: Millis,
    seq: Seq,
    event: T,
    matched: bool,
}

/// One key's events, each side in order of time.
#[derive(Clone, Serialize, Deserialize)]
struct Sides<L, R> {
    left: VecDeque<Waiting<L>>,
    right: VecDeque<Waiting<R>>,
}

impl<L, R> Default for Sides<L, R> {
    fn default() -> Self {
        Sides { left: VecDeque::new(), right: VecDeque::new() }
    }
}

/// The waiting events of one worker's keys.
pub(crate) struct IntervalKernel<K, L, R, F, J> {
    key: F,
    from: Millis,
    to: Millis,
    outer: Outer,
    join: J,
    keys: Keys<K, Sides<L, R>>,
    timers: Timers<K>,
}

impl<K: Key, L, R, F, J> IntervalKernel<K, L, R, F, J> {
    pub fn new(key: F, (from, to): (Millis, Millis), outer: Outer, join: J) -> Self {
        IntervalKernel { key, from, to, outer, join, keys: Keys::new(), timers: Timers::default() }
    }
}

impl<K, L, R, F, J, U> IntervalKernel<K, L, R, F, J>
where
    K: Key,
    L: Data,
    R: Data,
    J: Fn(Option<&L>, Option<&R>) -> Option<U>,
{
    /// Lets go of a key's events whose last match would have come before `now`. Returns when to look again.
    fn expire(&mut self, key: &K, now: Millis, out: &mut Vec<Record<U>>) -> Option<Millis> {
        let sides = self.keys.get_mut(key)?;
        let over = |last: Millis| last < now || now == END;
        let to = self.to;
        while let Some(gone) = sides.left.pop_front_if(|waiting| over(last_match(waiting.time, to))) {
            if self.outer.left && !gone.matched {
                let (time, value) = (last_match(gone.time, to), (self.join)(Some(&gone.event), None));
                out.extend(value.map(|value| Record { time, seq: gone.seq.child(0), value }));
            }
        }
        let back = self.from.saturating_neg();
        while let Some(gone) = sides.right.pop_front_if(|waiting| over(last_match(waiting.time, back))) {
            if self.outer.right && !gone.matched {
                let (time, value) = (last_match(gone.time, back), (self.join)(None, Some(&gone.event)));
                out.extend(value.map(|value| Record { time, seq: gone.seq.child(0), value }));
            }
        }
        let left = sides.left.front().map(|waiting| last_match(waiting.time, to));
        let right = sides.right.front().map(|waiting| last_match(waiting.time, back));
        if left.is_none() && right.is_none() {
            self.keys.remove(key);
        }
        left.into_iter().chain(right).min()
    }
}

impl<K, L, R, F, J, U> Kernel for IntervalKernel<K, L, R, F, J>
where
    K: Key,
    L: Data,
    R: Data,
    U: Data,
    F: Fn(&Side<L, R>) -> K + 'static,
    J: Fn(Option<&L>, Option<&R>) -> Option<U> + 'static,
{
    type In = Side<L, R>;
    type Out = Record<U>;

    fn kind(&self) -> String {
        format!("join from {} to {}", show(self.from), show(self.to))
    }

    fn state(&self) -> String {
        type_name::<Sides<L, R>>()
    }

    fn order(&self) -> Order {
        Order::EventTime
    }

    fn records(&mut self, _: Closing, records: &mut Vec<Record<Self::In>>, emit: &mut Emit<Self::In, Self::Out>) {
        by_place(records);
        for Record { time, seq, value } in records.drain(..) {
            let key = (self.key)(&value);
            let sides = self.keys.get_or_default(key.clone());
            let first = emit.out.len();
            let mut matched = false;
            let mut pair = |left: Option<&L>, right: Option<&R>| {
                matched = true;
                let seq = seq.child(emit.out.len() - first);
                emit.out.extend((self.join)(left, right).map(|value| Record { time, seq, value }));
            };
            match value {
                Side::Left(event) => {
                    let partners = time.saturating_add(self.from)..=time.saturating_add(self.to);
                    for partner in between(&mut sides.right, partners) {
                        partner.matched = true;
                        pair(Some(&event), Some(&partner.event));
                    }
                    if sides.left.is_empty() {
                        self.timers.set(last_match(time, self.to), key);
                    }
                    sides.left.push_back(Waiting { time, seq, event, matched });
                }
                Side::Right(event) => {
                    let partners = time.saturating_sub(self.to)..=time.saturating_sub(self.from);
                    for partner in between(&mut sides.left, partners) {
                        partner.matched = true;
                        pair(Some(&partner.event), Some(&event));
                    }
                    if sides.right.is_empty() {
                        self.timers.set(last_match(time, self.from.saturating_neg()), key);
                    }
                    sides.right.push_back(Waiting { time, seq, event, matched });
                }
            }
        }
    }

    fn settle(&mut self, at: Closing, emit: &mut Emit<Self::In, Self::Out>) {
        for key in self.timers.due(at.after) {
            if let Some(next) = self.expire(&key, at.after, &mut emit.out) {
                self.timers.set(next, key);
            }
        }
    }

    fn save(&mut self, save: &mut Save) {
        self.keys.save(save);
    }

    fn load(&mut self, at: Closing, entry: Saved<'_>, _: &mut Emit<Self::In, Self::Out>) -> Result<(), StateError> {
        let (key, _) = self.keys.load(entry)?;
        self.timers.set(at.after, key);
        Ok(())
    }
}

/// The last time at which a match can come for an event at `time`, whose matches are up to `after` ms later.
fn last_match(time: Millis, after: Millis) -> Millis {
    time.saturating_add(after.max(0))
}

/// The waiting events with times in `span`.
fn between<T>(
    waiting: &mut VecDeque<Waiting<T>>,
    span: std::ops::RangeInclusive<Millis>,
) -> impl Iterator<Item = &mut Waiting<T>> {
    let first = waiting.partition_point(|w| w.time < *span.start());
    let end = waiting.partition_point(|w| w.time <= *span.end());
    waiting.range_mut(first..end.max(first))
}
