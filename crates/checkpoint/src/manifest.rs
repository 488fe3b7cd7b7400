//! The manifest: what a checkpoint consists of. A checkpoint exists when its manifest does.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;

/// What a checkpoint consists of, and what a job needs to go on from it.
///
/// Written as JSON, in one line with its checksum before it; bytes are base64.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Increases from checkpoint to checkpoint, and never comes again in one store.
    pub id: u64,
    /// Which history the epochs belong to; a restore that cannot continue it starts another.
    pub lineage: String,
    /// The epoch the state is true at the end of.
    pub epoch: u64,
    /// Every part needed to restore, oldest first: of a key, the last part that has it counts.
    pub parts: Vec<PartRef>,
    /// The operators with state.
    #[serde(default)]
    pub operators: Vec<OperatorInfo>,
    /// Where the sources are.
    #[serde(default)]
    pub sources: Vec<SourcePosition>,
    /// What the sinks need to go on.
    #[serde(default)]
    pub sinks: Vec<SinkPosition>,
    /// Whatever else the engine keeps.
    #[serde(default, with = "base64_map")]
    pub extra: BTreeMap<String, Vec<u8>>,
    /// Whether somebody has asked for it, so that it is kept until somebody drops it.
    #[serde(default)]
    pub savepoint: bool,
    /// When it was made, in milliseconds since 1970.
    #[serde(default)]
    pub created_ms: u64,
    /// Workers of the job that made it.
    #[serde(default)]
    pub workers: u32,
    /// Processes of the job that made it.
    #[serde(default)]
    pub processes: u32,
    /// The engine that made it.
    #[serde(default)]
    pub engine_version: String,
}

/// A part that a manifest lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRef {
    /// Its name in the store.
    pub path: String,
    /// Whether it stands alone.
    pub kind: PartKind,
    /// Key groups its entries are of, from the first to one beyond the last.
    pub groups: Range<u16>,
    /// Its size.
    pub bytes: u64,
    /// Its entries, deletions included.
    pub entries: u64,
    /// CRC-32C of its footer, which holds those of its blocks.
    pub checksum: u32,
}

impl PartRef {
    /// The name of a part written for checkpoint `id`, which `label` tells from the others of that checkpoint.
    pub(crate) fn path_of(id: u64, label: &str) -> String {
        format!("part-{id:020}-{label}")
    }

    /// The checkpoint that the part (or what a crash left of it) named `path` was written for, if it is one.
    pub(crate) fn id_of(path: &str) -> Option<u64> {
        path.strip_prefix("part-")?.split_once('-')?.0.parse().ok()
    }
}

/// Whether a part stands alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PartKind {
    /// All the state of its groups.
    Base,
    /// What changed since the checkpoint before.
    Delta,
}

/// An operator with state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorInfo {
    /// Its name in the graph, which its entries carry.
    pub name: String,
    /// What it does.
    pub kind: String,
    /// The type of its keys.
    pub key_type: String,
    /// The type of its state.
    pub state_type: String,
    /// The version of that type's encoding.
    pub version: u32,
    /// How a state is encoded, as far as that can be told: names and types of fields.
    #[serde(default)]
    pub shape: String,
}

/// Where one partition of a source is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourcePosition {
    /// The source's name in the graph.
    pub name: String,
    /// The partition.
    pub partition: u32,
    /// The source's position in its own encoding.
    #[serde(with = "base64_bytes")]
    pub state: Vec<u8>,
    /// Records read, or whatever the source counts by: for people to see.
    pub offset: u64,
}

/// What a sink needs to go on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkPosition {
    /// The sink's name in the graph.
    pub name: String,
    /// In the sink's own encoding.
    #[serde(with = "base64_bytes")]
    pub state: Vec<u8>,
}

/// The envelope, which all formats share: the checksum is taken over format and body.
const HEAD: &str = r#"{"format":"tidemill-checkpoint/"#;
const FORMAT: &str = "1";
const BEFORE_CHECKSUM: &str = r#"","crc32c":""#;
const BEFORE_MANIFEST: &str = r#"","manifest":"#;
const TAIL: &str = "}\n";

impl Manifest {
    /// The name of the manifest of checkpoint `id`.
    pub fn path(id: u64) -> String {
        format!("manifest-{id:020}.json")
    }

    /// The checkpoint whose manifest has the name `path`, if it is one's.
    pub fn id_of(path: &str) -> Option<u64> {
        let digits = path.strip_prefix("manifest-")?.strip_suffix(".json")?;
        (digits.len() == 20).then(|| digits.parse().ok())?
    }

    /// Bytes of all its parts.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let body = serde_json::to_string(self).map_err(|e| Error::storage(&Self::path(self.id), &e))?;
        let checksum = checksum_of(FORMAT, &body);
        Ok([HEAD, FORMAT, BEFORE_CHECKSUM, &checksum, BEFORE_MANIFEST, &body, TAIL].concat().into_bytes())
    }

    /// Every byte is either fixed or under the checksum, so none can change unseen.
    pub(crate) fn decode(path: &str, bytes: &[u8]) -> Result<Self> {
        let damaged = |reason: String| Error::corrupt(path, format!("0..{}", bytes.len()), reason);
        let cut = || damaged("it is cut off or overwritten".to_owned());
        let text = std::str::from_utf8(bytes).map_err(|e| damaged(e.to_string()))?;
        let (format, text) = text.strip_prefix(HEAD).and_then(|t| t.split_once(BEFORE_CHECKSUM)).ok_or_else(cut)?;
        let (checksum, text) = text.split_once(BEFORE_MANIFEST).ok_or_else(cut)?;
        let body = text.strip_suffix(TAIL).ok_or_else(cut)?;
        if checksum != checksum_of(format, body) {
            return Err(damaged("its checksum does not fit".to_owned()));
        }
        if format != FORMAT {
            return Err(Error::Newer { path: path.to_owned(), format: format.to_owned() });
        }
        let manifest: Self = serde_json::from_str(body).map_err(|e| damaged(e.to_string()))?;
        if Self::path(manifest.id) != path {
            return Err(damaged(format!("it is the manifest of checkpoint {}", manifest.id)));
        }
        Ok(manifest)
    }
}

fn checksum_of(format: &str, body: &str) -> String {
    format!("{:08x}", crc32c::crc32c_append(crc32c::crc32c(format.as_bytes()), body.as_bytes()))
}

mod base64_bytes {
    use base64::prelude::{BASE64_STANDARD, Engine};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        BASE64_STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

mod base64_map {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::collections::BTreeMap;

    #[derive(Serialize, Deserialize)]
    struct Bytes(#[serde(with = "super::base64_bytes")] Vec<u8>);

    pub fn serialize<S: Serializer>(map: &BTreeMap<String, Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(map.iter().map(|(name, bytes)| (name, Bytes(bytes.clone()))))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Vec<u8>>, D::Error> {
        let map = BTreeMap::<String, Bytes>::deserialize(deserializer)?;
        Ok(map.into_iter().map(|(name, bytes)| (name, bytes.0)).collect())
    }
}
