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
