//! q8, monitor new users: who joined and opened an auction in the same 10 seconds?

use crate::event::{Event, Kinds, Person};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use tidemill::time::seconds;
use tidemill::{Millis, Result, Stream};
use tidemill_join::Joins;
use tidemill_window::{Count, IntoWindows, Window, Windows};

const PERIOD: Millis = seconds(10);

/// A person who sells at once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NewSeller {
    /// The person.
    pub id: u64,
    /// The person's name.
    pub name: String,
    /// When the 10 seconds began, in milliseconds since 1970 UTC.
    pub start: Millis,
}

/// Sellers are reduced to one a window, so that a person with several auctions comes out once; then both are joined
/// window by window.
pub fn query(events: Stream<'_, Event>) -> Result<Stream<'_, NewSeller>> {
    // A stream with two readers is copied, so the many bids go first.
    let events = events.filter(|event| event.bid().is_none());
    let people = events.clone().people().key_by(|person| person.id);
    let sellers = events.auctions().map(|auction| auction.seller).key_by(|seller| *seller);
    let (sellers, _late) = sellers.window(Windows::tumbling(PERIOD), Count::new()).finals("sellers")?;
    let sellers = sellers.key_by(|seller| seller.key);
    let new_seller = |person: &Person, seller: &Window<u64, u64>| {
        let Person { id, name, .. } = person.clone();
        NewSeller { id, name, start: seller.start }
    };
    let (new, _late) = people.join(sellers).window(PERIOD).inner("new sellers", new_seller)?;
    Ok(new)
}

/// The same by plain loops.
pub fn brute_force(events: &[Event]) -> Vec<NewSeller> {
    let mut sellers: BTreeMap<Millis, BTreeSet<u64>> = BTreeMap::new();
    for auction in events.iter().filter_map(Event::auction) {
        sellers.entry(auction.time / 10_000 * 10_000).or_default().insert(auction.seller);
    }
    let mut rows = vec![];
    for person in events.iter().filter_map(Event::person) {
        let start = person.time / 10_000 * 10_000;
        if sellers.get(&start).is_some_and(|sellers| sellers.contains(&person.id)) {
            rows.push(NewSeller { id: person.id, name: person.name.clone(), start });
        }
    }
    rows
}
