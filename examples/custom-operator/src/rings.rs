//! Differential dataflow itself: rows in, rows derived from them out. Which accounts hang together by the cards they share?

use tidemill::Collection;
use tidemill::differential_dataflow::operators::Iterate;

/// Puts each account into a ring with every other that it is linked to by shared cards, over any number of steps: rows
/// `(account, ring)`, where the ring is named by its least account. `links` are rows `(account, card)`.
///
/// A card that is removed splits what it alone held together, for rows are corrected like all rows of a collection:
/// differential goes through those steps again that have changed, and no others.
///
/// State: none that would have to be kept. After a restart it is rebuilt from the links.
pub fn rings(links: Collection<'_, (u32, u32)>) -> Collection<'_, (u32, u32)> {
    links.then(|links| {
        let cards = links.clone().map(|(account, card)| (card, account));
        let alone = links.clone().map(|(account, _)| (account, account)).distinct();
        alone.clone().iterate(|scope, rings| {
            // The least ring of a card's accounts is the ring of all of them.
            let of_card = rings.join_map(links.enter(scope), |_, ring, card| (*card, *ring)).reduce(least);
            let of_account = of_card.join_map(cards.enter(scope), |_, ring, account| (*account, *ring));
            of_account.concat(alone.enter(scope)).reduce(least)
        })
    })
}

/// The least value of a key. They come in order.
fn least(_: &u32, values: &[(&u32, isize)], least: &mut Vec<(u32, isize)>) {
    least.extend(values.first().map(|(value, _)| (**value, 1)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};
    use tidemill::harness::Derived;

    #[test]
    fn a_card_that_is_removed_splits_a_ring() {
        let mut rings = Derived::new(rings);
        for link in [(1, 70), (2, 70), (2, 71), (3, 71)] {
            rings.insert(link);
        }
        rings.close_epoch();
        assert_eq!(rings.rows(), [((1, 1), 1), ((2, 1), 1), ((3, 1), 1)]);
        rings.changes();
        rings.remove((2, 71));
        rings.close_epoch();
        assert_eq!(rings.changes(), [(2, (3, 1), -1), (2, (3, 3), 1)]);
    }

    /// By the definition: go from account to account until nothing new is found.
    fn oracle(links: &BTreeSet<(u32, u32)>) -> Vec<((u32, u32), isize)> {
        let mut rings = BTreeMap::new();
        for (account, _) in links {
            let mut found = BTreeSet::from([*account]);
            loop {
                let cards: BTreeSet<u32> =
                    links.iter().filter(|link| found.contains(&link.0)).map(|link| link.1).collect();
                let all: BTreeSet<u32> =
                    links.iter().filter(|link| cards.contains(&link.1)).map(|link| link.0).collect();
                if all.len() == found.len() {
                    break;
                }
                found = all;
            }
            rings.insert(*account, found.first().copied().unwrap_or(*account));
        }
        rings.into_iter().map(|row| (row, 1)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn rings_are_what_can_be_reached_after_every_epoch(
            epochs in prop::collection::vec(prop::collection::vec((0u32..12, 0u32..10), 0..6), 1..8), cut in 0usize..8,
        ) {
            let (mut rings, mut links) = (Derived::new(rings), BTreeSet::new());
            for (number, epoch) in epochs.into_iter().enumerate() {
                for link in epoch {
                    // What is there goes, what is not comes.
                    if links.remove(&link) { rings.remove(link) } else { links.insert(link); rings.insert(link) }
                }
                rings.close_epoch();
                prop_assert_eq!(rings.rows(), oracle(&links));
                if number == cut {
                    prop_assert_eq!(rings.restore(), oracle(&links));
                }
            }
        }
    }
}
