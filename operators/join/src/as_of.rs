//! The as-of join: the version that was valid then, of those known by now.

use crate::pair::{Side, both, by_place, refuse};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tidemill::time::{END, show};
use tidemill::{
    Closing, Data, Emit, Kernel, Key, Keyed, Keys, Millis, Order, Record, Result, Save, Saved, Seq, StateError, Stream,
    Timers, type_name,
};

/// What is true of a key from some time on, on a stream by the time at which that became known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version<K, R> {
    /// Of what it is true.
    pub key: K,
    /// From when on it is valid, in milliseconds since 1970 UTC, until the key's next version is.
    pub valid_from: Millis,
    /// When it became known, in milliseconds since 1970 UTC: best the event time of a stream of versions. Where the two
    /// differ, the later one counts, so that no moment knows of a version too early.
    pub known_at: Millis,
    /// What is true from then on; `None` where nothing is.
    pub row: Option<R>,
}

/// An as-of join to be: see [`Joins::join_versions`](crate::Joins::join_versions).
///
/// State, per key: events until the watermark passes their moments, versions until it passes the time at which they became
/// known; then the version that is valid at the watermark, those valid later, and those valid before that waiting events
/// may need (at most twice as many as they do). A key that no version came for is kept for as long as an event of it
/// waits. A version without a row is kept like any other, since one that is valid from before may still become known,
/// and must stay hidden. So state grows with the keys that ever had a version, not with time, unless
/// [`AsOf::forget_after`] bounds that too.
pub struct AsOf<'s, L: 'static, K: 'static, R: 'static, FL, M> {
    pub(crate) left: Keyed<'s, L, FL>,
    pub(crate) versions: Stream<'s, Version<K, R>>,
    pub(crate) moment: M,
    pub(crate) forget_after: Option<Millis>,
}

impl<'s, L, K, R, FL, M> AsOf<'s, L, K, R, FL, M>
where
    L: Data,
    K: Key,
    R: Data,
    FL: Fn(&L) -> K + Clone + 'static,
    M: Fn(&L, Millis) -> Millis + 'static,
{
    /// Forgets a key's versions at a moment more than `idle` ms after all of: the moment of its last event, the time at
    /// which its last version became known, and the latest time from which one of them is valid. Events after that find no
    /// version, on any number of workers alike, until another becomes known.
    pub fn forget_after(self, idle: Millis) -> Self {
        AsOf { forget_after: Some(idle), ..self }
    }

    /// Joins each event with its version, if there is one. The second stream holds the events and versions that were
    /// behind the watermark.
    ///
    /// # Errors
    ///
    /// If the job has an operator called `name` already, or versions are to be forgotten after less than 0 ms.
    pub fn join<U: Data>(
        self,
        name: &str,
        join: impl Fn(&L, Option<&R>) -> U + 'static,
    ) -> Result<(Stream<'s, U>, Stream<'s, Side<L, Version<K, R>>>)> {
        let AsOf { left, versions, moment, forget_after } = self;
        if let Some(idle) = forget_after.filter(|idle| *idle < 0) {
            return refuse(name, &format!("forgets versions after {idle} ms: choose at least 0"));
        }
        let both = both(name, left, versions.key_by(|version| version.key.clone()));
        let kernel = AsOfKernel::new(both.key(), moment, forget_after, join);
        both.kernel(name, kernel)
    }
}

/// When something is taken: in this order, so a version is known to the events of the moment at which it becomes known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Turn {
    moment: Millis,
    is_event: bool,
    seq: Seq,
    /// Tells apart what has the same place.
    nth: u32,
}

/// What waits for its turn.
#[derive(Clone, Serialize, Deserialize)]
enum Item<L, R> {
    Version(Millis, Option<R>),
    Event(Millis, L),
}

/// What waits of one key.
#[derive(Clone, Serialize, Deserialize)]
struct Waiting<L, R> {
    items: BTreeMap<Turn, Item<L, R>>,
    /// No event that waits has an earlier time.
    oldest: Millis,
    /// How many items have been taken since `oldest` was exact.
    taken: usize,
}

impl<L, R> Default for Waiting<L, R> {
    fn default() -> Self {
        Waiting { items: BTreeMap::new(), oldest: Millis::MAX, taken: 0 }
    }
}

