//! What operators write down for a checkpoint: entries by key group and key.

use crate::hash::{group_of, stable_hash};
use crate::kernel::StateError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Instant;

/// Where an operator writes down its state: entries by key group and key, which take the place of entries written before.
#[derive(Clone, Debug, Default)]
pub struct Save {
    /// Whether everything is asked for, not only what has changed since the last time.
    pub all: bool,
    /// Where it is one of several slices.
    slice: Option<Slice>,
    bytes: Vec<u8>,
    /// Of each entry its group, where its key begins in `bytes`, where that ends, and whether a value follows, up to the
    /// next entry.
    entries: Vec<(u8, usize, usize, bool)>,
    failure: Option<StateError>,
}

/// A part of what is written, made in one go.
#[derive(Clone, Copy, Debug)]
struct Slice {
    /// Whether there were others before.
    goes_on: bool,
    /// When it ends, if there is more.
    until: Option<Instant>,
    /// How many entries to write between two looks at the clock.
    at_once: usize,
    /// Whether some have been.
    worked: bool,
    /// Whether there is more.
    is_over: bool,
}

/// Entries that are written together: they wait for memory together.
const AT_ONCE: usize = 64;

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

    /// For what has changed, or for a part of it: what can be written until `until`. Slices after the first go on. The memory
    /// is that of `spare`.
    pub(crate) fn slice(goes_on: bool, until: Option<Instant>, mut spare: Save) -> Self {
        spare.bytes.clear();
        spare.entries.clear();
        let slice = Slice { goes_on, until, at_once: AT_ONCE, worked: false, is_over: false };
        Save { slice: Some(slice), entries: spare.entries, bytes: spare.bytes, ..Save::default() }
    }

    /// The shortest slice there is, for tests.
    pub(crate) fn sliver(goes_on: bool) -> Self {
        let slice = Slice { goes_on, until: Some(Instant::now()), at_once: 1, worked: false, is_over: false };
        Save { slice: Some(slice), ..Save::default() }
    }

    /// Whether this is the first slice, or all there is: what is to be written is what is there now.
    pub fn begins(&self) -> bool {
        self.slice.is_none_or(|slice| !slice.goes_on)
    }

    /// How many entries to write before [`Save::is_over`] is asked again.
    pub(crate) fn at_once(&self) -> usize {
        self.slice.map_or(AT_ONCE, |slice| slice.at_once)
    }

    /// Whether what is left is to be written in another slice, asked before every few entries.
    pub(crate) fn is_over(&mut self) -> bool {
        self.slice.as_mut().is_some_and(|slice| {
            slice.is_over |=
                std::mem::replace(&mut slice.worked, true) && slice.until.is_some_and(|until| Instant::now() >= until);
            slice.is_over
        })
    }

    /// Whether there is more to be written than this.
    pub(crate) fn has_more(&self) -> bool {
        self.slice.is_some_and(|slice| slice.is_over)
    }

    /// Takes what another has.
    pub(crate) fn append(&mut self, other: &mut Save) {
        let start = self.bytes.len();
        self.bytes.append(&mut other.bytes);
        self.entries.extend(
            other.entries.drain(..).map(|(group, key, value, there)| (group, start + key, start + value, there)),
        );
        if let Some(failure) = other.failure.take() {
            self.failure.get_or_insert(failure);
        }
    }

    /// The memory it holds, in bytes.
    pub(crate) fn room(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * size_of::<(u8, usize, usize, bool)>()
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
