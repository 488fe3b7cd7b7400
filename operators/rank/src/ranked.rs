//! Ranks of a collection's rows.

use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use tidemill::Collection;
use tidemill::differential_dataflow::{ExchangeData, Hashable};

/// A row and its rank within a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ranked<K, R> {
    /// The key.
    pub key: K,
    /// 1 for the first.
    pub rank: u32,
    /// What has that rank.
    pub row: R,
}

/// The `k` rows of each key with the greatest scores, with their ranks; of rows with the same score, the lesser come
/// first, and a row that is there several times has several ranks. Whatever the rows derive from, a correction there
/// corrects the ranks: a row that moves up is retracted with its old rank and added with its new one.
///
/// It is differential dataflow's `reduce`, which goes through a key's rows whenever one of them changes: put it behind
/// what has made few rows of many events.
pub fn ranked<'s, R, K, S>(
    rows: Collection<'s, R>,
    k: u32,
    key: impl Fn(&R) -> K + 'static,
    score: impl Fn(&R) -> S + 'static,
) -> Collection<'s, Ranked<K, R>>
where
    R: ExchangeData,
    K: ExchangeData + Hashable,
    S: ExchangeData,
{
    rows.then(|rows| {
        rows.map(move |row| (key(&row), (Reverse(score(&row)), row)))
            .reduce(move |_, rows, top| {
                let each = rows.iter().flat_map(|((_, row), count)| std::iter::repeat_n(row, (*count).max(0) as usize));
                top.extend((1..=k).zip(each).map(|(rank, row)| ((rank, row.clone()), 1)));
            })
            .map(|(key, (rank, row))| Ranked { key, rank, row })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Counted, Ranks};
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};
    use tidemill::harness::{Derived, Harness};
    use tidemill::{Config, Events, Memory, Timing, Update, execute};

    /// Time, key, item.
    type Event = (i64, u8, u16);

    /// The rows that changes leave, each of which must be there once.
    fn left<R: Ord + Clone + std::fmt::Debug>(
        rows: &mut BTreeMap<R, isize>,
        changes: impl IntoIterator<Item = (R, isize)>,
    ) {
        changes.into_iter().for_each(|(row, diff)| *rows.entry(row).or_default() += diff);
        rows.retain(|_, count| *count != 0);
        assert!(rows.values().all(|count| *count == 1), "{rows:?}");
    }

    fn counted(events: &[Event], n: usize) -> Vec<Counted<u8, u16>> {
        let mut counts: BTreeMap<(u8, u16), u64> = BTreeMap::new();
        events.iter().for_each(|event| *counts.entry((event.1, event.2)).or_default() += 1);
        let mut all: Vec<_> = counts.into_iter().map(|((key, item), count)| (key, Reverse(count), item)).collect();
        all.sort();
        let tops = all.chunk_by(|a, b| a.0 == b.0).flat_map(|key| key.iter().take(n));
        let mut tops: Vec<_> = tops.map(|&(key, Reverse(count), item)| Counted { key, item, count }).collect();
        tops.sort();
        tops
    }

    fn best(events: &[Event], k: usize) -> Vec<Ranked<u8, Event>> {
        let mut rows = vec![];
        for key in 0..u8::MAX {
            let mut of_key: Vec<_> = events.iter().enumerate().filter(|(_, event)| event.1 == key).collect();
            of_key.sort_by_key(|(place, event)| (Reverse(event.2), *place));
            rows.extend((1..).zip(of_key.iter().take(k)).map(|(rank, (_, row))| Ranked { key, rank, row: **row }));
        }
        rows.sort();
        rows
    }

    /// Of each key the event with the greatest time, and of those the greatest.
    fn last(events: &[Event]) -> Vec<Event> {
        let mut last: BTreeMap<u8, Event> = BTreeMap::new();
        events.iter().for_each(|event| {
            let kept = last.entry(event.1).or_insert(*event);
            *kept = (*kept).max(*event);
        });
        let mut rows: Vec<Event> = last.into_values().collect();
        rows.sort();
        rows
    }

    proptest! {
        #[test]
        fn tops_are_what_counting_and_sorting_give_after_every_epoch(
            epochs in prop::collection::vec(prop::collection::vec((-50i64..50, 0u8..4, 0u16..12), 0..30), 1..8),
            n in 0usize..5, workers in 1usize..5, cut in 0usize..8, after in 1usize..5,
        ) {
            let key = |event: &Event| event.1;
            let mut counts = Harness::kernel(workers, key, move || crate::CountsKernel::new(key, |event: &Event| event.2, n));
            let mut tops = Harness::maintain(workers, key, move || crate::Top::new(n, |event: &Event| event.2));
            let mut latest = Harness::maintain(workers, key, crate::Latest::new);
            let (mut count_rows, mut top_rows, mut events) = (BTreeMap::new(), BTreeMap::new(), vec![]);
            let mut latest_rows = BTreeMap::new();
            for (number, epoch) in epochs.into_iter().enumerate() {
                for event in epoch {
                    counts.push(event.0, event);
                    tops.push(event.0, event);
                    latest.push(event.0, event);
                    events.push(event);
                }
                counts.close_epoch();
                tops.close_epoch();
                latest.close_epoch();
                left(&mut count_rows, counts.changes().into_iter().map(|(_, row, diff)| (row, diff)));
                left(&mut top_rows, tops.changes().into_iter().map(|(_, row, diff)| (row, diff)));
                left(&mut latest_rows, latest.changes().into_iter().map(|(_, row, diff)| (row, diff)));
                prop_assert_eq!(count_rows.keys().copied().collect::<Vec<_>>(), counted(&events, n));
                prop_assert_eq!(top_rows.keys().copied().collect::<Vec<_>>(), best(&events, n));
                prop_assert_eq!(latest_rows.keys().copied().collect::<Vec<_>>(), last(&events));
                if number == cut {
                    let mut again = BTreeMap::new();
                    left(&mut again, counts.restore(after).unwrap().into_iter().map(|(row, _, diff)| (row, diff)));
                    prop_assert_eq!(&again, &count_rows);
                    let mut again = BTreeMap::new();
                    left(&mut again, tops.restore(after).unwrap().into_iter().map(|(row, _, diff)| (row, diff)));
                    prop_assert_eq!(&again, &top_rows);
                    let mut again = BTreeMap::new();
                    left(&mut again, latest.restore(after).unwrap().into_iter().map(|(row, _, diff)| (row, diff)));
                    prop_assert_eq!(&again, &latest_rows);
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn ranks_follow_rows_that_come_and_go_and_a_restart(
            epochs in prop::collection::vec(prop::collection::vec((0u8..3, 0u16..9, -3i64..4), 0..12), 1..8),
            n in 1u32..4,
        ) {
            let mut ranks = Derived::new(move |rows| ranked(rows, n, |row: &(u8, u16, i64)| row.0, |row| row.2));
            let mut there = BTreeSet::new();
            for epoch in epochs {
                for row in epoch {
                    // A row that comes again goes.
                    if there.insert(row) {
                        ranks.insert(row);
                    } else {
                        there.remove(&row);
                        ranks.remove(row);
                    }
                }
                ranks.close_epoch();
                let mut sorted: Vec<_> = there.iter().copied().collect();
                sorted.sort_by_key(|row| (row.0, Reverse(row.2), *row));
                let of_a_key = sorted.chunk_by(|a, b| a.0 == b.0);
                let ranks_of = |rows: &[(u8, u16, i64)]| -> Vec<_> {
                    (1..).zip(rows.iter().take(n as usize)).map(|(rank, row)| (Ranked { key: row.0, rank, row: *row }, 1)).collect()
                };
                let expected: Vec<_> = of_a_key.flat_map(ranks_of).collect();
                prop_assert_eq!(ranks.rows(), expected);
            }
            prop_assert_eq!(ranks.restore(), ranks.rows());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn jobs_write_the_same_bytes_on_any_number_of_workers(
            events in prop::collection::vec((0i64..3_000, 0u8..9, 0u16..30), 0..400), epoch_records in 1usize..60,
        ) {
            let mut first = None;
            for workers in [1, 2, 4] {
                let (counts, tops, ranks, latest) = (Memory::new(), Memory::new(), Memory::new(), Memory::new());
                let (to_counts, to_tops, to_ranks, to_latest) = (counts.clone(), tops.clone(), ranks.clone(), latest.clone());
                let input = Events::new(events.clone());
                execute(Config { epoch_records, ..Config::workers(workers) }, move |job| {
                    let events = job.source("events", input.clone(), Timing::by(|event: &Event| event.0))?.key_by(|e| e.1);
                    let counts = events.clone().top_counts("counts", 3, |event| event.2)?;
                    // The keys with the most events of one item; counts of counts are retracted and added.
                    ranked(counts.clone(), 2, |_| (), |row| row.count).sink("ranks", to_ranks.clone())?;
                    counts.sink("counts out", to_counts.clone())?;
                    events.clone().latest("latest")?.sink("latest out", to_latest.clone())?;
                    events.top_k("tops", 3, |event| event.2)?.sink("tops out", to_tops.clone())
                }).unwrap();
                let written = (counts.take(), tops.take(), ranks.take(), latest.take());
                let mut rows = BTreeMap::new();
                left(&mut rows, written.2.iter().map(|(_, Update { row, diff })| (*row, *diff)));
                let mut expected = counted(&events, 3);
                expected.sort_by_key(|row| (Reverse(row.count), *row));
                let expected: Vec<_> = (1..).zip(expected.into_iter().take(2)).map(|(rank, row)| Ranked { key: (), rank, row }).collect();
                prop_assert_eq!(rows.into_keys().collect::<Vec<_>>(), expected);
                prop_assert_eq!(first.get_or_insert(written.clone()), &written, "{} workers", workers);
            }
        }
    }

    #[test]
    fn an_item_that_moves_up_is_retracted_with_its_old_count() {
        let key = |event: &Event| event.1;
        let mut harness = Harness::kernel(1, key, move || crate::CountsKernel::new(key, |event: &Event| event.2, 1));
        let row = |item, count| Counted { key: 1, item, count };
        harness.push(0, (0, 1, 7));
        harness.close_epoch();
        harness.push(1, (1, 1, 8));
        harness.close_epoch();
        harness.push(2, (2, 1, 8));
        harness.close_epoch();
        assert_eq!(harness.changes(), [(1, row(7, 1), 1), (3, row(7, 1), -1), (3, row(8, 2), 1)]);
    }
}
