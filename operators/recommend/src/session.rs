//! Owners' touches as rows.

use tidemill::time::BEGINNING;
use tidemill::{Key, Maintain, Millis, Order, Record, Update};

use crate::nearest::Session;
use crate::touch::{Touch, Touches, change};
use std::marker::PhantomData;

/// Keeps of each owner the last items, as one [`Session`]: a session's clicks, or a user's history.
///
/// State: the touches that hold.
pub struct LastItems<U, I> {
    n: usize,
    touches: PhantomData<fn(U, I)>,
}

impl<U, I> LastItems<U, I> {
    /// The last `n`.
    pub fn new(n: usize) -> Self {
        LastItems { n, touches: PhantomData }
    }
}

impl<U: Key, I: Key> Maintain for LastItems<U, I> {
    type Key = U;
    type In = Update<Touch<U, I>>;
    type State = Touches<I>;
    type Row = Session<U, I>;

    const ORDER: Order = Order::Any;

    fn update(&self, _: &U, touches: &mut Touches<I>, changes: &mut Vec<Record<Self::In>>) {
        change(touches, changes);
    }

    fn rows(&self, owner: &U, touches: &Touches<I>, rows: &mut Vec<Self::Row>) {
        let last = &touches[touches.len().saturating_sub(self.n)..];
        if let Some((time, _, _)) = last.last() {
            let items = last.iter().map(|(_, _, item)| item.clone()).collect();
            rows.push(Session { session: owner.clone(), time: *time, items });
        }
    }

    /// Of whom nothing is left is not kept.
    fn expires(&self, _: &U, touches: &Self::State) -> Option<Millis> {
        touches.is_empty().then_some(BEGINNING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill::Seq;
    use tidemill::harness::Harness;

    #[test]
    fn the_last_touches_that_hold_are_a_row_and_whoever_has_none_is_not_kept() {
        let owner = |change: &Update<Touch<u8, char>>| change.row.owner;
        let mut harness = Harness::maintain(2, owner, || LastItems::new(2));
        let mut watermark = 0;
        let touch = |time, item, diff| {
            let row = Touch { owner: 1, time, seq: Seq::new(0, time as u64), item };
            (time, Update { row, diff })
        };
        let mut rows = |changes: &[(i64, char, isize)]| {
            for (time, item, diff) in changes {
                let (time, change) = touch(*time, *item, *diff);
                harness.push(time, change);
            }
            watermark += 1;
            harness.watermark(watermark);
            let mut said: Vec<_> =
                harness.changes().into_iter().map(|(_, row, diff)| (diff, row.time, row.items)).collect();
            said.sort();
            (said, harness.is_empty())
        };
        assert_eq!(rows(&[(1, 'a', 1), (3, 'c', 1)]), (vec![(1, 3, vec!['a', 'c'])], false));
        // One that comes late, and one that goes.
        assert_eq!(rows(&[(2, 'b', 1)]), (vec![(-1, 3, vec!['a', 'c']), (1, 3, vec!['b', 'c'])], false));
        assert_eq!(rows(&[(3, 'c', -1)]), (vec![(-1, 3, vec!['b', 'c']), (1, 2, vec!['a', 'b'])], false));
        assert_eq!(rows(&[(1, 'a', -1), (2, 'b', -1)]), (vec![(-1, 2, vec!['a', 'b'])], true));
    }
}
