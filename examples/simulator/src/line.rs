//! Lines to be filled in.

use tidemill::Millis;
use tidemill_shop::{Kind, Line};

/// A line of which only kind and time are said; it gets its id when it is sent.
pub(crate) fn line(kind: Kind, time: Millis) -> Line {
    let (user, item, order, category, number) = (None, None, None, None, None);
    Line { id: 0, time, kind, user, item, order, category, number, amount: None, currency: None }
}

/// The same of a user and an item.
pub(crate) fn touch(kind: Kind, time: Millis, user: u64, item: u64) -> Line {
    Line { user: Some(user), item: Some(item), ..line(kind, time) }
}
