//! Where checkpoints are kept: a folder or a bucket, through `object_store`, one call at a time.

use crate::error::{Error, Result};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetOptions, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

/// Bytes of an upload sent at once. Buckets want at least 5 MiB.
const PIECE: usize = 8 << 20;

/// Between two tries to lock a folder.
const GLANCE: Duration = Duration::from_millis(20);

/// Calls block the thread, so none may be made within an async runtime.
#[derive(Clone)]
pub(crate) struct Storage {
    objects: Arc<dyn ObjectStore>,
    prefix: Path,
    /// The folder, where it is one.
    pub folder: Option<PathBuf>,
    runtime: Arc<Runtime>,
}

impl Storage {
    /// `create` makes a folder that does not exist yet.
    pub fn open(address: &str, create: bool) -> Result<Self> {
        let wrong = |reason: String| Error::Address { address: address.to_owned(), reason };
        let url = address.contains("://").then(|| url::Url::parse(address)).transpose();
        let url = url.map_err(|e| wrong(e.to_string()))?;
        let folder = match &url {
            None => PathBuf::from(address),
            Some(url) if url.scheme() == "file" => {
                url.to_file_path().map_err(|()| wrong("write file:///absolute/folder".to_owned()))?
            }
            Some(url) => {
                let options =
                    std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
                let (objects, prefix) = object_store::parse_url_opts(url, options).map_err(|e| {
                    wrong(format!("{e}; a bucket needs Tidemill built with the feature `s3`, `gcs` or `azure`"))
                })?;
                return Self::with(Arc::from(objects), prefix, None);
            }
        };
        if create {
            create_folder(&folder).map_err(|e| Error::storage(address, &e))?;
        } else if !folder.is_dir() {
            return Err(Error::NotFound(format!("folder `{address}`")));
        }
        let objects = LocalFileSystem::new_with_prefix(&folder).map_err(|e| wrong(e.to_string()))?.with_fsync(true);
        Self::with(Arc::new(objects), Path::default(), Some(folder))
    }

    pub fn with(objects: Arc<dyn ObjectStore>, prefix: Path, folder: Option<PathBuf>) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Error::storage("the thread that talks to storage", &e))?;
        Ok(Storage { objects, prefix, folder, runtime: Arc::new(runtime) })
    }

    /// Writes a file that must not exist; durable and whole, or not at all.
    pub fn create(&self, path: &str, bytes: Vec<u8>) -> Result<()> {
        let at = self.at(path);
        let put = self.objects.put_opts(&at, PutPayload::from(bytes), PutMode::Create.into());
        self.runtime.block_on(put).map(|_| ()).map_err(|e| failed(path, e))
    }

    /// A file that appears once it is finished.
    pub fn upload(&self, path: String) -> Upload {
        Upload { storage: self.clone(), path, buffer: Vec::new(), parts: None }
    }

    pub fn read(&self, path: &str) -> Result<Vec<u8>> {
        let read = async { self.objects.get(&self.at(path)).await?.bytes().await };
        self.runtime.block_on(read).map(Vec::from).map_err(|e| failed(path, e))
    }

    pub fn size(&self, path: &str) -> Result<u64> {
        self.runtime.block_on(self.objects.head(&self.at(path))).map(|meta| meta.size).map_err(|e| failed(path, e))
    }

    /// The file's size, and bytes of it.
    pub fn range(&self, path: &str, range: Range<u64>) -> Result<(u64, Vec<u8>)> {
        let read = async {
            let options = GetOptions::new().with_range(Some(range));
            let found = self.objects.get_opts(&self.at(path), options).await?;
            Ok((found.meta.size, Vec::from(found.bytes().await?)))
        };
        self.runtime.block_on(read).map_err(|e| failed(path, e))
    }

    pub fn ranges(&self, path: &str, ranges: &[Range<u64>]) -> Result<Vec<impl AsRef<[u8]> + use<>>> {
        self.runtime.block_on(self.objects.get_ranges(&self.at(path), ranges)).map_err(|e| failed(path, e))
    }

    /// The names of all files, in order.
    pub fn list(&self) -> Result<Vec<String>> {
        let listed = self.runtime.block_on(self.objects.list_with_delimiter(Some(&self.prefix)));
        let listed = listed.map_err(|e| failed("the list of files", e))?;
        let mut names: Vec<_> = listed.objects.iter().filter_map(|o| Some(o.location.filename()?.to_owned())).collect();
        names.sort();
        Ok(names)
    }

    /// Deletes a file; one that is not there is fine.
    pub fn delete(&self, path: &str) -> Result<()> {
        match self.runtime.block_on(self.objects.delete(&self.at(path))) {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            other => other.map_err(|e| failed(path, e)),
        }
    }

    /// Makes deletions in a folder durable.
    pub fn sync(&self) -> Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        sync_folder(folder).map_err(|e| Error::storage(&folder.display().to_string(), &e))
    }

    /// Deletes what crashes left of the files that `which` names: `object_store` writes `NAME#1` and then links it, and
    /// lists no such file.
    pub fn drop_unfinished(&self, which: impl Fn(&str) -> bool) -> Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let failed = |e: io::Error| Error::storage(&folder.display().to_string(), &e);
        for file in fs::read_dir(folder).map_err(failed)? {
            let file = file.map_err(failed)?;
            let name = file.file_name();
            if name.to_str().and_then(|name| name.rsplit_once('#')).is_some_and(|(name, _)| which(name)) {
                fs::remove_file(file.path()).map_err(failed)?;
            }
        }
        Ok(())
    }

    fn at(&self, path: &str) -> Path {
        self.prefix.clone().join(path)
    }
}

