//! How far the job's sources are, epoch by epoch, so that none runs away from the others.
//!
//! Timely's channels are unbounded: a partition read far ahead of the others piles up in every
//! operator that waits for the watermark. So at epoch `e` a partition gives only records up to a
//! bound computed from the watermarks of epoch `e - LAG`, which all workers know by then: the
//! result is the same whatever their speed.

use crate::tide::Tide;
use crate::time::{BEGINNING, Epoch, Millis};
use std::collections::BTreeMap;

/// Epochs between a watermark and its use.
pub(crate) const LAG: Epoch = 4;

/// The progress of all sources that hold the watermark, as one worker knows it.
#[derive(Default)]
pub(crate) struct Alignment {
    sources: Vec<Progress>,
}

struct Progress {
    holds: bool,
    /// Every epoch through this one is known.
    closed: Epoch,
    done: bool,
    /// The source's tide from each epoch where it moved.
    moves: BTreeMap<Epoch, Tide>,
}

impl Alignment {
    /// Adds a source; returns its index.
    pub fn add(&mut self, holds: bool) -> usize {
        self.sources.push(Progress { holds, closed: 0, done: false, moves: BTreeMap::from([(0, Tide::UNKNOWN)]) });
        self.sources.len() - 1
    }

    /// Source `index` was at `tide` at the end of `epoch`.
    pub fn moved(&mut self, index: usize, epoch: Epoch, tide: Tide, done: bool) {
        let source = &mut self.sources[index];
        source.moves.insert(epoch, tide);
        source.done = done;
    }

    /// What is to be kept of source `index`: its moves, and whether it has ended.
    pub fn keep(&self, index: usize) -> (Vec<(Epoch, Tide)>, bool) {
        let source = &self.sources[index];
        (source.moves.iter().map(|(epoch, tide)| (*epoch, *tide)).collect(), source.done)
    }

    /// Goes on from what was kept of source `index`.
    pub fn recall(&mut self, index: usize, moves: Vec<(Epoch, Tide)>, done: bool) {
        let source = &mut self.sources[index];
        source.moves.extend(moves);
        source.done = done;
    }

    /// Everything through `epoch` is known of source `index`.
    pub fn close(&mut self, index: usize, epoch: Epoch) {
        let source = &mut self.sources[index];
        source.closed = epoch;
        let old = epoch.saturating_sub(3 * LAG);
        if let Some((&keep, _)) = source.moves.range(..=old).next_back() {
            while source.moves.first_key_value().is_some_and(|(&e, _)| e < keep) {
                source.moves.pop_first();
            }
        }
    }

    /// Whether what decides about `epoch` is known.
    pub fn ready(&self, epoch: Epoch) -> bool {
        self.sources.iter().all(|s| s.closed >= epoch.saturating_sub(LAG))
    }

    /// Whether every source has ended.
    pub fn all_done(&self) -> bool {
        self.sources.iter().all(|s| s.done)
    }

    /// The least watermark at the end of `epoch` of the sources that hold it. It goes back where an idle source comes
    /// back behind the others: then they wait for it.
    fn watermark(&self, epoch: Epoch) -> Millis {
        let at = |s: &Progress| s.moves.range(..=epoch).next_back().map_or(Tide::UNKNOWN, |(_, &tide)| tide);
        Tide::UNKNOWN.then(self.sources.iter().filter(|s| s.holds).map(at)).watermark
    }

    /// The watermark that decides about `epoch`, and the latest event time a partition may give
    /// in it: `ahead` beyond that watermark, or beyond what twice `LAG` epochs have lately
    /// covered if that is more, for the watermark known is `LAG` epochs old.
    pub fn bound(&self, epoch: Epoch, ahead: Millis) -> (Millis, Millis) {
        let now = self.watermark(epoch.saturating_sub(LAG));
        let before = self.watermark(epoch.saturating_sub(2 * LAG));
        let pace = if before == BEGINNING { 0 } else { now.saturating_sub(before).saturating_mul(2) };
        let bound = if now == BEGINNING { BEGINNING } else { now.saturating_add(ahead.max(pace)) };
        (now, bound)
    }
}
