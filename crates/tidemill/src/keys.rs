//! Keyed state that knows what has changed since it was written down last.

use crate::kernel::StateError;
use crate::save::{Old, Save, Saved};
use crate::stream::Key;
use crate::time::Millis;
use hashbrown::HashTable;
use hashbrown::hash_table::{Entry, OccupiedEntry};
use rustc_hash::{FxBuildHasher, FxHashSet};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::hash::{BuildHasher, Hash};

/// The state of one worker's keys: a hash map that a kernel keeps its state in, so that a checkpoint costs what changed.
///
/// [`Keys::save`] writes in slices where the engine asks for them: events go on between two, and a key whose state is still
/// to be written is written before it changes. So what is written is the state as it was when the first slice began.
///
/// Before [`Keys::save`] is called for the first time, which writes down everything, no key is noted.
#[derive(Clone, Debug)]
pub struct Keys<K, S> {
    table: HashTable<Slot<K, S>>,
    notes: Notes<K, S>,
}

#[derive(Clone, Debug)]
struct Slot<K, S> {
    key: K,
    state: S,
    /// Whether the state, as it was once, has been written down.
    saved: bool,
    /// [`WRITTEN`], or which save is to write it.
    mark: u8,
}

/// The mark of a slot that has not changed since it was written.
const WRITTEN: u8 = 0;

/// What is to be written.
#[derive(Clone, Debug)]
struct Notes<K, S> {
    /// The mark of slots that the next save is to write: 1 and 2 in turn. The other marks what a save that has begun owes.
    next: u8,
    /// The keys marked so, some of which may be gone by now.
    changed: Vec<K>,
    /// So many are marked that going through all is faster: none is in `changed`.
    dense: bool,
    /// Keys that were written down and are gone, unless they are in the map again.
    gone: FxHashSet<K>,
    owed: Option<Owed<K, S>>,
}

/// What the last save that has begun has not yet given.
#[derive(Clone, Debug)]
struct Owed<K, S> {
    write: Write<K, S>,
    /// Written before it changed.
    early: Save,
    gone: Vec<K>,
    rest: Rest<K>,
}

/// Where the slots are that are owed.
#[derive(Clone, Debug)]
enum Rest<K> {
    /// Among these keys'.
    Of(std::vec::IntoIter<K>),
    /// From this place of the table on.
    From(usize),
}

/// How a slot is written.
#[derive(Clone, Debug)]
enum Write<K, S> {
    /// Its state, as one entry, perhaps of a window; none if the key is gone.
    Whole(Option<Millis>, fn(Option<Millis>, &K, Option<&S>, &mut Save)),
    /// As [`Keys::save_by`] says.
    By { touch: fn(&S) -> i64, put: fn(&K, &mut S, &mut Save) },
}

impl<K, S> Write<K, S> {
    fn slot(&self, slot: &mut Slot<K, S>, save: &mut Save) {
        slot.mark = WRITTEN;
        match self {
            Write::Whole(window, put) => {
                slot.saved = true;
                put(*window, &slot.key, Some(&slot.state), save);
            }
            Write::By { put, .. } => put(&slot.key, &mut slot.state, save),
        }
    }

    fn gone(&self, key: &K, save: &mut Save) {
        if let Write::Whole(window, put) = self {
            put(*window, key, None, save);
        }
    }

    fn touch(&self, slot: &Slot<K, S>) -> i64 {
        match self {
            Write::Whole(..) => i64::from(slot.mark),
            Write::By { touch, .. } => touch(&slot.state),
        }
    }
}

fn hash<K: Hash>(key: &K) -> u64 {
    FxBuildHasher.hash_one(key)
}

impl<K: Clone, S> Notes<K, S> {
    /// The slot, one of so many, is about to change.
    #[inline]
    fn changes(&mut self, keys: usize, slot: &mut Slot<K, S>) {
        if slot.mark != self.next {
            self.save_early(slot);
            self.note(keys, slot);
        }
    }

    /// Writes a slot that is owed, as long as it is what it was.
    fn save_early(&mut self, slot: &mut Slot<K, S>) {
        if slot.mark != WRITTEN
            && slot.mark != self.next
            && let Some(Owed { write, early, .. }) = &mut self.owed
        {
            write.slot(slot, early);
        }
    }

    /// The next save has to write the slot.
    #[inline]
    fn note(&mut self, keys: usize, slot: &mut Slot<K, S>) {
        slot.mark = self.next;
        if self.dense {
            return;
        }
        self.changed.push(slot.key.clone());
        if self.changed.len() > keys / 4 + 64 {
            (self.dense, self.changed) = (true, Vec::new());
        }
    }
}