impl<L, R> Waiting<L, R> {
    fn add(&mut self, moment: Millis, seq: Seq, item: Item<L, R>) {
        if let Item::Event(time, _) = &item {
            self.oldest = self.oldest.min(*time);
        }
        let first = Turn { moment, is_event: matches!(item, Item::Event(..)), seq, nth: 0 };
        let equal = self.items.range(first..=Turn { nth: u32::MAX, ..first }).next_back();
        let nth = equal.map_or(0, |(turn, _)| turn.nth + 1);
        self.items.insert(Turn { nth, ..first }, item);
    }

    /// Takes out what is first, if its moment was before `now`.
    fn take(&mut self, now: Millis) -> Option<(Turn, Item<L, R>)> {
        let first = self.items.first_entry().filter(|first| first.key().moment < now || now == END)?;
        self.taken += 1;
        Some(first.remove_entry())
    }

    /// A time that no waiting event is before. All of them are looked at only once as many were taken as are left, which
    /// costs little per event however many wait.
    fn oldest(&mut self) -> Millis {
        if self.taken >= self.items.len() {
            let times = self.items.values().filter_map(|item| match item {
                Item::Event(time, _) => Some(*time),
                Item::Version(..) => None,
            });
            (self.oldest, self.taken) = (times.min().unwrap_or(Millis::MAX), 0);
        }
        self.oldest
    }
}

/// What one key knows, and what waits for its turn.
#[derive(Clone, Serialize, Deserialize)]
struct Known<L, R> {
    /// By when they became valid, in order.
    versions: Vec<(Millis, Option<R>)>,
    /// The latest time at which the versions were of use: see [`AsOf::forget_after`].
    used: Millis,
    /// In a box, as most keys have nothing that waits most of the time.
    waiting: Option<Box<Waiting<L, R>>>,
}

impl<L, R> Default for Known<L, R> {
    fn default() -> Self {
        Known { versions: Vec::new(), used: Millis::MIN, waiting: None }
    }
}

impl<L, R> Known<L, R> {
    /// Adds a version, in the place of one that is valid from the same time on.
    fn add(&mut self, valid_from: Millis, row: Option<R>) {
        match self.versions.binary_search_by_key(&valid_from, |(valid, _)| *valid) {
            Ok(at) => self.versions[at].1 = row,
            Err(at) => self.versions.insert(at, (valid_from, row)),
        }
    }

    /// How many versions are valid from `time` on or before: the last of them is the one of `time`.
    fn through(&self, time: Millis) -> usize {
        self.versions.partition_point(|(valid, _)| *valid <= time)
    }

    /// Takes what has its turn before `now`; `answer` is given an event's moment and place, itself and its row.
    fn proceed(
        &mut self,
        now: Millis,
        forget_after: Option<Millis>,
        mut answer: impl FnMut(Millis, Seq, &L, Option<&R>),
    ) {
        while let Some((Turn { moment, seq, .. }, item)) = self.waiting.as_mut().and_then(|waiting| waiting.take(now)) {
            self.forget(moment, forget_after);
            self.used = self.used.max(moment);
            match item {
                Item::Version(valid_from, row) => {
                    self.used = self.used.max(valid_from);
                    self.add(valid_from, row);
                }
                Item::Event(time, event) => {
                    let row = self.versions[..self.through(time)].last().and_then(|(_, row)| row.as_ref());
                    answer(moment, seq, &event, row);
                }
            }
        }
        self.waiting.take_if(|waiting| waiting.items.is_empty());
    }

    /// The last moment at which the versions are not forgotten yet.
    fn remembered(&self, forget_after: Option<Millis>) -> Millis {
        forget_after.map_or(Millis::MAX, |idle| self.used.saturating_add(idle))
    }

    fn forget(&mut self, now: Millis, forget_after: Option<Millis>) {
        if now > self.remembered(forget_after) {
            self.versions = Vec::new();
        }
    }

    /// Drops the versions that no event from `now` on, or waiting, can need, once they are half of all. That nothing is
    /// valid stays known, for a version of before that may become known later.
    fn prune(&mut self, now: Millis) {
        if self.through(now) < 2 {
            return;
        }
        let needed = self.waiting.as_mut().map_or(now, |waiting| waiting.oldest().min(now));
        let gone = self.through(needed).saturating_sub(1);
        if 2 * gone >= self.versions.len() {
            self.versions.drain(..gone);
        }
    }

