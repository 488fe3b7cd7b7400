//! What happens in a shop.

use serde::{Deserialize, Serialize};

/// Something that a user did, or asked for. When is the event's time in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ShopEvent {
    /// Who.
    pub user: u64,
    /// What.
    pub action: Action,
    /// What the item was one of when the event came; [`NO_CATEGORY`] if nobody had said, and until
    /// [`Categorised`](crate::Categorised) has looked.
    pub category: u64,
}

/// The category of items of which none is known: no shop's own.
pub const NO_CATEGORY: u64 = u64::MAX;

impl ShopEvent {
    /// One whose item's category nobody has looked for.
    pub fn new(user: u64, action: Action) -> Self {
        ShopEvent { user, action, category: NO_CATEGORY }
    }
}

/// What a user did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Action {
    /// Looked at an item.
    View {
        /// Which.
        item: u64,
    },
    /// Put an item into the cart.
    Cart {
        /// Which.
        item: u64,
    },
    /// Bought an item: a line of an order.
    Purchase {
        /// The order.
        order: u64,
        /// Which item.
        item: u64,
        /// How many, above 0.
        quantity: u32,
        /// The price of one, in cents.
        cents: i64,
    },
    /// Cancelled a purchase, or a part of it: the latest ones before that are of the item and of the order, if it is said.
    Cancellation {
        /// The order; `None` if nobody says.
        order: Option<u64>,
        /// Which item.
        item: u64,
        /// How many, above 0.
        quantity: u32,
    },
    /// Gave an item so many stars.
    Rating {
        /// Which.
        item: u64,
        /// 1 to 5.
        stars: u8,
    },
    /// Was shown an item in a list.
    Shown {
        /// Which.
        item: u64,
        /// Its place in the list, 1 for the first.
        place: u16,
    },
    /// Does not want to be shown an item.
    NotInterested {
        /// Which.
        item: u64,
    },
    /// Does not want to be shown anything of a category.
    Block {
        /// Which.
        category: u64,
    },
    /// Did not pay for a purchase after all: the card's owner says that it was somebody else.
    Chargeback {
        /// The order.
        order: u64,
        /// Which item of it.
        item: u64,
    },
    /// Wants to be forgotten: all that was known of the user until then goes.
    Forget,
}

impl Action {
    /// The item it is about.
    pub fn item(&self) -> Option<u64> {
        match *self {
            Action::View { item }
            | Action::Cart { item }
            | Action::Purchase { item, .. }
            | Action::Cancellation { item, .. }
            | Action::Rating { item, .. }
            | Action::Shown { item, .. }
            | Action::NotInterested { item }
            | Action::Chargeback { item, .. } => Some(item),
            Action::Block { .. } | Action::Forget => None,
        }
    }
}

/// Something that changes about an item. When is the event's time in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ItemEvent {
    /// Which.
    pub item: u64,
    /// What is new.
    pub change: ItemChange,
}

/// What changes about an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ItemChange {
    /// It is sold from now on, or is of another category than before.
    Listed {
        /// What it is one of.
        category: u64,
    },
    /// So many are left; 0 means that it is out of stock.
    Stock {
        /// How many.
        left: u32,
    },
    /// It costs so much from now on.
    Price {
        /// The price of one, in cents.
        cents: i64,
    },
}
