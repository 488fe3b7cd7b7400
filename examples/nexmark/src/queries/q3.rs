//! q3, local item suggestion: who in Oregon, Idaho or California sells something of category 10?

use crate::event::{Event, Kinds};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tidemill::{Collection, Result, Stream};
use tidemill_rank::Ranks;

/// Something for sale nearby.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Suggestion {
    /// The seller's name.
    pub name: String,
    /// The seller's city.
    pub city: String,
    /// The seller's state.
    pub state: String,
    /// What is for sale.
    pub auction: u64,
}

fn is_near(state: &str) -> bool {
    matches!(state, "OR" | "ID" | "CA")
}

/// Both kinds of events are made tables, each by its own number, and differential dataflow joins these: a row is there
/// as soon as seller and auction are, whichever came first.
pub fn query(events: Stream<'_, Event>) -> Result<Collection<'_, Suggestion>> {
    // A stream with two readers is copied, so the many bids go first.
    let events = events.filter(|event| event.bid().is_none());
    let people = events.clone().people().filter(|person| is_near(&person.state));
    let people = people.key_by(|person| person.id).latest("people")?.map(|p| (p.id, (p.name, p.city, p.state)));
    let auctions = events.auctions().filter(|auction| auction.category == 10);
    let auctions = auctions.map(|a| (a.seller, a.id)).key_by(|auction| auction.1).latest("auctions")?;
    Ok(auctions.then(|auctions| {
        auctions.join_map(people.inner(), |_, &auction, (name, city, state)| {
            let (name, city, state) = (name.clone(), city.clone(), state.clone());
            Suggestion { name, city, state, auction }
        })
    }))
}

/// The same by plain loops.
pub fn brute_force(events: &[Event]) -> Vec<Suggestion> {
    let people: BTreeMap<u64, _> = events.iter().filter_map(Event::person).map(|person| (person.id, person)).collect();
    let mut rows = vec![];
    for auction in events.iter().filter_map(Event::auction) {
        if let (10, Some(seller)) = (auction.category, people.get(&auction.seller))
            && ["OR", "ID", "CA"].contains(&seller.state.as_str())
        {
            let (name, city, state) = (seller.name.clone(), seller.city.clone(), seller.state.clone());
            rows.push(Suggestion { name, city, state, auction: auction.id });
        }
    }
    rows
}
