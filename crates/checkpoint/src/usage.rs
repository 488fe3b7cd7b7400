//! What each operator has in a checkpoint.

use crate::error::Result;
use crate::manifest::Manifest;
use crate::store::Store;
use serde::Serialize;
use std::collections::BTreeMap;

/// What an operator has in the parts of a checkpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Entries of all parts: a key that changed counts in each, so there are as many keys or fewer.
    pub entries: u64,
    /// Of those, entries that say that a key was deleted.
    pub deletions: u64,
    /// Bytes in the parts.
    pub bytes: u64,
    /// Bytes before compression.
    pub raw_bytes: u64,
}

impl Store {
    /// What each operator has in a checkpoint, by the footers of its parts.
    pub fn usage(&self, manifest: &Manifest) -> Result<BTreeMap<String, Usage>> {
        let mut operators = BTreeMap::<String, Usage>::new();
        for part in &manifest.parts {
            let footer = self.footer(part)?;
            for block in &footer.blocks {
                let usage = operators.entry(footer.operators[block.operator as usize].clone()).or_default();
                usage.entries += u64::from(block.entries);
                usage.deletions += u64::from(block.deletions);
                usage.bytes += u64::from(block.length);
                usage.raw_bytes += u64::from(block.raw);
            }
        }
        Ok(operators)
    }

    /// The keys each operator has in a checkpoint, which takes reading all of it.
    pub fn keys(&self, manifest: &Manifest) -> Result<BTreeMap<String, u64>> {
        let mut operators = BTreeMap::<String, u64>::new();
        self.read(manifest, 0..256, |operator, _, _, _| {
            match operators.get_mut(operator) {
                Some(keys) => *keys += 1,
                None => _ = operators.insert(operator.to_owned(), 1),
            }
            Ok::<_, crate::Error>(())
        })?;
        Ok(operators)
    }
}