impl<K, S> Default for Keys<K, S> {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl<K, S> Keys<K, S> {
    /// No keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// No keys, and room for this many.
    pub fn with_capacity(keys: usize) -> Self {
        let notes = Notes { next: 1, changed: Vec::new(), dense: true, gone: FxHashSet::default(), owed: None };
        Keys { table: HashTable::with_capacity(keys), notes }
    }

    /// For how many keys there is room.
    pub fn capacity(&self) -> usize {
        self.table.capacity()
    }

    /// How many keys have state.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether no key has state.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Every key with its state, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &S)> {
        self.table.iter().map(|slot| (&slot.key, &slot.state))
    }
}

impl<K: Key, S> Keys<K, S> {
    /// A key's state.
    pub fn get(&self, key: &K) -> Option<&S> {
        self.table.find(hash(key), |slot| slot.key == *key).map(|slot| &slot.state)
    }

    /// A key's state, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut S> {
        let keys = self.table.len();
        let slot = self.table.find_mut(hash(key), |slot| slot.key == *key)?;
        self.notes.changes(keys, slot);
        Some(&mut slot.state)
    }

    /// A key's state, to be changed; `make` makes that of a new key.
    pub fn get_or_insert_with(&mut self, key: K, make: impl FnOnce(&K) -> S) -> &mut S {
        if self.table.len() == self.table.capacity()
            && let Some(Owed { rest: Rest::From(_), .. }) = self.notes.owed
        {
            // Slots are about to change their places.
            self.give_early();
        }
        let keys = self.table.len();
        match self.table.entry(hash(&key), |slot| slot.key == key, |slot| hash(&slot.key)) {
            Entry::Occupied(slot) => {
                let slot = slot.into_mut();
                self.notes.changes(keys, slot);
                &mut slot.state
            }
            Entry::Vacant(place) => {
                let saved = !self.notes.gone.is_empty() && self.notes.gone.remove(&key);
                let state = make(&key);
                let slot = place.insert(Slot { key, state, saved, mark: WRITTEN }).into_mut();
                self.notes.note(keys, slot);
                &mut slot.state
            }
        }
    }

    /// A key's state, to be changed; that of a new key is the default.
    pub fn get_or_default(&mut self, key: K) -> &mut S
    where
        S: Default,
    {
        self.get_or_insert_with(key, |_| S::default())
    }

    /// Goes through all keys, all of which may be changed, and drops those of which `keep` says no.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut S) -> bool) {
        let (keys, notes) = (self.table.len(), &mut self.notes);
        self.table.retain(|slot| {
            notes.changes(keys, slot);
            let kept = keep(&slot.key, &mut slot.state);
            if !kept && slot.saved {
                notes.gone.insert(slot.key.clone());
            }
            kept
        });
        self.shrink();
    }

    /// Drops a key, and gives its state.
    pub fn remove(&mut self, key: &K) -> Option<S> {
        let mut slot = self.table.find_entry(hash(key), |slot| slot.key == *key).ok()?;
        self.notes.save_early(slot.get_mut());
        let (Slot { key, state, saved, .. }, _) = OccupiedEntry::remove(slot);
        if saved {
            self.notes.gone.insert(key);
        }
        self.shrink();
        Some(state)
    }

    /// As [`Keys::save`], of states that are written in several entries: `put` writes what is new of a key's, or everything
    /// where [`Save::all`] says so. `touch` reads what `put` will: for many keys at once, so that they wait for memory
    /// together. What was written of keys that are gone is left to the caller.
    pub fn save_by(&mut self, save: &mut Save, touch: fn(&S) -> i64, put: fn(&K, &mut S, &mut Save)) {
        if save.begins() {
            self.begin(Write::By { touch, put }, save.all);
        }
        self.give(save);
    }

    /// From now on the slots that have changed since the last time are owed, or all.
    fn begin(&mut self, write: Write<K, S>, all: bool) {
        let notes = &mut self.notes;
        if all {
            self.table.iter_mut().for_each(|slot| slot.mark = notes.next);
        }
        let changed = std::mem::take(&mut notes.changed);
        let rest = if all || notes.dense { Rest::From(0) } else { Rest::Of(changed.into_iter()) };
        let gone = notes.gone.drain().collect();
        (notes.next, notes.dense) = (3 - notes.next, false);
        notes.owed = Some(Owed { write, early: Save::default(), gone, rest });
    }

    /// Gives what is owed, or as much as `save` has time for.
    fn give(&mut self, save: &mut Save) {
        let (table, next) = (&mut self.table, self.notes.next);
        let Some(Owed { write, early, gone, rest }) = &mut self.notes.owed else { return };
        let is_owed = |slot: &&Slot<K, S>| slot.mark != WRITTEN && slot.mark != next;
        save.append(early);
        let some = save.at_once();
        while !gone.is_empty() && !save.is_over() {
            gone.drain(gone.len().saturating_sub(some)..).for_each(|key| write.gone(&key, save));
        }
        match rest {
            Rest::From(place) => {
                while *place < table.num_buckets() && !save.is_over() {
                    let places = *place..(*place + some).min(table.num_buckets());
                    *place = places.end;
                    let slots = places.clone().filter_map(|place| table.get_bucket(place)).filter(is_owed);
                    std::hint::black_box(slots.fold(0, |sum, slot| sum ^ write.touch(slot)));
                    for place in places {
                        if let Some(slot) = table.get_bucket_mut(place)
                            && is_owed(&&*slot)
                        {
                            write.slot(slot, save);
                        }
                    }
                }
            }
            Rest::Of(keys) => {
                while keys.len() > 0 && !save.is_over() {
                    let some = &keys.as_slice()[..some.min(keys.len())];
                    let slots = some.iter().filter_map(|key| table.find(hash(key), |slot| slot.key == *key));
                    std::hint::black_box(slots.filter(is_owed).fold(0, |sum, slot| sum ^ write.touch(slot)));
                    let count = some.len();
                    for key in keys.take(count) {
                        if let Some(slot) = table.find_mut(hash(&key), |slot| slot.key == key)
                            && is_owed(&&*slot)
                        {
                            write.slot(slot, save);
                        }
                    }
                }
            }
        }
    }

    /// Writes all that is owed before it changes.
    fn give_early(&mut self) {
        let mut all = Save::default();
        self.give(&mut all);
        if let Some(owed) = &mut self.notes.owed {
            owed.early = all;
        }
    }

    /// Adds the state of a key as it was written down by [`Keys::save_by`].
    pub fn put_back(&mut self, key: K, state: S) {
        self.insert(Slot { key, state, saved: false, mark: WRITTEN });
    }

    /// Adds what is written down.
    pub(crate) fn loaded(&mut self, key: K, state: S) -> &mut S {
        self.insert(Slot { key, state, saved: true, mark: WRITTEN })
    }

    fn insert(&mut self, slot: Slot<K, S>) -> &mut S {
        if self.table.is_empty() {
            self.notes.dense = false;
        }
        match self.table.entry(hash(&slot.key), |other| other.key == slot.key, |slot| hash(&slot.key)) {
            Entry::Occupied(mut place) => {
                *place.get_mut() = slot;
                &mut place.into_mut().state
            }
            Entry::Vacant(place) => &mut place.insert(slot).into_mut().state,
        }
    }

    /// Drops from `changed` what is gone, once that is most of it.
    fn shrink(&mut self) {
        let notes = &mut self.notes;
        if !notes.dense && notes.changed.len() > 2 * self.table.len() + 64 {
            let changed = self.table.iter().filter(|slot| slot.mark == notes.next);
            notes.changed = changed.map(|slot| slot.key.clone()).collect();
        }
    }
}

