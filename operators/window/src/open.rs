//! What is open on one worker: by span, the accumulator of each key that has events in it.

use tidemill::{Keys, WindowedKeys};

/// By the window's start or the pane's number. None of them is empty.
pub(crate) type Open<K, Acc> = WindowedKeys<K, Acc>;

/// The keys of a span that begins, with room for as many as one that has ended had. `sizes` has those, and each makes room
/// once: else one large span would make all that are open after it as large.
#[cold]
pub(crate) fn begin<K, Acc>(sizes: &mut Vec<usize>) -> Keys<K, Acc> {
    Keys::with_capacity(sizes.pop().unwrap_or(0))
}
