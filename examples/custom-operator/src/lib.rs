//! Three operators of one's own, each in a file with its tests: copy the one whose shape fits.
//!
//! | | takes | gives | keeps |
//! |---|---|---|---|
//! | [`abandoned::AbandonedCarts`], a [`Process`](tidemill::Process) | events | events | state and timers per key |
//! | [`cards::CardsInUse`], a [`Maintain`](tidemill::Maintain) | events | rows that are true now | state per key |
//! | [`rings::rings`], differential dataflow | rows | rows derived from them | nothing: it is rebuilt |
//!
//! How to write one from nothing is told in [`tidemill::guide`].

pub mod abandoned;
pub mod cards;
pub mod rings;
