//! The window join: events that lie in the same window.

use crate::pair::{Joined, Joining, Outer, Pair, Side, both, by_place, four_joins, refuse};
use serde::{Deserialize, Serialize};
use tidemill::time::show;
use tidemill::{
    Closing, Data, Emit, Kernel, Key, Keys, Millis, Order, Record, Result, Save, Saved, Seq, StateError, Stream,
    WindowedKeys, type_name,
};

/// A join of the events of a window to be: see [`Joining::window`].
///
/// Windows begin at the multiples of their width since 1970 UTC, or see [`SameWindow::offset`]. What a window's events amount to comes out when the
/// watermark reaches its end, at its last millisecond, ordered by the left event and then by the right one. An event is
/// late if its window was over when its epoch began. State: the open windows' events.
pub struct SameWindow<'s, L: 'static, R: 'static, FL, FR> {
    pub(crate) joining: Joining<'s, L, R, FL, FR>,
    pub(crate) width: Millis,
    pub(crate) offset: Millis,
}

impl<'s, L: Data, R: Data, FL, FR> SameWindow<'s, L, R, FL, FR> {
    /// Has the windows begin `offset` ms after the multiples of their width, such as days at -2 hours for days that begin
    /// at 22:00 UTC.
    pub fn offset(self, offset: Millis) -> Self {
        SameWindow { offset, ..self }
    }
}

impl<'s, L, R, K, FL, FR> SameWindow<'s, L, R, FL, FR>
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
        let SameWindow { joining: Joining { left, right }, width, offset } = self;
        if width <= 0 {
            return refuse(name, &format!("has windows of {width} ms, which hold nothing: choose at least 1"));
        }
        let both = both(name, left, right);
        let kernel = WindowKernel::new(both.key(), (width, offset), outer, join);
        both.kernel(name, kernel)
    }
}

four_joins!(SameWindow);

/// The events of one key in one window, by side.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Sides<L, R> {
    left: Vec<Record<L>>,
    right: Vec<Record<R>>,
}

impl<L, R> Default for Sides<L, R> {
    fn default() -> Self {
        Sides { left: Vec::new(), right: Vec::new() }
    }
}

/// The windows that are open on one worker.
pub(crate) struct WindowKernel<K, L, R, F, J> {
    key: F,
    width: Millis,
    offset: Millis,
    outer: Outer,
    join: J,
    /// By the window's start.
    open: WindowedKeys<K, Sides<L, R>>,
}

impl<K, L, R, F, J> WindowKernel<K, L, R, F, J> {
    pub fn new(key: F, (width, offset): (Millis, Millis), outer: Outer, join: J) -> Self {
        WindowKernel { key, width, offset, outer, join, open: WindowedKeys::new() }
    }
}

impl<K, L, R, F, J, U> Kernel for WindowKernel<K, L, R, F, J>
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
        let offset = if self.offset == 0 { String::new() } else { format!(" at {}", show(self.offset)) };
        format!("join by tumbling windows of {}{offset}", show(self.width))
    }

    fn state(&self) -> String {
        type_name::<Sides<L, R>>()
    }

    fn order(&self) -> Order {
        Order::Any
    }

    fn records(&mut self, at: Closing, records: &mut Vec<Record<Self::In>>, emit: &mut Emit<Self::In, Self::Out>) {
        for record in records.drain(..) {
            // Neither of the two is below 0 or above the width, so nothing overflows.
            let (time, offset) = (record.time.rem_euclid(self.width), self.offset.rem_euclid(self.width));
            let start = record.time.saturating_sub((time - offset).rem_euclid(self.width));
            if start.saturating_add(self.width) <= at.before {
                emit.late.push(record);
                continue;
            }
            let keys = self.open.get_or_insert_with(start, Keys::new);
            let sides = keys.get_or_default((self.key)(&record.value));
            let Record { time, seq, value } = record;
            match value {
                Side::Left(value) => sides.left.push(Record { time, seq, value }),
                Side::Right(value) => sides.right.push(Record { time, seq, value }),
            }
        }
    }

    fn settle(&mut self, at: Closing, emit: &mut Emit<Self::In, Self::Out>) {
        while let Some(start) = self.open.first() {
            let end = start.saturating_add(self.width);
            if end > at.after {
                break;
            }
            for (_, mut sides) in self.open.close(start) {
                // They came in no order.
                sides.left.sort_by_key(|record| (record.time, record.seq));
                by_place(&mut sides.left);
                sides.right.sort_by_key(|record| (record.time, record.seq));
                by_place(&mut sides.right);
                let mut give = |seq: Seq, left: Option<&L>, right: Option<&R>| {
                    let value = (self.join)(left, right);
                    emit.out.extend(value.map(|value| Record { time: end - 1, seq, value }));
                };
                for left in &sides.left {
                    for (nth, right) in sides.right.iter().enumerate() {
                        give(left.seq.child(nth), Some(&left.value), Some(&right.value));
                    }
                    if self.outer.left && sides.right.is_empty() {
                        give(left.seq.child(0), Some(&left.value), None);
                    }
                }
                for right in sides.right.iter().filter(|_| self.outer.right && sides.left.is_empty()) {
                    give(right.seq.child(0), None, Some(&right.value));
                }
            }
        }
    }

    fn save(&mut self, save: &mut Save) {
        self.open.save(save);
    }

    fn load(&mut self, _: Closing, entry: Saved<'_>, _: &mut Emit<Self::In, Self::Out>) -> Result<(), StateError> {
        self.open.load(entry)
    }
}
