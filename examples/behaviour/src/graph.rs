//! The graph: from a shop's lines to what its users do.
//!
//! ```text
//! lines ── cleaning ─┬─ users' events ── categories ── ledger ── what holds ─┬─ funnel by category and hour
//!            │       │                      │                                ├─ sessions ── sums by day
//!            │       └─ items' events ── facts                               ├─ trends by category, and of all
//!            └─ dropped ── counts by reason                                  ├─ interests of each user
//!                                                                            └─ habits ── segments ── their sizes
//! ```

use crate::sessions::{Session, SessionSum, sessions, sums};
use tidemill::time::{days, hours, minutes};
use tidemill::{Collection, Millis, Result, Stream, Update};
use tidemill_shop::{
    Behaviour, Categorised, Clean, Cleaning, CountReasons, Facts, Funnel, Held, Interest, ItemFact, Ledger, Ledgers,
    Line, Reason, Rfm, Rules, Segment, Segments, Thresholds, Trend, Trending, segment_sizes,
};

/// A user who does nothing for so long has left.
pub const GAP: Millis = minutes(30);

/// Trending items that are kept of each category, and of all.
pub const TRENDS: usize = 20;

/// Categories that are kept of each user.
pub const INTERESTS: usize = 3;

/// What users do, from the events that hold.
pub struct Doings<'s> {
    /// Views, carts and purchases by category and hour.
    pub funnel: Collection<'s, Funnel>,
    /// Sessions.
    pub sessions: Collection<'s, Session>,
    /// What they amount to, by day.
    pub session_sums: Collection<'s, SessionSum>,
    /// Trending items of each category, and of all: `None`.
    pub trends: Collection<'s, Trend<Option<u64>>>,
    /// The categories that interest users.
    pub interests: Collection<'s, Interest>,
    /// How recently, how often and for how much users have bought.
    pub rfm: Collection<'s, Rfm>,
    /// What kind of customer each user is.
    pub segments: Collection<'s, (u64, Segment)>,
    /// How many users are in each segment.
    pub segment_sizes: Collection<'s, (Segment, isize)>,
}

/// Counts what users do.
///
/// # Errors
///
/// [`Error::Graph`](tidemill::Error::Graph) if one of the names is taken.
pub fn doings<'s>(held: Stream<'s, Update<Held>>, half_life: Millis) -> Result<Doings<'s>> {
    let groups = |category| [None, Some(category)];
    let sessions = sessions(held.clone(), "sessions", GAP)?;
    let rfm = held.clone().rfm("habits")?;
    let segments = rfm.clone().segments("segments", Thresholds::default())?;
    Ok(Doings {
        funnel: held.clone().funnel("funnel", hours(1))?,
        session_sums: sums(sessions.clone(), "sums of sessions", days(1))?,
        sessions,
        trends: held.clone().trending("trends", TRENDS, half_life, groups)?,
        interests: held.interests("interests", INTERESTS)?,
        rfm,
        segment_sizes: segment_sizes(segments.clone()),
        segments,
    })
}

/// What the graph is made with.
#[derive(Clone, Debug)]
pub struct Options {
    /// What lines may say.
    pub rules: Rules,
    /// Events that are so many ms old hold no longer.
    pub keep: Millis,
    /// An event counts half for trends after so many ms.
    pub half_life: Millis,
}

/// What the graph keeps.
pub struct Answers<'s> {
    /// What users do.
    pub doings: Doings<'s>,
    /// What is known of items.
    pub facts: Collection<'s, ItemFact>,
    /// How many lines were dropped, and why.
    pub dropped: Collection<'s, (Reason, u64)>,
}

/// Builds the graph.
///
/// # Errors
///
/// [`Error::Graph`](tidemill::Error::Graph) if one of the names is taken.
pub fn answers<'s>(lines: Stream<'s, Line>, options: &Options) -> Result<Answers<'s>> {
    let (clean, dropped) = lines.clean("cleaning", options.rules.clone())?;
    let (events, items) = clean.split_map(|clean| match clean {
        Clean::Shopper(event) => (Some(event), None),
        Clean::Item(event) => (None, Some(event)),
    });
    let facts = items.facts("items")?;
    let events = events.categorised("categories", facts.clone())?;
    let Ledger { held, late, .. } = events.key_by(|event| event.user).ledger("what holds", options.keep)?;
    let reasons = dropped.map(|line| line.reason).union(late.map(|_| Reason::TooLate));
    let doings = doings(held, options.half_life)?;
    Ok(Answers { doings, facts, dropped: reasons.count_reasons("dropped")? })
}
