//! Keyed state by window.

use crate::kernel::StateError;
use crate::keys::Keys;
use crate::save::{Save, Saved};
use crate::stream::Key;
use crate::time::Millis;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::ops::RangeBounds;

/// The state of one worker's keys in each window that is open, found by the window's start or number: [`Keys`] for windows.
#[derive(Clone, Debug)]
pub struct WindowedKeys<K, S> {
    windows: BTreeMap<Millis, Keys<K, S>>,
    /// What was written down of windows that are closed.
    gone: Vec<(Millis, K)>,
    /// What of it the last save that has begun has not yet given.
    owed: Vec<(Millis, K)>,
    /// What a save that has begun owed when its window was closed.
    early: Save,
}

impl<K, S> Default for WindowedKeys<K, S> {
    fn default() -> Self {
        WindowedKeys { windows: BTreeMap::new(), gone: Vec::new(), owed: Vec::new(), early: Save::default() }
    }
}

impl<K, S> WindowedKeys<K, S> {
    /// No windows.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<K: Key, S> WindowedKeys<K, S> {
    /// The keys of a window; `make` makes those of a new one.
    pub fn get_or_insert_with(&mut self, window: Millis, make: impl FnOnce() -> Keys<K, S>) -> &mut Keys<K, S> {
        self.windows.entry(window).or_insert_with(make)
    }

    /// The first window.
    pub fn first(&self) -> Option<Millis> {
        self.windows.first_key_value().map(|(window, _)| *window)
    }

    /// The windows in `range`, in order.
    pub fn range(&self, range: impl RangeBounds<Millis>) -> impl Iterator<Item = (Millis, &Keys<K, S>)> {
        self.windows.range(range).map(|(window, keys)| (*window, keys))
    }

    /// Closes a window: takes out its keys, in no particular order.
    pub fn close(&mut self, window: Millis) -> impl Iterator<Item = (K, S)> + use<K, S> {
        let (keys, saved, mut owed) = self.windows.remove(&window).unwrap_or_default().into_parts();
        self.early.append(&mut owed);
        self.gone.extend(saved.into_iter().map(|key| (window, key)));
        keys
    }

    /// How many windows are open.
    pub fn len(&self) -> usize {
        self.windows.len()
    }

    /// Whether no window is open.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }
}

impl<K: Key, S: Serialize + DeserializeOwned> WindowedKeys<K, S> {
    /// Writes down what has changed since the last time, or everything, as [`crate::Kernel::save`] wants it.
    pub fn save(&mut self, save: &mut Save) {
        save.append(&mut self.early);
        if save.begins() {
            self.owed.append(&mut self.gone);
            self.owed.retain(|(window, key)| self.windows.get(window).is_none_or(|keys| keys.get(key).is_none()));
        }
        while !self.owed.is_empty() && !save.is_over() {
            let rest = self.owed.len().saturating_sub(save.at_once());
            self.owed.drain(rest..).for_each(|(window, key)| save.gone(&key, &(window, &key)));
        }
        for (window, keys) in &mut self.windows {
            keys.save_in(Some(*window), save);
        }
    }

    /// Takes back an entry that [`WindowedKeys::save`] wrote.
    pub fn load(&mut self, entry: Saved<'_>) -> Result<(), StateError> {
        let (window, key) = postcard::from_bytes(entry.key)?;
        self.windows.entry(window).or_default().loaded(key, postcard::from_bytes(entry.value)?);
        Ok(())
    }
}
