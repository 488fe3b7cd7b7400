//! What the graph keeps, for any thread to read.

use crate::graph::{Answers, Doings, Options, answers};
use crate::sessions::SessionSum;
use shop_simulator::SimulatedShop;
use tidemill::time::minutes;
use tidemill::{Config, Events, Report, Result, Table, Timing, execute};
use tidemill_shop::{Funnel, Interest, ItemFact, Line, Reason, Rfm, Segment, Trend};

/// Where lines come from.
#[derive(Clone)]
pub enum Input {
    /// A file that was read, or what a test says.
    Lines(Events<Line>),
    /// A shop that is simulated.
    Simulated(SimulatedShop),
}

/// The rows that are true now.
#[derive(Clone)]
pub struct Screen {
    /// Views, carts and purchases by category and hour.
    pub funnel: Table<Funnel, Funnel>,
    /// What sessions amount to, by day.
    pub session_sums: Table<SessionSum, SessionSum>,
    /// Trending items of each category, and of all.
    pub trends: Table<Trend<Option<u64>>, Trend<Option<u64>>>,
    /// The categories that interest users.
    pub interests: Table<Interest, Interest>,
    /// How recently, how often and for how much users have bought, by user.
    pub rfm: Table<u64, Rfm>,
    /// What kind of customer each user is.
    pub segments: Table<u64, (u64, Segment)>,
    /// How many users are in each segment.
    pub segment_sizes: Table<Segment, (Segment, isize)>,
    /// What is known of items, by item.
    pub facts: Table<u64, ItemFact>,
    /// How many lines were dropped, by reason.
    pub dropped: Table<Reason, (Reason, u64)>,
}

impl Default for Screen {
    fn default() -> Self {
        Screen {
            funnel: Table::new(|row| *row),
            session_sums: Table::new(|row| *row),
            trends: Table::new(|row| *row),
            interests: Table::new(|row| *row),
            rfm: Table::new(|row: &Rfm| row.user),
            segments: Table::new(|row: &(u64, Segment)| row.0),
            segment_sizes: Table::new(|row: &(Segment, isize)| row.0),
            facts: Table::new(|row: &ItemFact| row.item),
            dropped: Table::new(|row: &(Reason, u64)| row.0),
        }
    }
}

/// Reads the input, and keeps the screen true meanwhile. Lines may be a minute late and count in time; later ones count
/// too.
///
/// # Errors
///
/// What stops the job.
pub fn run(input: Input, options: Options, config: Config, screen: Screen) -> Result<Report> {
    execute(config, move |job| {
        let rules = options.rules.clone();
        let timing = Timing::by(move |line: &Line| rules.event_time(line)).disorder(minutes(1));
        let lines = match &input {
            Input::Lines(lines) => job.source("lines", lines.clone(), timing)?,
            Input::Simulated(shop) => job.source("lines", shop.clone(), timing)?,
        };
        let Answers { doings, facts, dropped } = answers(lines, &options)?;
        let Doings { funnel, session_sums, trends, interests, rfm, segments, segment_sizes, .. } = doings;
        funnel.sink("funnel out", screen.funnel.clone())?;
        session_sums.sink("sessions out", screen.session_sums.clone())?;
        trends.sink("trends out", screen.trends.clone())?;
        interests.sink("interests out", screen.interests.clone())?;
        rfm.sink("habits out", screen.rfm.clone())?;
        segments.sink("segments out", screen.segments.clone())?;
        segment_sizes.sink("segment sizes out", screen.segment_sizes.clone())?;
        facts.sink("items out", screen.facts.clone())?;
        dropped.sink("dropped out", screen.dropped.clone())
    })
}
