//! The same by plain loops over all that has happened: what the graph must equal, row by row and rank by rank.

use crate::graph::{KEEP, LAST, REACH, Ranks, counting};
use crate::protocol::{Owners, Protocol};
use rustc_hash::{FxHashMap, FxHashSet};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use tidemill_recommend::{ItemIndex, ItemRow, Nearest, Session, SessionIndex, WEIGHT};

/// What a recompute gives.
pub struct Recomputed {
    /// Of each model, the ranks of all questions' targets in order. Nearest sessions only where nothing is learnt between
    /// questions.
    pub ranks: BTreeMap<&'static str, Vec<Ranks>>,
    /// What is known of items in the end.
    pub items: Vec<ItemRow<u32>>,
    /// The sessions in the end, where owners are.
    pub sessions: Vec<Session<u32, u32>>,
}

/// Sums of weights, and counts.
#[derive(Default)]
struct Sums {
    links: FxHashMap<u32, FxHashMap<u32, i64>>,
    counts: FxHashMap<u32, i64>,
}

impl Sums {
    /// The items with the greatest weights after or beside one.
    fn linked(&self, from: u32) -> Vec<ItemRow<u32>> {
        let mut all: Vec<(Reverse<i64>, u32)> =
            self.links.get(&from).into_iter().flatten().map(|(to, weight)| (Reverse(*weight), *to)).collect();
        all.sort_unstable();
        all.truncate(KEEP);
        all.into_iter().map(|(Reverse(weight), to)| ItemRow::Linked { from, to, weight }).collect()
    }

    /// An index of what is needed to answer from a history.
    fn index(&self, history: &[u32]) -> ItemIndex<u32> {
        let mut index = ItemIndex::new();
        let mut counted: FxHashSet<u32> = history.iter().copied().collect();
        for row in history.iter().collect::<FxHashSet<_>>().into_iter().flat_map(|from| self.linked(*from)) {
            if let ItemRow::Linked { to, .. } = row {
                counted.insert(to);
            }
            index.change(row, true);
        }
        for item in counted {
            if let Some(count) = self.counts.get(&item) {
                index.change(ItemRow::Counted { item, count: *count }, true);
            }
        }
        index
    }

    fn rows(&self) -> Vec<ItemRow<u32>> {
        let linked = self.links.keys().flat_map(|from| self.linked(*from));
        let counted = self.counts.iter().map(|(item, count)| ItemRow::Counted { item: *item, count: *count });
        let mut rows: Vec<_> = linked.chain(counted).collect();
        rows.sort();
        rows
    }
}

/// Goes through a protocol's steps.
pub fn recompute(protocol: &Protocol) -> Recomputed {
    let mut sums = Sums::default();
    let mut histories: BTreeMap<u32, (i64, Vec<u32>)> = BTreeMap::new();
    let mut ranks: BTreeMap<&'static str, Vec<Ranks>> = BTreeMap::new();
    for step in &protocol.steps {
        for question in step.questions.iter().filter(|question| !question.teaches) {
            let scores = counting(&sums.index(&question.history), protocol.owners, &question.history);
            ranks.entry("counting").or_default().push(Ranks::of(scores, question));
        }
        for event in &step.events {
            let (time, items) = histories.entry(event.owner).or_default();
            match protocol.owners {
                Owners::Sessions => {
                    for (apart, from) in
                        (1..).zip(items.iter().rev().take(REACH)).filter(|(_, from)| **from != event.item)
                    {
                        *sums.links.entry(*from).or_default().entry(event.item).or_default() += WEIGHT / apart;
                    }
                    *sums.counts.entry(event.item).or_default() += 1;
                    items.push(event.item);
                }
                Owners::Baskets if items.contains(&event.item) || items.len() == crate::data::online_retail::CAP => {}
                Owners::Baskets => {
                    for other in items.iter() {
                        *sums.links.entry(*other).or_default().entry(event.item).or_default() += 1;
                        *sums.links.entry(event.item).or_default().entry(*other).or_default() += 1;
                    }
                    *sums.counts.entry(event.item).or_default() += 1;
                    items.push(event.item);
                }
            }
            *time = event.time.max(*time);
        }
    }
    let mut sessions = Vec::new();
    if protocol.owners == Owners::Sessions {
        let last = |items: Vec<u32>| items[items.len().saturating_sub(LAST)..].to_vec();
        let session = |(session, (time, items))| Session { session, time, items: last(items) };
        sessions.extend(histories.into_iter().map(session));
        if !protocol.test_then_learn {
            let mut index = SessionIndex::new(Nearest::default());
            sessions.iter().for_each(|session| index.insert(session));
            for question in protocol.steps.iter().flat_map(|step| &step.questions).filter(|question| !question.teaches)
            {
                let scores = index.scores(&question.history, Some(&question.owner));
                ranks.entry("knn").or_default().push(Ranks::of(scores, question));
            }
        }
    }
    Recomputed { ranks, items: sums.rows(), sessions }
}
