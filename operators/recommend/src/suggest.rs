//! What several sources suggest to a user, on its way through them.

use serde::{Deserialize, Serialize};
use tidemill::{Key, Millis};

use crate::ranker::Candidates;

/// An item that a source suggests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Suggestion<I> {
    /// Which.
    pub item: I,
    /// How strongly, above 0; only scores of one source are compared.
    pub score: f64,
    /// For which item of the user's, where the source knows.
    pub because: Option<I>,
}

/// What is asked for a user, and what the sources have said so far.
///
/// It goes as a row to a model (`tidemill-inference`'s `infer`) and as a question to the other sources (`tidemill-events`'
/// `ask_several`), and each adds its list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound = "U: Key, I: Key")]
pub struct Suggestions<U, I> {
    /// For whom.
    pub user: U,
    /// The time of the user's event that it is asked after, in ms since 1970 UTC.
    pub as_of: Millis,
    /// The user's items so far, the latest last.
    pub history: Vec<I>,
    /// How many wishes to be forgotten there had been by the end of the epoch in which it is asked
    /// ([`Wishes`](crate::Wishes)): weights that were learnt before the last of them do not rank what is suggested.
    pub wishes: u64,
    /// How many before that epoch: what is suggested in the epoch of a wish teaches nothing, for the question may be
    /// there only because something was forgotten.
    pub wishes_before: u64,
    /// What each source says, best first.
    pub lists: Vec<Vec<Suggestion<I>>>,
}

impl<U, I> Suggestions<U, I> {
    /// The question, before anybody was asked.
    pub fn new(user: U, as_of: Millis, history: Vec<I>) -> Self {
        Suggestions { user, as_of, history, wishes: 0, wishes_before: 0, lists: Vec::new() }
    }

    /// With another source's list.
    pub fn with(mut self, list: Vec<Suggestion<I>>) -> Self {
        self.lists.push(list);
        self
    }
}

impl<U, I: Key> Suggestions<U, I> {
    /// What is suggested, as a ranker weighs it.
    pub fn candidates(&self) -> Candidates<I> {
        let scored = |list: &Vec<Suggestion<I>>| list.iter().map(|of| (of.item.clone(), of.score)).collect();
        Candidates::of(&self.lists.iter().map(scored).collect::<Vec<_>>())
    }
}

/// An item of a user's list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Entry<I> {
    /// Which.
    pub item: I,
    /// The source whose word weighs most for it, by its place among them.
    pub source: u8,
    /// For which item of the user's that source suggests it, where it knows.
    pub because: Option<I>,
}

/// What a user may be shown, best first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ranked<U, I> {
    /// Who.
    pub user: U,
    /// The time of the user's event after which it was suggested, in ms since 1970 UTC.
    pub as_of: Millis,
    /// What, each item once.
    pub entries: Vec<Entry<I>>,
}
