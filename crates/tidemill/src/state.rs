//! Keyed state: what it must be able to do, and how it is written down.

use crate::hash::{group_of, stable_hash};
use crate::kernel::StateError;
use crate::stream::Key;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;

/// What an operator keeps per key. The engine snapshots it, so it must be possible to write down.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the state of an operator",
    note = "derive `Clone, Default, Serialize, Deserialize`",
    note = "more in `tidemill::guide`, \"When the compiler complains\""
)]
pub trait State: Clone + Default + Serialize + DeserializeOwned + 'static {}
#[diagnostic::do_not_recommend]
impl<S: Clone + Default + Serialize + DeserializeOwned + 'static> State for S {}

/// Encodes keyed state by key group, keys in order, as [`crate::Kernel::snapshot`] wants it.
pub fn by_group<K: Key, S: Serialize, H: BuildHasher>(keys: &HashMap<K, S, H>) -> Vec<(u8, Vec<u8>)> {
    let mut groups: BTreeMap<u8, BTreeMap<&K, &S>> = BTreeMap::new();
    for (key, state) in keys {
        groups.entry(group_of(stable_hash(key))).or_default().insert(key, state);
    }
    let encode = |keys: BTreeMap<&K, &S>| {
        let keys: Vec<_> = keys.into_iter().collect();
        // Into memory, of types that derive `Serialize`: the encoder has no way to fail.
        postcard::to_stdvec(&keys).unwrap_or_default()
    };
    groups.into_iter().map(|(group, keys)| (group, encode(keys))).collect()
}

/// Decodes one key group that [`by_group`] encoded.
pub fn from_group<K: Key, S: DeserializeOwned>(state: &[u8]) -> Result<Vec<(K, S)>, StateError> {
    Ok(postcard::from_bytes(state)?)
}
