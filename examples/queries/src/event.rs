//! The events of a shop, and two ways to read them.

use serde::{Deserialize, Serialize};
use tidemill::{Millis, Reject};
use tidemill_files::{Csv, Files, Line, Lines, ParseLine};

/// A line of the input: what a user did with an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Counts up from 0.
    pub event_id: u64,
    /// When it happened, in milliseconds since 1970 UTC.
    pub ts: Millis,
    /// Who did it.
    pub user_id: u32,
    /// To which item.
    pub item_id: u32,
    /// The item's category.
    pub category_id: u32,
    /// What it was.
    pub event_type: EventType,
    /// The price times the quantity, in cents.
    pub amount: i64,
}

/// What a user did with an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventType {
    /// Looked at it.
    View,
    /// Put it into the cart.
    Cart,
    /// Bought it.
    Purchase,
}

impl EventType {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            EventType::View => "view",
            EventType::Cart => "cart",
            EventType::Purchase => "purchase",
        }
    }
}

/// Reads events by a parser written by hand: the fast way.
pub fn lines(files: impl Into<Files>) -> Lines<impl ParseLine<Item = Event> + Send + Sync> {
    Lines::new(files, |line: &mut Line<'_>| -> Result<Event, Reject> {
        Ok(Event {
            event_id: line.number()?,
            ts: line.number()?,
            user_id: line.number()?,
            item_id: line.number()?,
            category_id: line.number()?,
            event_type: match line.bytes()? {
                b"view" => EventType::View,
                b"cart" => EventType::Cart,
                b"purchase" => EventType::Purchase,
                _ => return Err(line.reject("it is neither view nor cart nor purchase")),
            },
            amount: line.number()?,
        })
    })
}

/// Reads events by serde: the easy way.
pub fn csv(files: impl Into<Files>) -> Csv<Event> {
    Csv::new(files).headers(false)
}
