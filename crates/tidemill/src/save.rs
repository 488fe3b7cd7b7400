//! What operators write down for a checkpoint: entries by key group and key.

use crate::hash::{group_of, stable_hash};
use crate::kernel::StateError;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Where an operator writes down its state: entries by key group and key, which take the place of entries written before.
#[derive(Debug, Default)]
pub struct Save {
    /// Whether everything is asked for, not only what has changed since the last time.
    pub all: bool,
    bytes: Vec<u8>,
    /// Of each entry its group, where its key begins in `bytes`, where that ends, and whether a value follows, up to the
    /// next entry.
    entries: Vec<(u8, usize, usize, bool)>,
    failure: Option<StateError>,
}

/// One entry as it was written down.
#[derive(Clone, Copy, Debug)]
pub struct Saved<'a> {
    /// The [`Kernel::version`](crate::Kernel::version) of the kernel that wrote it.
    pub version: u32,
    /// What was given to [`Save::put`] as place, encoded.
    pub key: &'a [u8],
    /// And as value.
    pub value: &'a [u8],
}

/// What an earlier version of an operator wrote down of a state: its fields, one after the other.
#[derive(Debug)]
pub struct Old<'a>(&'a [u8]);

impl<'a> Old<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Old(bytes)
    }

    /// Reads what comes next: the old type of the state, or its fields in their order.
    pub fn read<T: DeserializeOwned>(&mut self) -> Result<T, StateError> {
        let (value, rest) = postcard::take_from_bytes(self.0)?;
        self.0 = rest;
        Ok(value)
    }
}

/// A change of what is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    /// The key group.
    pub group: u8,
    /// The place, encoded.
    pub key: &'a [u8],
    /// The value, encoded; `None` where the entry is gone.
    pub value: Option<&'a [u8]>,
}

impl Save {
    /// Room for everything, or for what has changed.
    pub fn new(all: bool) -> Self {
        Save { all, ..Save::default() }
    }

    /// Room for what has changed, which is about as much as so many entries of so many bytes in all.
    pub(crate) fn like((entries, bytes): (usize, usize)) -> Self {
        Save { entries: Vec::with_capacity(entries), bytes: Vec::with_capacity(bytes), ..Save::default() }
    }

    /// How many entries are written, and bytes.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.entries.len(), self.bytes.len())
    }

    /// Writes an entry of `key`'s group: `value`, to be found by `place`, which is the key itself or contains it.
    pub fn put<K: Serialize, P: Serialize, V: Serialize>(&mut self, key: &K, place: &P, value: &V) {
        self.entry(group_of(stable_hash(key)), place, Some(value));
    }

    /// The entry of `key`'s group at `place` is gone.
    pub fn gone<K: Serialize, P: Serialize>(&mut self, key: &K, place: &P) {
        self.entry(group_of(stable_hash(key)), place, None::<&()>);
    }

    /// Writes an entry of `group`.
    pub(crate) fn entry<P: Serialize, V: Serialize>(&mut self, group: u8, place: &P, value: Option<&V>) {
        let start = self.bytes.len();
        self.encode(place);
        if self.failure.is_some() {
            return;
        }
        self.entries.push((group, start, self.bytes.len(), value.is_some()));
        if let Some(value) = value {
            self.encode(value);
        }
    }

    fn encode<T: Serialize>(&mut self, value: &T) {
        match postcard::to_extend(value, std::mem::take(&mut self.bytes)) {
            Ok(bytes) => self.bytes = bytes,
            Err(error) => {
                self.failure.get_or_insert(StateError(error.to_string()));
                self.entries.clear();
            }
        }
    }

    /// Whether everything could be encoded, which only a `Serialize` written by hand can prevent.
    pub fn check(&self) -> Result<(), StateError> {
        self.failure.clone().map_or(Ok(()), Err)
    }

    /// Everything written, in order.
    pub fn entries(&self) -> impl Iterator<Item = Change<'_>> {
        let ends = self.entries.iter().skip(1).map(|next| next.1).chain([self.bytes.len()]);
        self.entries.iter().zip(ends).map(|(&(group, start, middle, there), end)| Change {
            group,
            key: &self.bytes[start..middle],
            value: there.then(|| &self.bytes[middle..end]),
        })
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
