//! The store: checkpoints of one job in one place.

use crate::compact::Claims;
use crate::error::{Error, Result};
use crate::manifest::{Manifest, PartKind, PartRef};
use crate::part::{Footer, MAGIC, Part, PartWriter, TAIL};
use crate::storage::{Lock, Storage, Upload};
use object_store::ObjectStore;
use std::sync::Arc;
use std::time::Duration;

/// Bytes read from the end of a part at once, which most footers fit.
const FOOTER: u64 = 64 << 10;

/// The checkpoints of one job, in a folder or a bucket.
///
/// Clones share one place and may be used from any thread. Calls block, so none may be made within an async runtime.
///
/// - A file appears whole and durable, or not at all; none is ever changed, or written over.
/// - A checkpoint exists when its manifest does, which [`Store::commit`] writes last.
#[derive(Clone)]
pub struct Store {
    pub(crate) storage: Storage,
    /// Compacted parts that no manifest lists yet, which [`Store::prune`] keeps away from.
    pub(crate) claims: Claims,
}

/// What [`Store::list`] has to say about a checkpoint.
#[derive(Debug)]
pub struct Listed {
    /// Which.
    pub id: u64,
    /// Its manifest, or why it cannot be read.
    pub manifest: Result<Manifest>,
}

/// What [`Store::latest`] found.
#[derive(Debug, Default)]
pub struct Latest {
    /// The newest whole checkpoint; none where there is none at all, or where a job has begun anew since.
    pub manifest: Option<Manifest>,
    /// The lineage of a job that has begun anew after all checkpoints, and has none of its own yet.
    pub begun: Option<String>,
    /// Newer checkpoints that were passed over, newest first, and why.
    pub skipped: Vec<(u64, Error)>,
}

impl Store {
    /// Opens a store: a folder that exists, `file:///folder`, or, where the build has the features, `s3://bucket/path`,
    /// `gs://bucket/path` or `az://container/path`, whose settings come from the environment (`AWS_REGION`,
    /// `AWS_ENDPOINT` and so on).
    pub fn open(address: &str) -> Result<Self> {
        Ok(Self::on(Storage::open(address, false)?))
    }

    /// As [`Store::open`], but makes a folder that does not exist yet.
    pub fn create(address: &str) -> Result<Self> {
        Ok(Self::on(Storage::open(address, true)?))
    }

    /// A store in any object store, below `prefix`.
    pub fn with(objects: Arc<dyn ObjectStore>, prefix: &str) -> Result<Self> {
        Ok(Self::on(Storage::with(objects, prefix.into(), None)?))
    }

    fn on(storage: Storage) -> Self {
        Store { storage, claims: Claims::default() }
    }

    /// Holds a folder for one job: a second one waits for `patience`, and is refused if the lock has not been dropped by
    /// then, nor its process ended. In a bucket there is nothing to hold; there, a second job is refused when it would
    /// write a checkpoint that the first has.
    pub fn lock(&self, patience: Duration) -> Result<Lock> {
        Lock::take(&self.storage, patience)
    }

    /// An id above those of all checkpoints and parts that are there, the damaged and the unfinished among them: where
    /// a job's checkpoints go on from.
    pub fn next_id(&self) -> Result<u64> {
        let names = self.storage.list()?;
        let id = |name: &String| Manifest::id_of(name).or(PartRef::id_of(name)).or(begun(name).map(|(id, _)| id));
        Ok(names.iter().filter_map(id).max().map_or(1, |id| id + 1))
    }

    /// Notes that a job begins anew here, so that it is known by its lineage before it has a checkpoint. `id` is
    /// [`Store::next_id`]'s.
    pub fn begin(&self, id: u64, lineage: &str) -> Result<()> {
        self.storage.create(&format!("{BEGUN}{id:020}-{lineage}"), Vec::new())
    }

    /// Stores a part for checkpoint `id`. Its label, of letters, digits and `-`, tells it from the checkpoint's others.
    pub fn put_part(&self, id: u64, label: &str, part: Part) -> Result<PartRef> {
        let path = PartRef::path_of(id, label);
        let (part, bytes) = described(part, &path);
        match self.storage.create(&path, bytes) {
            // A retry whose first attempt had arrived, unknown to us.
            Err(Error::Exists(_)) if self.footer(&part).is_ok() => Ok(part),
            done => done.map(|()| part),
        }
    }

    /// A part for checkpoint `id` that is stored while it is written; [`Store::finish_part`] ends it.
    pub fn stream_part(&self, id: u64, label: &str, kind: PartKind) -> PartWriter<Upload> {
        PartWriter::to(self.storage.upload(PartRef::path_of(id, label)), kind)
    }

    /// Ends a part that [`Store::stream_part`] began.
    pub fn finish_part(&self, writer: PartWriter<Upload>) -> Result<PartRef> {
        let part = writer.finish()?;
        let path = part.out.path().to_owned();
        let (part, upload) = described(part, &path);
        upload.finish()?;
        Ok(part)
    }

    /// Makes a checkpoint of parts that are stored. Nothing is written if one of them is not as listed.
    pub fn commit(&self, manifest: &Manifest) -> Result<()> {
        for part in &manifest.parts {
            match self.storage.size(&part.path) {
                Ok(size) if size == part.bytes => {}
                Ok(_) | Err(Error::NotFound(_)) => return Err(Error::Unwritten(part.path.clone())),
                Err(error) => return Err(error),
            }
        }
        let (path, bytes) = (Manifest::path(manifest.id), manifest.encode()?);
        match self.storage.create(&path, bytes.clone()) {
            Err(Error::Exists(_)) if self.storage.read(&path).is_ok_and(|there| there == bytes) => Ok(()),
            done => done,
        }
    }

