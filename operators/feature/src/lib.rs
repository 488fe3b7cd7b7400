//! Exact sliding windows over keyed streams.
//!
//! A **fact** is something that happened to a key at a time: values that count. A **question** asks, at a time `t`, for
//! the key's recent past: for each window of width `w` and delay `d` the count, the sums and whatever else was chosen,
//! over the facts in `(t-d-w, t-d]`. A payment is usually both, a label is a fact that becomes known later. All windows
//! are answered in one pass from one copy of the facts, in integers, exactly as if every fact had been filtered by the
//! definition.
//!
//! # The operators
//!
//! A training set needs *final* answers: each question's once, as a stream, when the watermark has passed it.
//!
//! ```
//! use tidemill::{Config, Events, Memory, Millis, Timing};
//! use tidemill_feature::{DAY, Role, Sliding, SlidingWindows, Span, Windows};
//!
//! // A customer's payments and cents over one and seven days, the current payment included.
//! const WINDOWS: Windows<2> = Windows::new([Span::last(DAY), Span::last(7 * DAY)]);
//! type Payment = (Millis, u32, i64); // time, customer, cents
//!
//! # let (answers, to_sink) = { let memory = Memory::new(); (memory.clone(), memory) };
//! # let payments = Events::<Payment>::new(vec![(0, 7, 1_000), (DAY as i64, 7, 250)]);
//! tidemill::execute(Config::default(), move |job| {
//!     let payments = job.source("payments", payments.clone(), Timing::by(|p: &Payment| p.0))?;
//!     let velocity = Sliding::new(WINDOWS, |p: &Payment| Role::Both([p.2]));
//!     let (features, _late) = payments.key_by(|p| p.1).finals("velocity", velocity)?;
//!     features.sink("features", to_sink.clone()) // (payment, [one day, seven days])
//! })?;
//! # let answers = answers.values();
//! let (_payment, [one, seven]) = answers[1];
//!
//! // The payment exactly one day ago has just left: a window is open on the left.
//! assert_eq!((one.count, one.sums), (1, [250]));
//! assert_eq!((seven.count, seven.sums), (2, [1_250]));
//! assert_eq!(seven.mean(0), Some(625.0));
//! # Ok::<(), tidemill::Error>(())
//! ```
//!
//! A payment cannot wait for a watermark: it is answered *at once*, in its own epoch, as a row of a collection. A fact
//! that comes late corrects the rows it touches, and no others, for as long as [`Windows::lateness`] says.
//!
//! ```
//! # use tidemill::{Config, Events, Memory, Millis, Timing};
//! # use tidemill_feature::{HOUR, MINUTE, Role, Sliding, SlidingWindows, Span, Windows};
//! # type Payment = (Millis, u32, i64);
//! const LENIENT: Windows<1> = Windows::new([Span::last(HOUR)]).lateness(10 * MINUTE);
//!
//! # let (rows, to_sink) = { let memory = Memory::new(); (memory.clone(), memory) };
//! // The last one comes five minutes late.
//! let payments = Events::<Payment>::new(vec![(0, 7, 100), (600_000, 7, 40), (300_000, 7, 2)]);
//! tidemill::execute(Config { epoch_records: 1, ..Config::default() }, move |job| {
//!     let payments = job.source("payments", payments.clone(), Timing::by(|p: &Payment| p.0))?;
//!     let velocity = Sliding::new(LENIENT, |p: &Payment| Role::Both([p.2]));
//!     let (rows, _late) = payments.key_by(|p| p.1).at_once("velocity", velocity)?;
//!     rows.sink("rows", to_sink.clone()) // +1 and -1 of (payment, [the hour])
//! })?;
//! # let changes = rows.take().into_iter();
//! let changes: Vec<_> = changes.map(|(epoch, u)| (epoch, u.row.0.2, u.row.1[0].sums[0], u.diff)).collect();
//! assert_eq!(changes, [(1, 100, 100, 1), (2, 40, 140, 1), (3, 40, 140, -1), (3, 2, 102, 1), (3, 40, 142, 1)]);
//! # Ok::<(), tidemill::Error>(())
//! ```
//!
//! - [`SlidingWindows`] has both operators on a keyed stream, [`AskAtOnce`] the second one with the rows of a collection
//!   as the questions, [`SlidingWindowsOfUpdates`] the second one where events can be taken back.
//! - [`Sliding`] says what an event means to the windows: a [`Role`], and what they keep besides count and sums.
//! - [`Windows`] says which windows, how facts of the same time are treated ([`Ties`]) and how late a correction may come.
//! - [`Aggregate`] is what the windows keep besides count and sums: nothing (`()`), [`Min`], [`Max`], [`Distinct`], a pair
//!   or triple of them, or your own.
//!
//! # One key at a time
//!
//! Underneath are two structures that know nothing of streams; use them in an operator of your own, or outside any.
//!
//! - [`History`] is the state of a key for final answers: each question is answered once.
//! - [`AtOnce`] is the state of a key for answers at once: late facts correct the answers already given, and no others.
//!
//! ```
//! use tidemill_feature::{History, Span, Windows};
//!
//! const WINDOWS: Windows<1> = Windows::new([Span::last(1_000)]);
//! let mut card = History::<1, 1>::default();
//! card.push(&WINDOWS, (100, 1), [20])?;
//! let [last] = card.push(&WINDOWS, (600, 2), [30])?;
//! assert_eq!((last.count, last.sums), (2, [50]));
//! # Ok::<(), tidemill_feature::Refused>(())
//! ```
//!
//! Times are `i64` and durations `u64`, in milliseconds; the structures take any unit that is the same everywhere.

mod aggregate;
mod array;
mod ask;
mod at_once;
mod corrected;
mod finals;
mod history;
mod pieces;
mod range;
mod sliding;
mod summary;
mod windows;

pub use aggregate::{Aggregate, Distinct, Max, Min};
pub use ask::{AskAtOnce, Counts};
pub use at_once::AtOnce;
pub use history::{History, Refused};
pub use sliding::{Role, Sliding, SlidingWindows, SlidingWindowsOfUpdates};
pub use summary::{Answer, Summary};
pub use windows::{At, DAY, HOUR, MINUTE, SECOND, Span, Ties, Windows};
