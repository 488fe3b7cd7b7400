//! What to show next.

#![deny(missing_docs)]

mod ask;
mod items;
mod links;
mod nearest;
mod ranker;
mod scores;
mod session;
mod touch;

pub use ask::{AsOf, Asked, Index};
pub use items::{ItemIndex, ItemRow, WithItems};
pub use links::{Link, Linked, WEIGHT};
pub use nearest::{Nearest, Session, SessionIndex};
pub use ranker::{Candidates, Ranker};
pub use scores::Scores;
pub use session::LastItems;
pub use touch::Touch;
