//! What items are of which category: known before the stream, since what is counted by category must not change under
//! it.

use bundles::input::Names;
use rustc_hash::FxHashMap;
use shop_simulator::{Settings, Truth};
use tidemill_shop::{Kind, Line};

/// The category of items of which none is known: no shop's own.
pub const NONE: u64 = u64::MAX;

/// The categories of items.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    categories: FxHashMap<u64, u64>,
}

impl Catalogue {
    /// Of what lines list; where they list nothing, of items' codes if they have some.
    pub fn of(lines: &[Line], names: &Names) -> Self {
        let listed = Self::listed(lines);
        if listed.categories.is_empty() && names.have_codes() { Self::by_code(lines, names) } else { listed }
    }

    /// Of the lines that list items. An item that is listed twice is of the category it was listed in first.
    pub fn listed(lines: &[Line]) -> Self {
        let mut categories = FxHashMap::default();
        for line in lines.iter().filter(|line| line.kind == Kind::Listed) {
            if let (Some(item), Some(category)) = (line.item, line.category) {
                categories.entry(item).or_insert(category);
            }
        }
        Catalogue { categories }
    }

    /// Of items that have codes: a category is those whose codes begin with the same two digits, for stock codes that
    /// are alike are of things that are.
    pub fn by_code(lines: &[Line], names: &Names) -> Self {
        let category = |item| names.show(item).get(..2).and_then(|digits| digits.parse().ok());
        let items = lines.iter().filter_map(|line| line.item);
        Catalogue { categories: items.filter_map(|item| Some((item, category(item)?))).collect() }
    }

    /// Of a simulated shop.
    pub fn simulated(settings: &Settings) -> Self {
        let truth = Truth::new(settings.clone());
        Catalogue { categories: (1..=truth.settings().items).map(|item| (item, truth.category(item))).collect() }
    }

    /// An item's category; [`NONE`] where nothing is known of it.
    pub fn category(&self, item: u64) -> u64 {
        self.categories.get(&item).copied().unwrap_or(NONE)
    }
}

/// A category for reading.
pub fn show(category: u64) -> String {
    if category == NONE { "-".to_owned() } else { category.to_string() }
}
