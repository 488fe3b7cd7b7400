//! Nearest sessions: what was looked at in the sessions most like this one.
//!
//! This is VMIS-kNN (Kersbergen, Sprangers, Schelter: "Serenade", SIGMOD 2022) over an index that takes sessions in and
//! gives them back one by one, where the original's is built anew each day. Of each item of a session, the last ones only,
//! the most recent sessions with that item are candidates. How near a candidate is: the sum of the weights of the items it
//! shares, where later items of the session weigh more. The nearest vote for their items, more so for what they share a late
//! item with, and rare items count more.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::VecDeque;
use tidemill::{Key, Millis};

use crate::scores::{Scores, best_of};
use crate::suggest::Suggestion;

/// How many sessions are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nearest {
    /// Candidates: of each item, so many sessions that had it most recently.
    pub recent: usize,
    /// Neighbours: so many of the candidates, the nearest, vote. Of those equally near, the most recent.
    pub neighbours: usize,
    /// So many of a session's last items are looked at.
    pub length: usize,
}

impl Default for Nearest {
    fn default() -> Self {
        Nearest { recent: 1_500, neighbours: 300, length: 9 }
    }
}

/// A session as it is known so far.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Session<S, I> {
    /// Which session.
    pub session: S,
    /// When its latest event was, in ms since 1970 UTC.
    pub time: Millis,
    /// Its items in order of event time.
    pub items: Vec<I>,
}

/// The sessions of a collection, by item. What it answers is a function of the sessions that are in it, to the last bit:
/// in whatever order they came, and whatever has been in it and is gone.
pub struct SessionIndex<S, I> {
    nearest: Nearest,
    items: FxHashMap<I, u32>,
    /// Of each item, by its number.
    entries: Vec<Entry<I>>,
    /// Numbers whose items are in no session any more.
    free_items: Vec<u32>,
    slots: Vec<Slot<S>>,
    free_slots: Vec<u32>,
    sessions: usize,
    scratch: Scratch,
}

struct Entry<I> {
    item: I,
    /// When the sessions that have it were, and their slots: the most recent first.
    sessions: VecDeque<(Millis, u32)>,
}

/// Where a session is.
struct Slot<S> {
    /// None where there is none.
    session: Option<S>,
    /// The numbers of its items, each once.
    items: Vec<u32>,
}

/// Whether the session of a time and a slot is more recent than one of a time and a name; of those of the same time the
/// lesser name counts as more recent.
fn is_before<S: Ord>(slots: &[Slot<S>], (time, slot): (Millis, u32), than: (Millis, Option<&S>)) -> bool {
    time > than.0 || time == than.0 && slots[slot as usize].session.as_ref() < than.1
}

/// How near a session is, when it was, and its slot.
type Candidate = (f64, Reverse<Millis>, u32);

/// Room that every answer needs, as large as the index. It is as it was after each.
#[derive(Default)]
struct Scratch {
    /// Of each slot, how near its session is; 0 if it is no candidate.
    near: Vec<f64>,
    /// Sessions that may be near.
    candidates: Vec<Candidate>,
    /// Of each item, its votes; 0 if it has none.
    votes: Vec<f64>,
    /// Of each item, 1 for the last of the session, 2 for the one before, …; 0 if it is not looked at.
    place: Vec<u32>,
    voted: Vec<u32>,
    rare: Rare,
}

/// How much more votes count for items that few sessions have: powers are dear, and most items are in few.
#[derive(Default)]
struct Rare {
    /// Of so many sessions.
    all: usize,
    /// For an item that is in 0, 1, 2, … of them; NaN where nobody has asked yet.
    by: Vec<f64>,
}

impl Scratch {
    /// The votes of each item that had any, by its number, and how much they count for it; then nobody has voted.
    fn take_votes<I>(&mut self, entries: &[Entry<I>], sessions: usize) -> impl Iterator<Item = (f64, u32)> {
        let Scratch { votes, voted, rare, .. } = self;
        voted.drain(..).map(move |number| {
            let votes = std::mem::take(&mut votes[number as usize]);
            (votes * rare.of(sessions, entries[number as usize].sessions.len()), number)
        })
    }
}

