//! What an event's item is one of.

use rustc_hash::FxHashMap;
use tidemill::{Collection, Result, Stream};
use tidemill_events::{AsOf, Asked, Index};

use crate::event::{NO_CATEGORY, ShopEvent};
use crate::items::ItemFact;

/// Streams of what shoppers do.
pub trait Categorised<'s> {
    /// Gives each event the category that its item has at the end of the epoch in which the event comes: it keeps it for ever,
    /// and when it no longer holds it goes with it. So what was counted by category does not change when an item moves to
    /// another, and what comes after that counts there. [`NO_CATEGORY`] where the item was not listed by then.
    ///
    /// State: on each worker the category of each item. It needs no checkpoint: a collection says its rows again after a restart.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`](tidemill::Error::Graph) if the name is taken.
    fn categorised(self, name: &str, facts: Collection<'s, ItemFact>) -> Result<Stream<'s, ShopEvent>>;
}

impl<'s> Categorised<'s> for Stream<'s, ShopEvent> {
    fn categorised(self, name: &str, facts: Collection<'s, ItemFact>) -> Result<Stream<'s, ShopEvent>> {
        let categories = facts.map(|fact| (fact.item, fact.category));
        let with = |event, category| ShopEvent { category, ..event };
        self.ask_map(name, categories, AsOf::Now, Categories::default(), with)
    }
}

/// The categories of items.
#[derive(Default)]
struct Categories(FxHashMap<u64, u64>);

impl Index for Categories {
    type Row = (u64, u64);
    type Question = ShopEvent;
    type Answer = u64;

    fn change(&mut self, (item, category): (u64, u64), diff: isize) {
        if diff > 0 { _ = self.0.insert(item, category) } else { _ = self.0.remove(&item) }
    }

    fn answer(&mut self, event: &ShopEvent) -> u64 {
        event.action.item().and_then(|item| self.0.get(&item).copied()).unwrap_or(NO_CATEGORY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, Facts, ItemChange, ItemEvent};
    use tidemill::{Config, Events, Memory, Millis, Timing, execute};

    #[test]
    fn an_event_has_the_category_of_its_epoch() {
        // Seen, or listed in a category.
        let events: Vec<(Millis, Option<u64>)> = vec![(1, None), (2, Some(7)), (3, None), (4, Some(8)), (5, None)];
        for workers in [1, 2, 4] {
            let (out, input) = (Memory::new(), events.clone());
            let to_out = out.clone();
            execute(Config { epoch_records: 1, ..Config::workers(workers) }, move |job| {
                let timing = Timing::by(|event: &(Millis, Option<u64>)| event.0);
                let said = job.source("said", Events::new(input.clone()), timing)?;
                let (seen, listed) = said.split_map(|(user, listed)| match listed {
                    Some(category) => (None, Some(ItemEvent { item: 1, change: ItemChange::Listed { category } })),
                    None => (Some(ShopEvent::new(user as u64, Action::View { item: 1 })), None),
                });
                seen.categorised("categories", listed.facts("items")?)?.sink("out", to_out.clone())
            })
            .unwrap();
            let categories: Vec<(u64, u64)> = out.values().iter().map(|event| (event.user, event.category)).collect();
            assert_eq!(categories, [(1, NO_CATEGORY), (3, 7), (5, 8)]);
        }
    }
}