/// Writes one file. Small ones are written at once when they end, larger ones piece by piece.
pub struct Upload {
    storage: Storage,
    path: String,
    buffer: Vec<u8>,
    parts: Option<Box<dyn MultipartUpload>>,
}

impl Upload {
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn finish(mut self) -> Result<()> {
        let rest = std::mem::take(&mut self.buffer);
        if self.parts.is_none() {
            return self.storage.create(&self.path, rest);
        }
        self.send(rest)?;
        let Some(mut parts) = self.parts.take() else { return Ok(()) };
        self.storage.runtime.block_on(parts.complete()).map(|_| ()).map_err(|e| failed(&self.path, e))
    }

    fn send(&mut self, piece: Vec<u8>) -> Result<()> {
        let path = &self.path;
        let runtime = &self.storage.runtime;
        let parts = match &mut self.parts {
            Some(parts) => parts,
            None => {
                if self.storage.size(path).is_ok() {
                    return Err(Error::Exists(path.clone()));
                }
                let started = runtime.block_on(self.storage.objects.put_multipart(&self.storage.at(path)));
                self.parts.insert(started.map_err(|e| failed(path, e))?)
            }
        };
        runtime.block_on(parts.put_part(PutPayload::from(piece))).map_err(|e| failed(path, e))
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE {
            let piece = std::mem::take(&mut self.buffer);
            self.send(piece).map_err(io::Error::other)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Upload {
    /// What was sent of a file that is not finished is dropped, so that it takes no room; a failure leaves it there.
    fn drop(&mut self) {
        if let Some(mut parts) = self.parts.take() {
            let _ = self.storage.runtime.block_on(parts.abort());
        }
    }
}

/// Holds a folder for one job, until it is dropped or the process ends.
#[derive(Debug)]
#[must_use = "the lock is gone when this is dropped"]
pub struct Lock {
    _file: Option<File>,
}

impl Lock {
    pub(crate) fn take(storage: &Storage, patience: Duration) -> Result<Self> {
        let Some(folder) = &storage.folder else { return Ok(Lock { _file: None }) };
        let path = folder.join("lock");
        let failed = |e: io::Error| Error::storage(&path.display().to_string(), &e);
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        let until = Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { _file: Some(file) }),
                // A lock cannot be waited for with a deadline.
                Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(GLANCE),
                Err(TryLockError::WouldBlock) => return Err(Error::Locked(folder.display().to_string())),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }
}

fn failed(path: &str, error: object_store::Error) -> Error {
    match error {
        object_store::Error::NotFound { .. } => Error::NotFound(format!("`{path}`")),
        object_store::Error::AlreadyExists { .. } => Error::Exists(path.to_owned()),
        error => Error::storage(path, &error),
    }
}

/// Makes a folder and those above it, each written down in the one above.
fn create_folder(folder: &std::path::Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(std::path::Path::new("."));
    create_folder(above)?;
    match fs::create_dir(folder) {
        Err(error) if !folder.is_dir() => Err(error),
        _ => sync_folder(above),
    }
}

pub(crate) fn sync_folder(folder: &std::path::Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
