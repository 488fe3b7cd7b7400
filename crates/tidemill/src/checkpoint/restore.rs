//! The checkpoint that a job begins with.

use super::Restore;
use crate::error::{Error, Result};
use crate::hash::{KEY_GROUPS, owner_of};
use crate::time::Epoch;
use serde::de::DeserializeOwned;
use tidemill_checkpoint::{Manifest, Store};

/// The checkpoint that a job begins with.
pub(crate) struct Restored {
    pub manifest: Manifest,
    store: Store,
}

impl Restored {
    /// Finds the checkpoint that is asked for; or else the lineage of a job that has begun and come to none yet.
    pub fn find(store: &Store, which: Restore) -> Result<(Option<Self>, Option<String>)> {
        let failed = |error: tidemill_checkpoint::Error| Error::Checkpoint(error.to_string());
        let (manifest, begun) = match which {
            Restore::None => (None, None),
            Restore::Id(id) => (Some(store.load(id).map_err(failed)?), None),
            Restore::Latest | Restore::Newest => {
                // A restore that comes upon damage midway has nowhere to go back to.
                let latest = store.latest_verified().map_err(failed)?;
                for (id, error) in &latest.skipped {
                    tracing::warn!(checkpoint = id, "checkpoint {id} is passed over: {error}");
                }
                if latest.manifest.is_none() && (which == Restore::Latest || !latest.skipped.is_empty()) {
                    let there = if latest.skipped.is_empty() { "is no" } else { "is no whole" };
                    return Err(Error::Checkpoint(format!(
                        "there {there} checkpoint to restore: give the folder that has one, or `--restore none` to begin anew"
                    )));
                }
                (latest.manifest, latest.begun)
            }
        };
        if let Some(manifest) = &manifest {
            tracing::info!(
                checkpoint = manifest.id,
                epoch = manifest.epoch,
                "going on from checkpoint {}",
                manifest.id
            );
        }
        Ok((manifest.map(|manifest| Restored { manifest, store: store.clone() }), begun))
    }

    /// The epoch at whose end the checkpoint was.
    pub fn epoch(&self) -> Epoch {
        self.manifest.epoch
    }

    /// Gives the entries that an operator wrote of the groups that `worker` of `peers` owns.
    pub fn entries(
        &self,
        operator: &str,
        (worker, peers): (usize, usize),
        mut entry: impl FnMut(u8, &[u8], &[u8]) -> Result<()>,
    ) -> Result<()> {
        let mine = |group: &usize| owner_of(*group as u8, peers) == worker;
        let Some(first) = (0..KEY_GROUPS).find(mine) else { return Ok(()) };
        let end = (first..KEY_GROUPS).take_while(mine).count() + first;
        let groups = first as u16..end as u16;
        let mut failure = None;
        let read = self.store.read_operator(&self.manifest, operator, groups, |group, key, value| {
            entry(group, key, value).map_err(|error| {
                failure = Some(error);
                tidemill_checkpoint::Error::NotFound(operator.to_owned())
            })
        });
        match (failure, read) {
            (Some(error), _) => Err(error),
            (None, read) => read.map_err(|error| Error::Checkpoint(error.to_string())),
        }
    }

    /// The version of an operator's state.
    pub fn version(&self, operator: &str) -> u32 {
        self.manifest.operators.iter().find(|at| at.name == operator).map_or(0, |at| at.version)
    }

    /// Something small that was kept.
    pub fn extra<T: DeserializeOwned>(&self, kind: &str, name: &str) -> Result<Option<T>> {
        self.manifest.extra.get(&format!("{kind} of {name}")).map(|bytes| self.decode(name, bytes)).transpose()
    }

    /// The position of a partition.
    pub fn position<T: DeserializeOwned>(&self, source: &str, partition: usize) -> Result<Option<T>> {
        let position = self.manifest.sources.iter().find(|at| at.name == source && at.partition as usize == partition);
        position.map(|position| self.decode(source, &position.state)).transpose()
    }

    /// How many partitions a source had.
    pub fn partitions(&self, source: &str) -> usize {
        self.manifest.sources.iter().filter(|at| at.name == source).count()
    }

    /// What a sink saved.
    pub fn sink(&self, sink: &str) -> Option<Vec<u8>> {
        self.manifest.sinks.iter().find(|at| at.name == sink).map(|at| at.state.clone())
    }

    fn decode<T: DeserializeOwned>(&self, name: &str, bytes: &[u8]) -> Result<T> {
        postcard::from_bytes(bytes).map_err(|error| {
            let id = self.manifest.id;
            Error::Checkpoint(format!(
                "what checkpoint {id} has of `{name}` cannot be decoded ({error}): was a type changed?"
            ))
        })
    }
}
