//! Lists as others read them.

use recommend::live::SOURCES;
use serde::{Deserialize, Serialize};
use tidemill::Millis;
use tidemill_recommend::Ranked;

/// What a user should be shown, best first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct List {
    /// Who.
    pub user: u64,
    /// The time of the user's event that it answers, in ms since 1970 UTC.
    pub as_of: Millis,
    /// What.
    pub items: Vec<Suggestion>,
}

/// An item, and why it is there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Suggestion {
    /// Which.
    pub item: u64,
    /// One of [`SOURCES`], as "bought with".
    pub reason: String,
    /// The item of the user's that the reason is about, where it is about one.
    pub because: Option<u64>,
}

impl From<Ranked<u64, u64>> for List {
    fn from(Ranked { user, as_of, entries }: Ranked<u64, u64>) -> Self {
        let reason = |source: u8| SOURCES.get(usize::from(source)).copied().unwrap_or("suggested").to_owned();
        let items = entries.into_iter();
        let items = items.map(|of| Suggestion { item: of.item, reason: reason(of.source), because: of.because });
        List { user, as_of, items: items.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill_recommend::Entry;

    #[test]
    fn a_list_says_why_an_item_is_on_it() {
        let entries = [(7, 2, Some(9)), (8, 4, None), (6, 99, None)];
        let entries = entries.map(|(item, source, because)| Entry { item, source, because }).to_vec();
        let list = serde_json::to_string(&List::from(Ranked { user: 1, as_of: 5, entries })).unwrap();
        assert_eq!(
            list,
            r#"{"user":1,"as_of":5,"items":[{"item":7,"reason":"bought with","because":9},"#.to_owned()
                + r#"{"item":8,"reason":"trending","because":null},{"item":6,"reason":"suggested","because":null}]}"#
        );
    }
}
