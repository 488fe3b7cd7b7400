//! Keyed state that knows what has changed since it was written down last.

use crate::kernel::StateError;
use crate::save::{Old, Save, Saved};
use crate::stream::Key;
use crate::time::Millis;
use rustc_hash::{FxHashMap, FxHashSet};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::hash_map::Entry;

/// The state of one worker's keys: a hash map that a kernel keeps its state in, so that a checkpoint costs what changed.
///
/// Nothing is noted before [`Keys::save`] is called for the first time, which writes down everything.
#[derive(Clone, Debug)]
pub struct Keys<K, S> {
    map: FxHashMap<K, Slot<S>>,
    /// The keys whose slot is marked as changed, some of which may be gone by now; those of them that came before `dense`.
    changed: Vec<K>,
    /// So many are marked that going through all is faster.
    dense: bool,
    /// Keys that were written down and are gone, unless they are in the map again.
    gone: FxHashSet<K>,
    tracks: bool,
}

#[derive(Clone, Debug)]
struct Slot<S> {
    state: S,
    /// Whether the state, as it was once, has been written down.
    saved: bool,
    /// Whether the key is in `changed`.
    changed: bool,
}

/// Slots that are looked at together.
const AT_ONCE: usize = 64;

/// Notes that a key has changed, of so many.
#[inline]
fn note<K: Clone>(changed: &mut Vec<K>, dense: &mut bool, keys: usize, key: &K) {
    if changed.len() > keys / 4 + 64 {
        *dense = true;
    } else {
        changed.push(key.clone());
    }
}

impl<K, S> Default for Keys<K, S> {
    fn default() -> Self {
        Keys { map: FxHashMap::default(), changed: Vec::new(), dense: false, gone: FxHashSet::default(), tracks: false }
    }
}

impl<K, S> Keys<K, S> {
    /// No keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// No keys, and room for this many.
    pub fn with_capacity(keys: usize) -> Self {
        Keys { map: FxHashMap::with_capacity_and_hasher(keys, Default::default()), ..Self::default() }
    }

    /// For how many keys there is room.
    pub fn capacity(&self) -> usize {
        self.map.capacity()
    }

    /// How many keys have state.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether no key has state.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Every key with its state, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &S)> {
        self.map.iter().map(|(key, slot)| (key, &slot.state))
    }
}

impl<K: Key, S> Keys<K, S> {
    /// A key's state.
    pub fn get(&self, key: &K) -> Option<&S> {
        self.map.get(key).map(|slot| &slot.state)
    }

