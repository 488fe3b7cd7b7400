//! The queries, each a few lines on the engine's operators.

use crate::checksum::{Answer, Sum};
use crate::event::{Event, EventType};
use tidemill::time::{hours, minutes, seconds};
use tidemill::{Collection, Config, Report, Result, Source, Stream, Timing};
use tidemill_feature::{DAY, Role, Sliding, SlidingWindows, Span, Summary, Ties, Windows};
use tidemill_rank::{Counted, Ranks};
use tidemill_window::{Count, IntoWindows, Sum as SumOf, Window, Windows as InTime};

/// One of the reference queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query {
    /// Carts and purchases of 20.00 or more.
    Q1,
    /// Events and amount per item and minute.
    Q2,
    /// Events and amount of a user's last day and week, per event.
    Q3,
    /// The ten items with the most events of each category.
    Q4,
    /// Events and amount per item and day, every hour.
    Hopping,
    /// Nothing: events are read and counted.
    Read,
}

/// Carts and purchases of 20.00 or more.
pub fn q1(events: Stream<'_, Event>) -> Stream<'_, Event> {
    events.filter(|e| e.event_type != EventType::View && e.amount >= 2_000)
}

/// How many events an item had in each minute, and for how many cents.
pub fn q2(events: Stream<'_, Event>) -> Result<Stream<'_, Window<u32, (u64, i64)>>> {
    turnover(events, "minutes", InTime::tumbling(minutes(1)))
}

/// The same of the last day, every hour.
pub fn hopping(events: Stream<'_, Event>) -> Result<Stream<'_, Window<u32, (u64, i64)>>> {
    turnover(events, "days", InTime::hopping(hours(24), hours(1)))
}

fn turnover<'s>(events: Stream<'s, Event>, name: &str, windows: InTime) -> Result<Stream<'s, Window<u32, (u64, i64)>>> {
    let turnover = (Count::new(), SumOf::of(|e: &Event| e.amount));
    let (windows, _late) = events.key_by(|e| e.item_id).window(windows, turnover).finals(name)?;
    Ok(windows)
}

/// What each event's user did in the day and in the week up to it, both ends included: how many
/// events, and for how many cents.
pub fn q3(events: Stream<'_, Event>) -> Result<Stream<'_, (Event, [Summary<1>; 2])>> {
    const WINDOWS: Windows<2> = Windows::new([Span::last(DAY + 1), Span::last(7 * DAY + 1)]).ties(Ties::All);
    let activity = Sliding::new(WINDOWS, |e: &Event| Role::Both([e.amount]));
    let (answers, _late) = events.key_by(|e| e.user_id).finals("activity", activity)?;
    Ok(answers)
}

/// The ten items of each category with the most events, as rows that every event may change.
pub fn q4(events: Stream<'_, Event>) -> Result<Collection<'_, Counted<u32, u32>>> {
    events.key_by(|e| e.category_id).top_counts("top items", 10, |e| e.item_id)
}

fn window(Window { start, key, value: (count, cents), .. }: Window<u32, (u64, i64)>) -> [u64; 4] {
    [start as u64, key.into(), count, cents as u64]
}

/// Runs a query over `source`, whose events are at most a minute out of order.
pub fn answer<S>(query: Query, source: S, config: Config) -> Result<(Answer, Report)>
where
    S: Source<Item = Event> + Clone + Send + Sync,
{
    let answer = Answer::default();
    let sum = answer.clone();
    let report = tidemill::execute(config, move |job| {
        let timing = Timing::by(|e: &Event| e.ts).disorder(seconds(60));
        let events = job.source("events", source.clone(), timing)?;
        let sum = Sum::new(&sum);
        match query {
            Query::Q1 => {
                sum.rows(q1(events), |e| [e.event_id, e.ts as u64, e.user_id.into(), e.item_id.into(), e.amount as u64])
            }
            Query::Q2 => sum.rows(q2(events)?, window),
            Query::Hopping => sum.rows(hopping(events)?, window),
            Query::Read => sum.rows(events.filter(|_| false), |_| []),
            Query::Q3 => sum.rows(q3(events)?, |(e, [day, week])| {
                let ([day_sum], [week_sum]) = (day.sums, week.sums);
                [e.event_id, e.user_id.into(), day.count, day_sum as u64, week.count, week_sum as u64]
            }),
            Query::Q4 => sum.changes(q4(events)?, |top| [top.key.into(), top.item.into(), top.count]),
        }
        Ok(())
    })?;
    Ok((answer, report))
}