impl<K: Key, S: Serialize + DeserializeOwned> Keys<K, S> {
    /// Writes down what has changed since the last time, or everything, as [`crate::Kernel::save`] wants it.
    pub fn save(&mut self, save: &mut Save) {
        self.save_in(None, save);
    }

    /// Takes back an entry that [`Keys::save`] wrote.
    pub fn load(&mut self, entry: Saved<'_>) -> Result<(K, &mut S), StateError> {
        self.load_by(entry, entry.version, |old| old.read())
    }

    /// The same, where `read` reads the state. One that was not written by `version` will be written down anew.
    pub fn load_by(
        &mut self,
        entry: Saved<'_>,
        version: u32,
        read: impl FnOnce(&mut Old<'_>) -> Result<S, StateError>,
    ) -> Result<(K, &mut S), StateError> {
        let (key, state): (K, S) = (postcard::from_bytes(entry.key)?, read(&mut Old::of(entry.value))?);
        self.loaded(key.clone(), state);
        if entry.version != version {
            self.get_mut(&key);
        }
        let slot = self.table.find_mut(hash(&key), |slot| slot.key == key);
        let slot = slot.ok_or_else(|| StateError("the key is not equal to itself".to_owned()))?;
        Ok((key, &mut slot.state))
    }

    /// The same of the keys of one window.
    pub(crate) fn save_in(&mut self, window: Option<Millis>, save: &mut Save) {
        fn put<K: Key, S: Serialize>(window: Option<Millis>, key: &K, state: Option<&S>, save: &mut Save) {
            match (window, state) {
                (None, Some(state)) => save.put(key, key, state),
                (None, None) => save.gone(key, key),
                (Some(window), Some(state)) => save.put(key, &(window, key), state),
                (Some(window), None) => save.gone(key, &(window, key)),
            }
        }
        if save.begins() {
            self.begin(Write::Whole(window, put), save.all);
        }
        self.give(save);
    }
}

impl<K: Key, S> Keys<K, S> {
    /// Everything in it, the keys that are written down, and what a save that has begun still owes.
    pub(crate) fn into_parts(mut self) -> (impl Iterator<Item = (K, S)>, Vec<K>, Save) {
        let mut rest = Save::default();
        self.give(&mut rest);
        let saved = self.table.iter().filter(|slot| slot.saved).map(|slot| slot.key.clone());
        let saved = saved.chain(self.notes.gone).collect();
        (self.table.into_iter().map(|slot| (slot.key, slot.state)), saved, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    type Written = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

    fn write(keys: &mut Keys<u8, u32>, mut save: Save, written: &mut Written) -> (usize, bool) {
        keys.save(&mut save);
        for entry in save.entries() {
            let place = (entry.group, entry.key.to_vec());
            match entry.value {
                Some(value) => _ = written.insert(place, value.to_vec()),
                None => _ = written.remove(&place),
            }
        }
        (save.entries().count(), save.has_more())
    }

    fn everything(keys: &Keys<u8, u32>) -> Written {
        let mut all = Written::new();
        write(&mut keys.clone(), Save::new(true), &mut all);
        all
    }

    proptest! {
        #[test]
        fn what_changed_makes_what_is(
            steps in prop::collection::vec((0..8u8, 0..120u8), 0..600), often in 1..30u8, slices in any::<bool>()
        ) {
            let (mut keys, mut model, mut written) = (Keys::new(), BTreeMap::new(), Written::new());
            let (mut touched, mut count) = (std::collections::BTreeSet::new(), 0);
            let (mut first, mut begun) = (true, None);
            for (number, (step, key)) in (0u32..).zip(steps) {
                match step {
                    // So that some slices and saves have much between them, and some little.
                    0 | 1 if key % often > 0 => {}
                    0 | 1 => {
                        let goes_on = begun.is_some();
                        let (expected, most) = begun.take().unwrap_or_else(|| {
                            let most = if first { usize::MAX } else { touched.len() };
                            (first, touched, count) = (false, Default::default(), 0);
                            (everything(&keys), most)
                        });
                        let save = if slices { Save::sliver(goes_on) } else { Save::new(false) };
                        let (entries, has_more) = write(&mut keys, save, &mut written);
                        count += entries;
                        prop_assert!(count <= most, "only what was touched is written, and that once");
                        match has_more {
                            true => begun = Some((expected, most)),
                            false => prop_assert_eq!(&written, &expected, "it is as it was when the save began"),
                        }
                    }
                    2 | 3 => {
                        prop_assert_eq!(keys.remove(&key), model.remove(&key));
                        touched.insert(key);
                    }
                    4 if key % 4 == 0 => {
                        keys.retain(|_, state| {
                            *state += 1;
                            *state % 5 > 0
                        });
                        for key in model.keys() {
                            touched.insert(*key);
                        }
                        model.values_mut().for_each(|state| *state += 1);
                        model.retain(|_, state| *state % 5 > 0);
                    }
                    5 => {
                        if let Some(state) = keys.get_mut(&key) {
                            *state = number;
                            model.insert(key, number);
                            touched.insert(key);
                        }
                    }
                    _ => {
                        *keys.get_or_default(key) = number;
                        model.insert(key, number);
                        touched.insert(key);
                    }
                }
                prop_assert!(keys.notes.changed.len() <= 2 * keys.len() + 65);
            }
            if begun.is_some() {
                write(&mut keys, Save::slice(true, None, Save::default()), &mut written);
            }
            write(&mut keys, Save::new(false), &mut written);
            prop_assert_eq!(&written, &everything(&keys));
            let mut again = Keys::<u8, u32>::new();
            for ((_, key), value) in &written {
                again.load(Saved { version: 0, key, value }).unwrap();
            }
            prop_assert!(model.iter().eq(again.iter().collect::<BTreeMap<_, _>>()));
        }
    }
}