impl Rare {
    fn of(&mut self, all: usize, with: usize) -> f64 {
        let power = || (all as f64 / with as f64).powf(0.3);
        if self.all != all {
            self.all = all;
            self.by.clear();
        }
        if with >= 1_024 {
            return power();
        }
        if self.by.len() <= with {
            self.by.resize(with + 1, f64::NAN);
        }
        let rare = &mut self.by[with];
        if rare.is_nan() {
            *rare = power();
        }
        *rare
    }
}

impl<S: Key, I: Key> SessionIndex<S, I> {
    /// An index without sessions.
    pub fn new(nearest: Nearest) -> Self {
        SessionIndex {
            nearest,
            items: FxHashMap::default(),
            entries: Vec::new(),
            free_items: Vec::new(),
            slots: Vec::new(),
            free_slots: Vec::new(),
            sessions: 0,
            scratch: Scratch::default(),
        }
    }

    /// How many sessions are in it.
    pub fn len(&self) -> usize {
        self.sessions
    }

    /// Whether no session is in it.
    pub fn is_empty(&self) -> bool {
        self.sessions == 0
    }

    /// A session is there, with at least one item.
    pub fn insert(&mut self, session: &Session<S, I>) {
        let slot = self.free_slots.pop().unwrap_or_else(|| {
            self.slots.push(Slot { session: None, items: Vec::new() });
            self.scratch.near.push(0.0);
            self.slots.len() as u32 - 1
        });
        let mut items = std::mem::take(&mut self.slots[slot as usize].items);
        for number in session.items.iter().map(|item| self.number(item)) {
            if !items.contains(&number) {
                items.push(number);
            }
        }
        self.slots[slot as usize] = Slot { session: Some(session.session.clone()), items };
        let SessionIndex { slots, entries, .. } = self;
        let order = (session.time, Some(&session.session));
        for number in &slots[slot as usize].items {
            let sessions = &mut entries[*number as usize].sessions;
            // Most often it is the most recent one.
            match sessions.front().is_none_or(|first| first.0 < session.time) {
                true => sessions.push_front((session.time, slot)),
                false => {
                    let place = sessions.partition_point(|other| is_before(slots, *other, order));
                    sessions.insert(place, (session.time, slot));
                }
            }
        }
        self.sessions += 1;
    }

    /// A session, as it was inserted, is gone.
    pub fn remove(&mut self, session: &Session<S, I>) {
        let Some(slot) = self.slot(session) else { return };
        let SessionIndex { slots, entries, .. } = self;
        let order = (session.time, Some(&session.session));
        for number in &slots[slot as usize].items {
            let entry = &mut entries[*number as usize];
            let mut place = entry.sessions.partition_point(|other| is_before(slots, *other, order));
            // Behind others that came at the same time under the same name, if there are any.
            while entry.sessions.get(place).is_some_and(|other| other.1 != slot) {
                place += 1;
            }
            entry.sessions.remove(place);
            if entry.sessions.is_empty() {
                self.items.remove(&entry.item);
                self.free_items.push(*number);
            }
        }
        let gone = &mut slots[slot as usize];
        gone.session = None;
        gone.items.clear();
        self.free_slots.push(slot);
        self.sessions -= 1;
    }

    fn slot(&self, session: &Session<S, I>) -> Option<u32> {
        let entry = &self.entries[*self.items.get(session.items.first()?)? as usize];
        let order = (session.time, Some(&session.session));
        let place = entry.sessions.partition_point(|other| is_before(&self.slots, *other, order));
        let (time, slot) = *entry.sessions.get(place)?;
        ((time, self.slots[slot as usize].session.as_ref()) == order).then_some(slot)
    }

