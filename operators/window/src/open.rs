//! What is open on one worker: by span, the accumulator of each key that has events in it.

use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use tidemill::hash::{group_of, stable_hash};
use tidemill::{Key, State, StateError};

/// By the window's start or the pane's number. None of them is empty.
pub(crate) type Open<K, Acc> = BTreeMap<i64, FxHashMap<K, Acc>>;

/// The keys of a span that begins, with room for as many as one that has ended had. `sizes` has those, and each makes room
/// once: else one large span would make all that are open after it as large.
#[cold]
pub(crate) fn begin<K, Acc>(sizes: &mut Vec<usize>) -> FxHashMap<K, Acc> {
    FxHashMap::with_capacity_and_hasher(sizes.pop().unwrap_or(0), Default::default())
}

/// The state of each key group, for [`Kernel::snapshot`](tidemill::Kernel::snapshot).
pub(crate) fn snapshot<K: Key, Acc: State>(open: &Open<K, Acc>) -> Vec<(u8, Vec<u8>)> {
    let mut groups: BTreeMap<u8, BTreeMap<i64, BTreeMap<&K, &Acc>>> = BTreeMap::new();
    for (&span, keys) in open {
        for (key, acc) in keys {
            let spans = groups.entry(group_of(stable_hash(key))).or_default();
            spans.entry(span).or_default().insert(key, acc);
        }
    }
    // Into memory, of types that derive `Serialize`: the encoder has no way to fail.
    groups.into_iter().map(|(group, spans)| (group, postcard::to_stdvec(&spans).unwrap_or_default())).collect()
}

/// Adds what [`snapshot`] gave of one key group.
pub(crate) fn restore<K: Key, Acc: State>(open: &mut Open<K, Acc>, state: &[u8]) -> Result<(), StateError> {
    let spans: BTreeMap<i64, BTreeMap<K, Acc>> = postcard::from_bytes(state)?;
    for (span, keys) in spans {
        open.entry(span).or_default().extend(keys);
    }
    Ok(())
}
