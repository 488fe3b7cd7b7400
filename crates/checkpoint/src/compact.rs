//! Compaction: a base and its deltas become one base, without a look at what is in them.

use crate::error::Result;
use crate::manifest::{Manifest, PartKind, PartRef};
use crate::store::Store;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Deltas in a row after which a chain is compacted, however small they are: each costs a restore a few requests.
const LONGEST: usize = 64;

/// Paths of parts that [`Store::prune`] keeps away from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claims(Arc<Mutex<BTreeSet<String>>>);

impl Claims {
    pub fn contains(&self, path: &str) -> bool {
        self.paths().contains(path)
    }

    fn claim(&self, path: String) -> Claim {
        self.paths().insert(path.clone());
        Claim { path, claims: self.clone() }
    }

    fn paths(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps [`Store::prune`] away from one part.
#[derive(Debug)]
struct Claim {
    path: String,
    claims: Claims,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.paths().remove(&self.path);
    }
}

/// New bases for a checkpoint's parts.
///
/// They are pruned as any part that no manifest lists, but not while this value is there: keep it until a checkpoint
/// that lists them is committed.
#[derive(Debug)]
pub struct Compacted {
    /// The bases.
    pub parts: Vec<PartRef>,
    /// The parts they stand for.
    pub replaces: Vec<PartRef>,
    _claims: Vec<Claim>,
}

impl Compacted {
    /// Replaces the old parts of a later checkpoint, at the front of its list, by the new ones. Says whether it did:
    /// not if the list does not start with exactly those, as after a restore of another checkpoint.
    #[must_use]
    pub fn apply(&self, parts: &mut Vec<PartRef>) -> bool {
        let fits = parts.starts_with(&self.replaces);
        if fits {
            parts.splice(..self.replaces.len(), self.parts.iter().cloned());
        }
        fits
    }
}

/// Whether a checkpoint's chain of deltas has grown long enough to be compacted: beyond half the bytes of its bases,
/// or beyond 64 deltas for each of them.
pub fn should_compact(manifest: &Manifest) -> bool {
    let (bases, deltas): (Vec<_>, Vec<_>) = manifest.parts.iter().partition(|part| part.kind == PartKind::Base);
    let bytes = |parts: &[&PartRef]| parts.iter().map(|part| part.bytes).sum::<u64>();
    !deltas.is_empty() && (2 * bytes(&deltas) > bytes(&bases) || deltas.len() > LONGEST * bases.len().max(1))
}

impl Store {
    /// Merges all parts of a checkpoint into one base for each of `ranges` equal ranges of key groups, at least one.
    /// Meant for a thread of its own while further checkpoints are made: [`Compacted::apply`] puts the bases into one
    /// of those. What was deleted is gone from them.
    pub fn compact(&self, manifest: &Manifest, ranges: u16) -> Result<Compacted> {
        let ranges = ranges.clamp(1, 256);
        let mut compacted = Compacted { parts: Vec::new(), replaces: manifest.parts.clone(), _claims: Vec::new() };
        for range in 0..u32::from(ranges) {
            let first = |range| (256 * range / u32::from(ranges)) as u16;
            if let Some((part, claim)) = self.base_of(manifest, first(range)..first(range + 1))? {
                compacted.parts.push(part);
                compacted._claims.push(claim);
            }
        }
        Ok(compacted)
    }

    /// One base of some groups; none if they have no state.
    fn base_of(&self, manifest: &Manifest, groups: Range<u16>) -> Result<Option<(PartRef, Claim)>> {
        // The time makes the name one that an attempt before a crash cannot have taken.
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let label = format!("compacted-{}-{}-{time:x}", groups.start, groups.end);
        let claim = self.claims.claim(PartRef::path_of(manifest.id, &label));
        let mut writer = self.stream_part(manifest.id, &label, PartKind::Base);
        self.read(manifest, groups, |operator, group, key, value| writer.put(operator, group, key, Some(value)))?;
        if writer.entries() == 0 {
            return Ok(None);
        }
        let part = self.finish_part(writer)?;
        Ok(Some((part, claim)))
    }
}
