//! What users are not to be shown.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use tidemill::time::BEGINNING;
use tidemill::{Key, Maintain, Millis, Order, Record, Update};

/// What a user is not to be shown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Hidden<U, I, C> {
    /// An item: bought, or not wanted.
    Item {
        /// Whom.
        user: U,
        /// Which.
        item: I,
    },
    /// All items of a category.
    Category {
        /// Whom.
        user: U,
        /// Which.
        category: C,
    },
}

impl<U, I, C> Hidden<U, I, C> {
    /// From whom it is hidden.
    pub fn user(&self) -> &U {
        match self {
            Hidden::Item { user, .. } | Hidden::Category { user, .. } => user,
        }
    }
}

/// Keeps what is hidden from each user, of changes of what hides it: a row is there while anything does.
pub struct Hiding<U, I, C>(PhantomData<fn(U, I, C)>);

impl<U, I, C> Hiding<U, I, C> {
    /// Hides nothing.
    pub fn new() -> Self {
        Hiding(PhantomData)
    }
}

impl<U, I, C> Default for Hiding<U, I, C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<U: Key, I: Key, C: Key> Maintain for Hiding<U, I, C> {
    type Key = U;
    type In = Update<Hidden<U, I, C>>;
    type State = BTreeMap<Hidden<U, I, C>, i64>;
    type Row = Hidden<U, I, C>;

    const ORDER: Order = Order::Any;

    fn update(&self, _: &U, hidden: &mut Self::State, changes: &mut Vec<Record<Self::In>>) {
        for change in changes.drain(..) {
            *hidden.entry(change.value.row).or_default() += change.value.diff as i64;
        }
        hidden.retain(|_, times| *times != 0);
    }

    fn rows(&self, _: &U, hidden: &Self::State, rows: &mut Vec<Self::Row>) {
        rows.extend(hidden.iter().filter(|(_, times)| **times > 0).map(|(row, _)| row.clone()));
    }

    /// Of whom nothing is left is not kept.
    fn expires(&self, _: &U, hidden: &Self::State) -> Option<Millis> {
        hidden.is_empty().then_some(BEGINNING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill::harness::Harness;

    #[test]
    fn whoever_nothing_is_hidden_from_any_more_is_not_kept() {
        let user = |change: &Update<Hidden<u8, u8, u8>>| *change.row.user();
        let mut harness = Harness::maintain(2, user, Hiding::new);
        let row = Hidden::Item { user: 1, item: 2 };
        harness.push(1, Update { row: row.clone(), diff: 1 });
        harness.watermark(2);
        assert!(!harness.is_empty());
        harness.push(2, Update { row, diff: -1 });
        harness.watermark(3);
        assert!(harness.is_empty());
    }
}
