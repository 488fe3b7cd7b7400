//! Dropping old checkpoints.

use crate::error::{Error, Result};
use crate::manifest::{Manifest, PartRef};
use crate::store::{Store, begun, reached};
use std::collections::{BTreeMap, BTreeSet};

/// What [`Store::prune`] dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Checkpoints, newest first.
    pub checkpoints: Vec<u64>,
    /// Parts that no checkpoint lists any more.
    pub parts: Vec<String>,
    /// Files of the epoch log that no checkpoint needs any more.
    pub logs: Vec<String>,
}

impl Store {
    /// Drops one checkpoint, also a savepoint; its parts go with the next [`Store::prune`]. It must be there.
    pub fn drop_checkpoint(&self, id: u64) -> Result<()> {
        self.storage.size(&Manifest::path(id)).map_err(|error| match error {
            Error::NotFound(_) => Error::NotFound(format!("checkpoint {id}")),
            error => error,
        })?;
        self.storage.delete(&Manifest::path(id))?;
        self.storage.sync()
    }

    /// Drops all but the newest `keep` whole checkpoints (at least one) and the savepoints, the parts that no checkpoint lists
    /// then, and of the epoch log what none needs.
    ///
    /// Manifests go first, so that a crash leaves no checkpoint without its parts. Of the parts only those go that were
    /// written for a checkpoint up to the newest whole one, and that no [`Compacted`](crate::Compacted) of this store
    /// holds: what is being written stays. A damaged manifest that is newer stays too, and with it every part, since it
    /// may list any.
    pub fn prune(&self, keep: usize) -> Result<Pruned> {
        let (mut pruned, mut newest, mut kept, mut listed) = (Pruned::default(), None, 0, BTreeSet::new());
        // Of each lineage that is kept the oldest epoch.
        let (mut certain, mut epochs) = (true, BTreeMap::new());
        for id in self.ids()? {
            let manifest = reached(if newest.is_some() && kept >= keep { self.load(id) } else { self.whole(id) })?;
            match manifest {
                Ok(manifest) if kept < keep.max(1) || manifest.savepoint => {
                    // Whoever goes back to an old savepoint does not want what came after it.
                    if !manifest.savepoint || newest.is_none() {
                        // A job that went back has checkpoints of later epochs before those of earlier ones.
                        let oldest = epochs.entry(manifest.lineage.clone()).or_insert(manifest.epoch);
                        *oldest = manifest.epoch.min(*oldest);
                    }
                    newest = newest.or(Some(id));
                    kept += usize::from(!manifest.savepoint);
                    listed.extend(manifest.parts.into_iter().map(|part| part.path));
                }
                Err(_) if newest.is_none() => certain = false,
                _ => {
                    self.storage.delete(&Manifest::path(id))?;
                    pruned.checkpoints.push(id);
                }
            }
        }
        let Some(newest) = newest.filter(|_| certain) else { return Ok(pruned) };
        self.storage.sync()?;
        let old = |path: &str| PartRef::id_of(path).is_some_and(|id| id <= newest);
        for path in self.storage.list()? {
            if old(&path) && !listed.contains(&path) && !self.claims.contains(&path) {
                self.storage.delete(&path)?;
                pruned.parts.push(path);
            }
        }
        self.storage.drop_unfinished(|path| old(path) && !self.claims.contains(path))?;
        for name in self.storage.list()? {
            match begun(&name) {
                Some((id, _)) if id <= newest => self.storage.delete(&name)?,
                Some((_, lineage)) => _ = epochs.entry(lineage.to_owned()).or_insert(0),
                None => {}
            }
        }
        pruned.logs = self.prune_log(&epochs)?;
        Ok(pruned)
    }
}