    fn number(&mut self, item: &I) -> u32 {
        if let Some(number) = self.items.get(item) {
            return *number;
        }
        let entry = Entry { item: item.clone(), sessions: VecDeque::new() };
        let number = match self.free_items.pop() {
            Some(number) => {
                self.entries[number as usize] = entry;
                number
            }
            None => {
                self.entries.push(entry);
                self.scratch.votes.push(0.0);
                self.scratch.place.push(0);
                self.entries.len() as u32 - 1
            }
        };
        self.items.insert(item.clone(), number);
        number
    }

    /// The votes for items by the sessions nearest to one with these items, the last one last. The session itself, if it
    /// is in the index as `own`, has no vote.
    pub fn scores(&mut self, items: &[I], own: Option<&S>) -> Scores<I> {
        self.vote(items, own);
        let item = |number: u32| self.entries[number as usize].item.clone();
        Scores::new(
            self.scratch.take_votes(&self.entries, self.sessions).map(|(votes, of)| (item(of), votes)).collect(),
        )
    }

    /// The `n` items with the most votes, by [`SessionIndex::scores`], but those the user `had`.
    pub fn best(&mut self, items: &[I], own: Option<&S>, had: &[I], n: usize) -> Vec<Suggestion<I>> {
        self.vote(items, own);
        for number in had.iter().filter_map(|item| self.items.get(item)) {
            self.scratch.votes[*number as usize] = 0.0;
        }
        let item = |number: u32| &self.entries[number as usize].item;
        let voted = self.scratch.take_votes(&self.entries, self.sessions).filter(|(votes, _)| *votes > 0.0);
        let best = best_of(voted.collect(), n, item);
        best.into_iter().map(|(score, of)| Suggestion { item: item(of).clone(), score, because: None }).collect()
    }

