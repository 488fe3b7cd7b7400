//! The same by plain loops over all that has happened: what the graph must equal, row by row and rank by rank.

use crate::graph::{KEEP, LAST, REACH, Ranks};
use crate::protocol::{Owners, Protocol};
use rustc_hash::FxHashMap;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use tidemill_recommend::{ItemRow, Nearest, Scores, Session, WEIGHT};

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

    fn count(&self, item: u32) -> f64 {
        self.counts.get(&item).copied().unwrap_or(0).max(1) as f64
    }

    /// What the links say of a history: see [`ItemIndex::next`](tidemill_recommend::ItemIndex::next) and
    /// [`ItemIndex::together`](tidemill_recommend::ItemIndex::together).
    fn scores(&self, owners: Owners, history: &[u32]) -> Scores<u32> {
        let mut scores: FxHashMap<u32, f64> = FxHashMap::default();
        let mut add = |item: u32, score: &dyn Fn(u32, f64) -> f64| {
            for row in self.linked(item) {
                if let ItemRow::Linked { to, weight, .. } = row {
                    *scores.entry(to).or_default() += score(to, weight as f64);
                }
            }
        };
        match owners {
            Owners::Sessions => {
                for (back, item) in (1u32..).zip(history.iter().rev()) {
                    let share = 1.0 / (f64::from(back) * self.count(*item).sqrt());
                    add(*item, &|_, weight| weight * share);
                }
            }
            Owners::Baskets => {
                for item in history {
                    add(*item, &|to, both| both * both / (self.count(*item) * self.count(to)));
                }
            }
        }
        Scores::new(scores.into_iter().collect())
    }

    fn rows(&self) -> Vec<ItemRow<u32>> {
        let linked = self.links.keys().flat_map(|from| self.linked(*from));
        let counted = self.counts.iter().map(|(item, count)| ItemRow::Counted { item: *item, count: *count });
        let mut rows: Vec<_> = linked.chain(counted).collect();
        rows.sort();
        rows
    }
}

/// Sessions, and who has which item.
struct AllSessions {
    /// When each was, and its items.
    sessions: FxHashMap<u32, (i64, Vec<u32>)>,
    /// Of each item the sessions that have it, the most recent first.
    with: FxHashMap<u32, Vec<(Reverse<i64>, u32)>>,
}

impl AllSessions {
    fn new(sessions: &[Session<u32, u32>]) -> Self {
        let mut all = AllSessions { sessions: FxHashMap::default(), with: FxHashMap::default() };
        for Session { session, time, items } in sessions {
            let different = items.iter().copied().collect::<BTreeSet<u32>>();
            different.iter().for_each(|item| all.with.entry(*item).or_default().push((Reverse(*time), *session)));
            all.sessions.insert(*session, (*time, different.into_iter().collect()));
        }
        all.with.values_mut().for_each(|with| with.sort_unstable());
        all
    }

    /// The votes of the nearest: see [`SessionIndex`](tidemill_recommend::SessionIndex).
    fn scores(&self, history: &[u32], own: u32) -> Scores<u32> {
        let Nearest { recent, neighbours, length } = Nearest::default();
        let last: Vec<u32> = history.iter().rev().take(length).copied().collect();
        let place = |item: u32| last.iter().position(|other| *other == item);
        let mut near: FxHashMap<u32, f64> = FxHashMap::default();
        for (back, item) in last.iter().enumerate().filter(|(back, item)| place(**item) == Some(*back)) {
            for (_, session) in self.with.get(item).into_iter().flatten().take(recent) {
                *near.entry(*session).or_default() += (last.len() - back) as f64 / last.len() as f64;
            }
        }
        near.remove(&own);
        let mut nearest: Vec<(f64, Reverse<i64>, u32)> =
            near.into_iter().map(|(session, near)| (near, Reverse(self.sessions[&session].0), session)).collect();
        nearest.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        let mut votes: FxHashMap<u32, f64> = FxHashMap::default();
        for (near, _, session) in nearest.into_iter().take(neighbours) {
            let items = &self.sessions[&session].1;
            let shared = items.iter().filter_map(|item| place(*item)).min().unwrap_or(0);
            let late = (1.0 - 0.1 * shared as f64).max(0.0);
            items.iter().for_each(|item| *votes.entry(*item).or_default() += near * late * late);
        }
        let all = self.sessions.len() as f64;
        let rare = |item: u32| (all / self.with[&item].len() as f64).powf(0.3);
        Scores::new(votes.into_iter().map(|(item, votes)| (item, votes * rare(item))).collect())
    }
}

/// Goes through a protocol's steps.
pub fn recompute(protocol: &Protocol) -> Recomputed {
    let mut sums = Sums::default();
    let mut histories: BTreeMap<u32, (i64, Vec<u32>)> = BTreeMap::new();
    let mut ranks: BTreeMap<&'static str, Vec<Ranks>> = BTreeMap::new();
    for step in &protocol.steps {
        for question in step.questions.iter().filter(|question| !question.teaches) {
            let scores = sums.scores(protocol.owners, &question.history);
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
            let all = AllSessions::new(&sessions);
            for question in protocol.steps.iter().flat_map(|step| &step.questions).filter(|question| !question.teaches)
            {
                let scores = all.scores(&question.history, question.owner);
                ranks.entry("knn").or_default().push(Ranks::of(scores, question));
            }
        }
    }
    Recomputed { ranks, items: sums.rows(), sessions }
}
