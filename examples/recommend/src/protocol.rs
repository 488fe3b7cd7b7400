//! What is asked of which model, and when.

use serde::{Deserialize, Serialize};
use tidemill::{Millis, Seq};
use tidemill_recommend::Touch;

/// An owner's event with an item: a session's or user's, or a line of a basket.
pub type Event = Touch<u32, u32>;

/// What happens at once: questions, answered from what was known before, and then events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// When, in ms since 1970 UTC, or in steps where the data has an order only.
    pub time: Millis,
    /// What is asked.
    pub questions: Vec<Question>,
    /// What happens then.
    pub events: Vec<Event>,
}

/// What comes next?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Whose history it is.
    pub owner: u32,
    /// The owner's items so far, the latest last; of a basket, the others in it.
    pub history: Vec<u32>,
    /// What came next.
    pub target: u32,
    /// The items the target is ranked among; all, if there are none.
    pub among: Vec<u32>,
    /// Whether it is there to learn from how lists are to be blended, and does not count.
    pub teaches: bool,
}

/// A data set with the way it is asked about.
pub struct Protocol {
    /// Which data: `beauty`, …
    pub data: &'static str,
    /// How: `leave-one-out-full`, …
    pub name: &'static str,
    /// In order of time.
    pub steps: Vec<Step>,
    /// Whether each step is learnt from before the next one asks. Otherwise all questions come after all events.
    pub test_then_learn: bool,
    /// What owners are.
    pub owners: Owners,
    /// Whether an item of the history may come again. If not, only others are ranked.
    pub repeats: bool,
}

/// What owners are, which says what their items say about each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// Users or sessions: items follow each other.
    Sessions,
    /// Baskets: items go together.
    Baskets,
}

/// Steps that come in one epoch, where nothing is learnt between questions.
pub const STEPS_AT_ONCE: usize = 1_000;

/// Makes events, in order.
#[derive(Default)]
pub struct Events {
    number: u64,
}

impl Events {
    /// The next one.
    pub fn next(&mut self, owner: u32, time: Millis, item: u32) -> Event {
        self.number += 1;
        Touch { owner, time, seq: Seq::new(0, self.number), item }
    }
}
