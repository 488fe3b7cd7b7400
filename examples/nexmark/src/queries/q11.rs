//! q11, user sessions: how many bids did each user make in each session?

use crate::event::{Event, Kinds};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tidemill::time::seconds;
use tidemill::{Millis, Result, Stream};
use tidemill_window::{Count, IntoWindows, Windows};

/// A user's bids in a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Session {
    /// The user.
    pub bidder: u64,
    /// How many bids.
    pub bids: u64,
    /// When the first was made, in milliseconds since 1970 UTC.
    pub start: Millis,
    /// 10 seconds after the last.
    pub end: Millis,
}

/// Sessions end with 10 seconds without a bid of the user: bids of one session are less than 10 seconds apart. (In
/// Flink, a bid exactly 10 seconds after the last one still belongs to the session.)
pub fn query(events: Stream<'_, Event>) -> Result<Stream<'_, Session>> {
    let bidders = events.bids().map(|bid| bid.bidder).key_by(|bidder| *bidder);
    let (sessions, _late) = bidders.window(Windows::session(seconds(10)), Count::new()).finals("sessions")?;
    Ok(sessions.map(|s| Session { bidder: s.key, bids: s.value, start: s.start, end: s.end }))
}

/// The same by plain loops.
pub fn brute_force(events: &[Event]) -> Vec<Session> {
    let mut times: BTreeMap<u64, Vec<Millis>> = BTreeMap::new();
    for bid in events.iter().filter_map(Event::bid) {
        times.entry(bid.bidder).or_default().push(bid.time);
    }
    let mut rows = vec![];
    for (bidder, mut times) in times {
        times.sort();
        let mut session = Session { bidder, bids: 0, start: times[0], end: times[0] + 10_000 };
        for time in times {
            if time >= session.end {
                rows.push(session.clone());
                session = Session { bidder, bids: 0, start: time, end: time };
            }
            session.bids += 1;
            session.end = time + 10_000;
        }
        rows.push(session);
    }
    rows
}
