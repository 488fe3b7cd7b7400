//! What everything here is counted from: who met which item when.

use serde::{Deserialize, Serialize};
use tidemill::differential_dataflow::consolidation::consolidate;
use tidemill::{Key, Millis, Record, Seq, Update};

/// An owner's event with an item. The owner is whoever the item's neighbours in time say something about: a user, a session,
/// a basket.
///
/// The operators of this crate take changes of which touches hold: one comes (`diff` 1), late ones too, or it is taken back
/// (-1) because it was cancelled, is too old, or its user is forgotten. What they keep is at every epoch a function of the
/// touches that hold then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Touch<U, I> {
    /// Whose event it is.
    pub owner: U,
    /// When, in ms since 1970 UTC.
    pub time: Millis,
    /// Where it came from, which orders an owner's touches of the same time.
    pub seq: Seq,
    /// With what.
    pub item: I,
}

/// An owner's touches, in order of time and place.
pub(crate) type Touches<I> = Vec<(Millis, Seq, I)>;

/// Makes an epoch's changes of one owner's touches. Gives the places between which they differ now: so many at the start and
/// so many at the end are as they were.
///
/// A touch that is taken back and is not there is left alone, and so is one that comes again: whoever says so has a fault, and
/// it must not take anything else with it.
pub(crate) fn change<U: Key, I: Key>(touches: &mut Touches<I>, changes: &mut Vec<Record<Update<Touch<U, I>>>>) -> Same {
    let before = touches.len();
    let mut same = Same { start: before, end: before };
    // A touch may come and be taken back in one epoch, or be taken back and come again.
    let net = |change: Record<Update<Touch<U, I>>>| {
        let Update { row, diff } = change.value;
        ((row.time, row.seq, row.item), diff)
    };
    let mut net: Vec<_> = changes.drain(..).map(net).collect();
    consolidate(&mut net);
    for (touch, diff) in net {
        let place = touches.partition_point(|other| *other < touch);
        let there = touches.get(place) == Some(&touch);
        if (diff > 0) == there {
            continue;
        }
        same.start = same.start.min(place);
        if there {
            touches.remove(place);
            same.end = same.end.min(touches.len() - place);
        } else {
            same.end = same.end.min(touches.len() - place);
            touches.insert(place, touch);
        }
    }
    same.start = same.start.min(touches.len());
    same.end = same.end.min(before - same.start).min(touches.len() - same.start);
    same
}

/// What a list that has changed has in common with what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Same {
    /// At the start, so many.
    pub start: usize,
    /// At the end.
    pub end: usize,
}
