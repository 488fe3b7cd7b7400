//! q15, bidding statistics: each day's bids, bidders and auctions, by rank of price.

use crate::event::{Bid, Event, Kinds};
use crate::queries::statistics::{self, Statistics, statistics};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tidemill::time::days;
use tidemill::{Collection, Millis, Result, Stream};
use tidemill_window::{IntoWindows, Windows};

/// The figures of a day.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Day {
    /// When it began (UTC), in milliseconds since 1970.
    pub day: Millis,
    /// The figures.
    pub figures: Statistics,
}

/// One row per day, which every bid corrects.
pub fn query(events: Stream<'_, Event>) -> Result<Collection<'_, Day>> {
    let days = events.bids().window(Windows::tumbling(days(1)), statistics()).early_every_events(1);
    let (days, _late) = days.rows("days", Millis::MAX)?;
    Ok(days.map(|day| Day { day: day.start, figures: day.value.into() }))
}

/// The same by plain loops.
pub fn brute_force(events: &[Event]) -> Vec<Day> {
    let mut days: BTreeMap<Millis, Vec<&Bid>> = BTreeMap::new();
    for bid in events.iter().filter_map(Event::bid) {
        days.entry(bid.time - bid.time % 86_400_000).or_default().push(bid);
    }
    days.into_iter().map(|(day, bids)| Day { day, figures: statistics::brute_force(&bids) }).collect()
}
