//! q16, channel statistics: each channel's bids, bidders and auctions of each day, by rank of price.

use crate::event::{Bid, Event, Kinds};
use crate::queries::statistics::{self, Statistics, statistics};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tidemill::time::{days, minutes};
use tidemill::{Collection, Millis, Result, Stream};
use tidemill_window::{IntoWindows, Max, Windows};

/// The figures of a channel's day.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ChannelDay {
    /// The channel.
    pub channel: String,
    /// When the day began (UTC), in milliseconds since 1970.
    pub day: Millis,
    /// The day's minute of the last bid.
    pub minute: i64,
    /// The figures.
    pub figures: Statistics,
}

/// One row per channel and day, which every bid corrects.
pub fn query(events: Stream<'_, Event>) -> Result<Collection<'_, ChannelDay>> {
    let last = Max::of(|bid: &Bid| bid.time.rem_euclid(days(1)) / minutes(1));
    let channels = events.bids().key_by(|bid| bid.channel.clone());
    let channels = channels.window(Windows::tumbling(days(1)), (last, statistics())).early_every_events(1);
    let (days, _late) = channels.rows("channels by day", Millis::MAX)?;
    Ok(days.map(|day| {
        let (minute, figures) = day.value;
        ChannelDay { channel: day.key, day: day.start, minute, figures: figures.into() }
    }))
}

/// The same by plain loops.
pub fn brute_force(events: &[Event]) -> Vec<ChannelDay> {
    let mut channels: BTreeMap<(&str, Millis), Vec<&Bid>> = BTreeMap::new();
    for bid in events.iter().filter_map(Event::bid) {
        channels.entry((&bid.channel, bid.time - bid.time % 86_400_000)).or_default().push(bid);
    }
    let mut rows = vec![];
    for ((channel, day), bids) in channels {
        let last = bids.iter().map(|bid| bid.time).max().unwrap_or(day);
        let (channel, minute) = (channel.to_owned(), (last - day) / 60_000);
        rows.push(ChannelDay { channel, day, minute, figures: statistics::brute_force(&bids) });
    }
    rows
}
