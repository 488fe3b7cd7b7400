//! What to show next, kept true event by event.
//!
//! All of it is made of changes of which [`Touch`]es hold, whoever decides that (`tidemill-shop` does): so what is cancelled, too old
//! or a forgotten user's goes from everything, exactly.
//!
//! - [`Linked::links`] and [`Linked::beside`]: which items follow each other, and which are in baskets together, as weights;
//!   [`WithItems`]: the heaviest of each item, as a collection, for an [`ItemIndex`] that says what comes next or completes a
//!   basket.
//! - [`WithBundles`]: the same of baskets with the number of all of them, for a [`BundleIndex`] that says what is bought together
//!   how often, and by how much more than by chance.
//! - [`LastBaskets`]: what users bought last, basket by basket, for a [`BasketIndex`] that says what the next one may have.
//! - [`LastItems`]: sessions and histories, as a collection, for a [`SessionIndex`] that says what came next in the sessions
//!   most like this one.
//! - [`ByLinks`], [`Neighbours`], [`Trends`]: sources, each of which adds its list to a user's [`Suggestions`].
//! - [`Ranker`]: blends several lists, and learns how from what is chosen. [`Lessons`], [`Learned`] and [`Ranking`]: the same in
//!   the graph, from what users do with what they are shown, until one of them is forgotten: [`Wishes`].
//! - [`lists`]: what a user is shown of that now, less what is out of stock, bought, or not wanted.
//! - [`Anew`]: whose turn it is when suggestions must be made again for all users, because one of them was forgotten.
//!
//! Indices follow their collections, and are asked by events, in the graph: `tidemill-events`' `ask`.
//!
//! What is looked at after a tent?
//!
//! ```
//! use tidemill::{Config, Events, Memory, Seq, Timing, Update, execute};
//! use tidemill_recommend::{ItemRow, Touch, WEIGHT, WithItems};
//!
//! // User, time, item.
//! let views = vec![(1, 10, "tent"), (1, 20, "mat"), (2, 30, "tent"), (2, 40, "stove"), (2, 50, "mat")];
//! let views: Vec<(u32, i64, String)> = views.into_iter().map(|(user, time, item)| (user, time, item.to_owned())).collect();
//! let rows = Memory::new();
//! let to_rows = rows.clone();
//! execute(Config::workers(2), move |job| {
//!     let views = job.source("views", Events::new(views.clone()), Timing::by(|view: &(u32, i64, String)| view.1))?;
//!     let touches = views.map(|(owner, time, item)| {
//!         Update { row: Touch { owner, time, seq: Seq::new(0, time as u64), item }, diff: 1 }
//!     });
//!     touches.key_by(|touch| touch.row.owner).followers("what follows", 5, 10)?.sink("rows", to_rows.clone())
//! })?;
//! let after_tent = |to: &str, weight| (ItemRow::Linked { from: "tent".to_owned(), to: to.to_owned(), weight }, 1);
//! let rows = rows.rows();
//! // Once right after it, and once with another in between.
//! assert!(rows.contains(&after_tent("mat", WEIGHT + WEIGHT / 2)) && rows.contains(&after_tent("stove", WEIGHT)));
//! # Ok::<(), tidemill::Error>(())
//! ```

#![deny(missing_docs)]

mod anew;
mod basket;
mod bundle;
mod hidden;
mod items;
mod learning;
mod links;
mod lists;
mod nearest;
mod next_basket;
mod ranker;
mod scores;
mod session;
mod sources;
mod standing;
mod suggest;
mod touch;
mod wishes;

pub use anew::{Anew, Round, Turn};
pub use basket::{Baskets, LastBaskets};
pub use bundle::{Bundle, BundleIndex, BundleRow, Measure, Strongest, WithBundles};
pub use hidden::{Hidden, Hiding};
pub use items::{ItemIndex, ItemRow, WithItems};
pub use learning::{Feedback, Learned, Lesson, Lessons, Ranking, Teaching, WeightsRow};
pub use links::{Link, Linked, WEIGHT};
pub use lists::{Fact, ListRules, lists};
pub use nearest::{Nearest, Session, SessionIndex};
pub use next_basket::{BasketIndex, TifuKnn};
pub use ranker::{Candidates, Ranker};
pub use scores::Scores;
pub use session::LastItems;
pub use sources::{ByLinks, Neighbours, Trends, TrendsRow};
pub use standing::{Standing, Suggested};
pub use suggest::{Entry, Ranked, Suggestion, Suggestions};
pub use touch::Touch;
pub use wishes::Wishes;