    /// A key's state, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut S> {
        let keys = self.map.len();
        let slot = self.map.get_mut(key)?;
        if self.tracks && !slot.changed {
            slot.changed = true;
            note(&mut self.changed, &mut self.dense, keys, key);
        }
        Some(&mut slot.state)
    }

    /// A key's state, to be changed; `make` makes that of a new key.
    pub fn get_or_insert_with(&mut self, key: K, make: impl FnOnce(&K) -> S) -> &mut S {
        let keys = self.map.len();
        match self.map.entry(key) {
            Entry::Occupied(slot) => {
                if self.tracks && !slot.get().changed {
                    note(&mut self.changed, &mut self.dense, keys, slot.key());
                }
                let slot = slot.into_mut();
                slot.changed = self.tracks;
                &mut slot.state
            }
            Entry::Vacant(slot) => {
                let saved = self.tracks && self.gone.remove(slot.key());
                if self.tracks {
                    note(&mut self.changed, &mut self.dense, keys, slot.key());
                }
                let state = make(slot.key());
                &mut slot.insert(Slot { state, saved, changed: self.tracks }).state
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
        let keys = self.map.len();
        self.map.retain(|key, slot| {
            let kept = keep(key, &mut slot.state);
            if !kept && slot.saved {
                self.gone.insert(key.clone());
            }
            if kept && self.tracks && !slot.changed {
                slot.changed = true;
                note(&mut self.changed, &mut self.dense, keys, key);
            }
            kept
        });
        self.shrink();
    }

    /// Drops a key, and gives its state.
    pub fn remove(&mut self, key: &K) -> Option<S> {
        let (key, slot) = self.map.remove_entry(key)?;
        if slot.saved {
            self.gone.insert(key);
        }
        self.shrink();
        Some(slot.state)
    }

    /// As [`Keys::save`], of states that are written in several entries: `put` writes what is new of a key's, or everything
    /// where [`Save::all`] says so. `touch` reads what `put` will: for many keys at once, so that they wait for memory
    /// together. What was written of keys that are gone is left to the caller.
    pub fn save_by(&mut self, save: &mut Save, touch: impl Fn(&S) -> i64, mut put: impl FnMut(&K, &mut S, &mut Save)) {
        let all = save.all;
        self.for_changed(all, touch, |key, slot| put(key, &mut slot.state, save));
    }

    /// Goes through the slots that have changed since the last time, or all.
    fn for_changed(&mut self, all: bool, touch: impl Fn(&S) -> i64, mut take: impl FnMut(&K, &mut Slot<S>)) {
        let changed = std::mem::take(&mut self.changed);
        let all = all || !self.tracks;
        let mut take = |key: &K, slot: &mut Slot<S>| {
            slot.changed = false;
            take(key, slot);
        };
        if all || self.dense {
            let mut slots = self.map.iter_mut().filter(|(_, slot)| all || slot.changed);
            let mut some = Vec::with_capacity(AT_ONCE);
            loop {
                some.extend(slots.by_ref().take(AT_ONCE));
                if some.is_empty() {
                    break;
                }
                std::hint::black_box(some.iter().fold(0, |sum, (_, slot)| sum ^ touch(&slot.state)));
                some.drain(..).for_each(|(key, slot)| take(key, slot));
            }
        } else {
            for some in changed.chunks(AT_ONCE) {
                let slots = some.iter().filter_map(|key| self.map.get(key));
                std::hint::black_box(slots.fold(0, |sum, slot| sum ^ touch(&slot.state)));
                for key in some {
                    if let Some(slot) = self.map.get_mut(key).filter(|slot| slot.changed) {
                        take(key, slot);
                    }
                }
            }
        }
        (self.tracks, self.dense) = (true, false);
    }

    /// Adds the state of a key as it was written down by [`Keys::save_by`].
    pub fn put_back(&mut self, key: K, state: S) {
        self.tracks = true;
        self.map.insert(key, Slot { state, saved: false, changed: false });
    }

    /// Drops from `changed` what is gone, once that is most of it.
    fn shrink(&mut self) {
        if self.dense {
            return;
        }
        if self.changed.len() > 2 * self.map.len() + 64 {
            let changed = self.map.iter().filter(|(_, slot)| slot.changed);
            self.changed = changed.map(|(key, _)| key.clone()).collect();
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
        let slot = self.map.get_mut(&key).ok_or_else(|| StateError("the key is not equal to itself".to_owned()))?;
        Ok((key, &mut slot.state))
    }

    /// The same of the keys of one window.
    pub(crate) fn save_in(&mut self, window: Option<Millis>, save: &mut Save) {
        let gone = std::mem::take(&mut self.gone);
        let all = save.all;
        self.for_changed(
            all,
            |_| 0,
            |key, slot| {
                slot.saved = true;
                match window {
                    None => save.put(key, key, &slot.state),
                    Some(window) => save.put(key, &(window, key), &slot.state),
                }
            },
        );
        for key in &gone {
            match window {
                None => save.gone(key, key),
                Some(window) => save.gone(key, &(window, key)),
            }
        }
    }

    /// Adds what is written down.
    pub(crate) fn loaded(&mut self, key: K, state: S) -> &mut S {
        self.tracks = true;
        &mut self.map.entry(key).insert_entry(Slot { state, saved: true, changed: false }).into_mut().state
    }
}

impl<K: Key, S> Keys<K, S> {
    /// Everything in it, and the keys that are written down.
    pub(crate) fn into_parts(self) -> (impl Iterator<Item = (K, S)>, Vec<K>) {
        let saved = self.map.iter().filter(|(_, slot)| slot.saved).map(|(key, _)| key.clone());
        let saved = saved.chain(self.gone).collect();
        (self.map.into_iter().map(|(key, slot)| (key, slot.state)), saved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    type Written = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

    fn write(keys: &mut Keys<u8, u32>, all: bool, written: &mut Written) -> usize {
        let mut save = Save::new(all);
        keys.save(&mut save);
        for entry in save.entries() {
            let place = (entry.group, entry.key.to_vec());
            match entry.value {
                Some(value) => _ = written.insert(place, value.to_vec()),
                None => _ = written.remove(&place),
            }
        }
        save.entries().count()
    }

    proptest! {
        #[test]
        fn what_changed_makes_what_is(steps in prop::collection::vec((0..7u8, 0..12u8), 0..300)) {
            let (mut keys, mut model, mut written) = (Keys::new(), BTreeMap::new(), Written::new());
            let mut touched = std::collections::BTreeSet::new();
            let mut first = true;
            for (number, (step, key)) in (0u32..).zip(steps) {
                match step {
                    0 => {
                        let count = write(&mut keys, false, &mut written);
                        prop_assert!(first || count <= touched.len(), "only what was touched is written");
                        (first, touched) = (false, Default::default());
                        let mut all = Written::new();
                        write(&mut keys.clone(), true, &mut all);
                        prop_assert_eq!(&written, &all);
                    }
                    1 | 2 => {
                        prop_assert_eq!(keys.remove(&key), model.remove(&key));
                        touched.insert(key);
                    }
                    6 => {
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
                    3 => {
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
                prop_assert!(keys.changed.len() <= 2 * keys.len() + 65);
            }
            write(&mut keys, false, &mut written);
            let mut again = Keys::<u8, u32>::new();
            for ((_, key), value) in &written {
                again.load(Saved { version: 0, key, value }).unwrap();
            }
            prop_assert!(model.iter().eq(again.iter().collect::<BTreeMap<_, _>>()));
        }
    }
}