    /// Has the nearest sessions vote.
    fn vote(&mut self, items: &[I], own: Option<&S>) {
        let Nearest { recent, neighbours, length } = self.nearest;
        let Scratch { near, candidates, votes, place, voted, .. } = &mut self.scratch;
        let mut asked: Vec<(u32, f64)> = Vec::with_capacity(length.min(items.len()));
        let looked_at = &items[items.len().saturating_sub(length)..];
        let len = looked_at.len() as f64;
        for (back, item) in (1u32..).zip(looked_at.iter().rev()) {
            if let Some(&number) = self.items.get(item)
                && place[number as usize] == 0
            {
                place[number as usize] = back;
                asked.push((number, (len - f64::from(back - 1)) / len));
            }
        }
        candidates.clear();
        for (number, weight) in &asked {
            for (time, slot) in self.entries[*number as usize].sessions.iter().take(recent) {
                let near = &mut near[*slot as usize];
                if *near == 0.0 {
                    candidates.push((0.0, Reverse(*time), *slot));
                }
                *near += *weight;
            }
        }
        candidates.iter_mut().for_each(|(candidate, _, slot)| *candidate = std::mem::take(&mut near[*slot as usize]));
        let session = |slot: u32| &self.slots[slot as usize].session;
        let nearest_first = |a: &Candidate, b: &Candidate| {
            b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then_with(|| session(a.2).cmp(session(b.2)))
        };
        // One more than vote, as the session itself may be among them.
        if candidates.len() > neighbours.saturating_add(1) {
            candidates.select_nth_unstable_by(neighbours, nearest_first);
            candidates.truncate(neighbours + 1);
        }
        // Sums of floats depend on their order.
        candidates.sort_unstable_by(nearest_first);
        candidates.retain(|(.., slot)| own.is_none() || own != session(*slot).as_ref());
        candidates.truncate(neighbours);
        for (near, _, slot) in candidates.iter() {
            let numbers = &self.slots[*slot as usize].items;
            let shared = numbers.iter().map(|number| place[*number as usize]).filter(|place| *place > 0).min();
            let late = (1.0 - 0.1 * f64::from(shared.unwrap_or(1) - 1)).max(0.0);
            let vote = near * late * late;
            if vote == 0.0 {
                continue;
            }
            for number in numbers {
                if votes[*number as usize] == 0.0 {
                    voted.push(*number);
                }
                votes[*number as usize] += vote;
            }
        }
        asked.iter().for_each(|(number, _)| place[*number as usize] = 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// By the definition, item by item, in the same order of additions.
    fn naive(
        sessions: &BTreeMap<u16, Session<u16, u8>>,
        nearest: Nearest,
        items: &[u8],
        own: u16,
    ) -> BTreeMap<u8, f64> {
        let looked_at: Vec<u8> = items.iter().rev().take(nearest.length).copied().collect();
        let place = |item: &u8| looked_at.iter().position(|other| other == item);
        let len = looked_at.len() as f64;
        let mut near: BTreeMap<u16, f64> = BTreeMap::new();
        let mut recent: Vec<_> = sessions.values().collect();
        recent.sort_by_key(|session| (Reverse(session.time), session.session));
        for (back, item) in looked_at.iter().enumerate().filter(|(back, item)| place(item) == Some(*back)) {
            for session in recent.iter().filter(|session| session.items.contains(item)).take(nearest.recent) {
                *near.entry(session.session).or_default() += (len - back as f64) / len;
            }
        }
        near.remove(&own);
        let mut neighbours: Vec<_> = near.into_iter().map(|(session, near)| (near, &sessions[&session])).collect();
        neighbours.sort_by(|a, b| {
            b.0.total_cmp(&a.0).then((Reverse(a.1.time), a.1.session).cmp(&(Reverse(b.1.time), b.1.session)))
        });
        let mut votes: BTreeMap<u8, f64> = BTreeMap::new();
        for (near, session) in neighbours.into_iter().take(nearest.neighbours) {
            let shared = session.items.iter().filter_map(place).min().unwrap();
            let late = (1.0 - 0.1 * shared as f64).max(0.0);
            for item in session.items.iter().collect::<std::collections::BTreeSet<_>>() {
                *votes.entry(*item).or_default() += near * late * late;
            }
        }
        let all = sessions.len() as f64;
        let with = |item: &u8| sessions.values().filter(|session| session.items.contains(item)).count() as f64;
        votes
            .into_iter()
            .map(|(item, votes)| (item, votes * (all / with(&item)).powf(0.3)))
            .filter(|item| item.1 > 0.0)
            .collect()
    }

    proptest! {
        #[test]
        fn answers_are_as_defined_whatever_has_come_and_gone(
            steps in prop::collection::vec((0u16..9, 0i64..20, prop::collection::vec(0u8..12, 1..7), any::<bool>()), 1..60),
            recent in 1usize..6, neighbours in 1usize..6, length in 1usize..12,
            asked in prop::collection::vec(0u8..14, 1..14), own in 0u16..12, n in 0usize..5,
        ) {
            let nearest = Nearest { recent, neighbours, length };
            let (mut index, mut there) = (SessionIndex::new(nearest), BTreeMap::new());
            for (session, time, items, goes) in steps {
                if let Some(old) = there.remove(&session) {
                    index.remove(&old);
                }
                if !goes {
                    let session = Session { session, time, items };
                    index.insert(&session);
                    there.insert(session.session, session);
                }
                prop_assert_eq!(index.len(), there.len());
                let scores: BTreeMap<u8, f64> = index.scores(&asked, Some(&own)).iter().copied().collect();
                prop_assert_eq!(&scores, &naive(&there, nearest, &asked, own));
                let had = &asked[..asked.len() / 2];
                let mut expected: Vec<_> = scores.into_iter().filter(|(item, _)| !had.contains(item)).collect();
                expected.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
                expected.truncate(n);
                let best = index.best(&asked, Some(&own), had, n);
                prop_assert_eq!(best.into_iter().map(|of| (of.item, of.score)).collect::<Vec<_>>(), expected);
            }
            there.values().for_each(|session| index.remove(session));
            prop_assert!(index.is_empty() && index.items.is_empty() && index.scores(&asked, None).is_empty());
        }
    }
}