    /// When there is something to do next; `None` if nothing is known and nothing waits.
    fn next(&self, now: Millis, forget_after: Option<Millis>) -> Option<Millis> {
        let turn =
            self.waiting.as_ref().and_then(|waiting| waiting.items.first_key_value()).map(|(turn, _)| turn.moment);
        let valid = self.versions.get(self.through(now)).map(|(valid, _)| *valid);
        let forgotten = (!self.versions.is_empty()).then(|| self.remembered(forget_after).saturating_add(1));
        turn.into_iter().chain(valid).chain(forgotten).min()
    }
}

/// The versions of one worker's keys.
pub(crate) struct AsOfKernel<K, L, R, F, M, J> {
    key: F,
    moment: M,
    forget_after: Option<Millis>,
    join: J,
    keys: Keys<K, Known<L, R>>,
    timers: Timers<K>,
}

impl<K: Key, L, R, F, M, J> AsOfKernel<K, L, R, F, M, J> {
    pub fn new(key: F, moment: M, forget_after: Option<Millis>, join: J) -> Self {
        AsOfKernel { key, moment, forget_after, join, keys: Keys::new(), timers: Timers::default() }
    }

    /// How many versions it holds.
    #[cfg(test)]
    pub fn versions(&self) -> usize {
        self.keys.iter().map(|(_, known)| known.versions.len()).sum()
    }
}

impl<K, L, R, F, M, J, U> Kernel for AsOfKernel<K, L, R, F, M, J>
where
    K: Key,
    L: Data,
    R: Data,
    U: Data,
    F: Fn(&Side<L, Version<K, R>>) -> K + 'static,
    M: Fn(&L, Millis) -> Millis + 'static,
    J: Fn(&L, Option<&R>) -> U + 'static,
{
    type In = Side<L, Version<K, R>>;
    type Out = Record<U>;

    fn kind(&self) -> String {
        let forgotten = self.forget_after.map(|idle| format!(", versions kept for {} after use", show(idle)));
        format!("join as of a time{}", forgotten.unwrap_or_default())
    }

    fn state(&self) -> String {
        type_name::<Known<L, R>>()
    }

    fn order(&self) -> Order {
        Order::EventTime
    }

    fn records(&mut self, _: Closing, records: &mut Vec<Record<Self::In>>, _: &mut Emit<Self::In, Self::Out>) {
        by_place(records);
        for Record { time, seq, value } in records.drain(..) {
            let key = (self.key)(&value);
            let (moment, item) = match value {
                Side::Right(Version { valid_from, known_at, row, .. }) => {
                    (known_at.max(time), Item::Version(valid_from, row))
                }
                Side::Left(event) => ((self.moment)(&event, time).max(time), Item::Event(time, event)),
            };
            let known = self.keys.get_or_default(key.clone());
            known.waiting.get_or_insert_default().add(moment, seq, item);
            self.timers.set(moment, key);
        }
    }

    fn settle(&mut self, at: Closing, emit: &mut Emit<Self::In, Self::Out>) {
        let mut due = self.timers.due(at.after);
        due.sort_unstable();
        due.dedup();
        for key in due {
            let Some(known) = self.keys.get_mut(&key) else { continue };
            known.proceed(at.after, self.forget_after, |time, seq, event, row| {
                emit.out.push(Record { time, seq, value: (self.join)(event, row) });
            });
            known.forget(at.after, self.forget_after);
            known.prune(at.after);
            if known.versions.is_empty() && known.waiting.is_none() {
                self.keys.remove(&key);
            } else if let Some(next) = known.next(at.after, self.forget_after).filter(|next| *next < END) {
                self.timers.set(next, key);
            }
        }
    }

    fn save(&mut self, save: &mut Save) {
        self.keys.save(save);
    }

    fn load(&mut self, at: Closing, entry: Saved<'_>, _: &mut Emit<Self::In, Self::Out>) -> Result<(), StateError> {
        let (key, _) = self.keys.load(entry)?;
        self.timers.set(at.after, key);
        Ok(())
    }
}