    /// All checkpoints, newest first, by their manifests; parts are not looked at.
    pub fn list(&self) -> Result<Vec<Listed>> {
        let ids = self.ids()?;
        Ok(ids.into_iter().map(|id| Listed { id, manifest: self.load(id) }).collect())
    }

    /// The newest checkpoint that is whole, and those passed over since they are torn, damaged or lack a part. Parts
    /// are looked at as far as is cheap: that they are there, of their size, with their footer. Storage that fails, or a
    /// checkpoint of a later format, is an error, never a reason to go back in time.
    pub fn latest(&self) -> Result<Latest> {
        self.newest(|id| self.whole(id))
    }

    /// As [`Store::latest`], but reads all parts in full, so that damage within one is found before anything is made of it.
    pub fn latest_verified(&self) -> Result<Latest> {
        self.newest(|id| {
            let manifest = self.whole(id)?;
            self.verify(&manifest)?.into_iter().next().map_or(Ok(manifest), Err)
        })
    }

    fn newest(&self, look: impl Fn(u64) -> Result<Manifest>) -> Result<Latest> {
        let (ids, mut skipped) = (self.ids()?, Vec::new());
        let names = self.storage.list()?;
        let begun = names.iter().filter_map(|name| begun(name)).max();
        if let Some((id, lineage)) = begun
            && ids.first().is_none_or(|newest| *newest < id)
        {
            return Ok(Latest { begun: Some(lineage.to_owned()), ..Latest::default() });
        }
        for id in ids {
            match reached(look(id))? {
                Ok(manifest) => return Ok(Latest { manifest: Some(manifest), skipped, begun: None }),
                Err(error) => skipped.push((id, error)),
            }
        }
        Ok(Latest { skipped, ..Latest::default() })
    }

    /// The manifest of checkpoint `id`.
    pub fn load(&self, id: u64) -> Result<Manifest> {
        let path = Manifest::path(id);
        match self.storage.read(&path) {
            Err(Error::NotFound(_)) => Err(Error::NotFound(format!("checkpoint {id}"))),
            bytes => Manifest::decode(&path, &bytes?),
        }
    }

    /// The manifest of a checkpoint whose parts are there, as far as is cheap to see.
    pub(crate) fn whole(&self, id: u64) -> Result<Manifest> {
        let manifest = self.load(id)?;
        manifest.parts.iter().try_for_each(|part| self.footer(part).map(|_| ()))?;
        Ok(manifest)
    }

    /// The ids of all manifests, newest first.
    pub(crate) fn ids(&self) -> Result<Vec<u64>> {
        let names = self.storage.list()?;
        Ok(names.iter().rev().filter_map(|name| Manifest::id_of(name)).collect())
    }

    /// The footer of a part, once part and footer are as the manifest says.
    pub(crate) fn footer(&self, part: &PartRef) -> Result<Footer> {
        match self.footer_of(part) {
            Err(Error::NotFound(_)) => Err(Error::corrupt(&part.path, format!("0..{}", part.bytes), "it is missing")),
            footer => footer,
        }
    }

    fn footer_of(&self, part: &PartRef) -> Result<Footer> {
        let path = &part.path;
        let wrong_size = |size: u64| {
            let reason = format!("the manifest says {} bytes", part.bytes);
            Error::corrupt(path, format!("its end, byte {size}"), reason)
        };
        if part.bytes < (MAGIC.len() + TAIL) as u64 {
            return Err(wrong_size(self.storage.size(path)?));
        }
        let from = part.bytes.saturating_sub(FOOTER);
        let (size, mut bytes) = match self.storage.range(path, from..part.bytes) {
            // A range beyond the end is refused: then the file is too short, if it is there at all.
            Err(error @ Error::Storage { .. }) => match self.storage.size(path)? {
                size if size < part.bytes => return Err(wrong_size(size)),
                _ => return Err(error),
            },
            found => found?,
        };
        if size != part.bytes {
            return Err(wrong_size(size));
        }
        let start = Footer::length(&bytes).and_then(|length| size.checked_sub(length));
        let start =
            start.ok_or_else(|| Error::corrupt(path, format!("{from}..{size}"), "the footer does not fit in"))?;
        if start < from {
            let mut before = self.storage.range(path, start..from)?.1;
            before.append(&mut bytes);
            bytes = before;
        } else {
            bytes.drain(..(start - from) as usize);
        }
        let (footer, checksum) = Footer::decode(path, size, &bytes)?;
        if checksum != part.checksum || footer.entries() != part.entries || footer.groups() != part.groups {
            return Err(Error::corrupt(path, format!("{start}..{size}"), "it is not the part that the manifest lists"));
        }
        Ok(footer)
    }
}

/// Begins the names of what [`Store::begin`] notes.
const BEGUN: &str = "begun-";

/// What [`Store::begin`] has noted.
pub(crate) fn begun(name: &str) -> Option<(u64, &str)> {
    let (id, lineage) = name.strip_prefix(BEGUN)?.split_once('-')?;
    Some((id.parse().ok()?, lineage))
}

fn described<W>(part: Part<W>, path: &str) -> (PartRef, W) {
    let Part { out, kind, groups, bytes, entries, checksum } = part;
    (PartRef { path: path.to_owned(), kind, groups, bytes, entries, checksum }, out)
}

/// Sets damage, which is news about a checkpoint, apart from what keeps us from looking.
pub(crate) fn reached<T>(found: Result<T>) -> Result<Result<T>> {
    match found {
        Err(error) if !error.is_damage() => Err(error),
        found => Ok(found),
    }
}
