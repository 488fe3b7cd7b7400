//! What items are of which category: known before the stream, since what is counted by category must not change under it.

use rustc_hash::FxHashMap;
use tidemill_shop::{Kind, Line};

/// The categories of items.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    categories: FxHashMap<u64, u64>,
}

impl Catalogue {
    /// Of the lines that list items. An item that is listed twice is of the category it was listed in first.
    pub fn of(lines: impl IntoIterator<Item = Line>) -> Self {
        let mut categories = FxHashMap::default();
        for line in lines {
            if let (Kind::Listed, Some(item), Some(category)) = (line.kind, line.item, line.category) {
                categories.entry(item).or_insert(category);
            }
        }
        Catalogue { categories }
    }

    /// An item's category; 0 where it was never listed.
    pub fn category(&self, item: u64) -> u64 {
        self.categories.get(&item).copied().unwrap_or(0)
    }
}
