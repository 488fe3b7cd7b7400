//! Wherever a job ends, in whatever call storage fails, the checkpoint before stays whole and the job can go on.

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error as Failure, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as Done, UploadPart,
};
use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::Duration;
use tidemill_checkpoint::{Error, Manifest, PartKind, PartRef, PartWriter, Result, Store};

/// How many calls are still served, and whether the first one that is not has its effect all the same.
#[derive(Debug, Clone)]
struct Calls {
    left: Arc<AtomicI64>,
    effect: bool,
}

impl Calls {
    /// Whether a call is carried out, and what it gives if not `Ok`.
    fn next(&self) -> (bool, Done<()>) {
        match self.left.fetch_sub(1, Ordering::SeqCst) {
            1.. => (true, Ok(())),
            left => (self.effect && left == 0, Err(full())),
        }
    }
}

fn full() -> Failure {
    let source = std::io::Error::from(std::io::ErrorKind::StorageFull).into();
    Failure::Generic { store: "faulty", source }
}

/// A store in memory that fails after some calls.
#[derive(Debug, Clone)]
struct Faulty {
    inner: Arc<InMemory>,
    calls: Calls,
}

impl std::fmt::Display for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("faulty")
    }
}

macro_rules! call {
    ($self:ident, $what:expr) => {{
        let (runs, result) = $self.calls.next();
        let done = if runs { Some($what) } else { None };
        result?;
        done.ok_or_else(full)?
    }};
}

#[async_trait::async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> Done<PutResult> {
        call!(self, self.inner.put_opts(at, payload, options).await)
    }
    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Done<Box<dyn MultipartUpload>> {
        let inner = call!(self, self.inner.put_multipart_opts(at, options).await)?;
        Ok(Box::new(FaultyUpload { inner, calls: self.calls.clone() }))
    }
    async fn get_opts(&self, at: &Path, options: GetOptions) -> Done<GetResult> {
        call!(self, self.inner.get_opts(at, options).await)
    }
    fn delete_stream(&self, at: BoxStream<'static, Done<Path>>) -> BoxStream<'static, Done<Path>> {
        match self.calls.next() {
            (_, Ok(())) => self.inner.delete_stream(at),
            (true, Err(_)) => self.inner.delete_stream(at).map(|_| Err(full())).boxed(),
            (false, Err(error)) => stream::iter([Err(error)]).boxed(),
        }
    }
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Done<ObjectMeta>> {
        self.inner.list(prefix)
    }
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Done<ListResult> {
        call!(self, self.inner.list_with_delimiter(prefix).await)
    }
    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Done<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct FaultyUpload {
    inner: Box<dyn MultipartUpload>,
    calls: Calls,
}

#[async_trait::async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (_, result) = self.calls.next();
        let put = self.inner.put_part(data);
        Box::pin(async { result.and(put.await) })
    }
    async fn complete(&mut self) -> Done<PutResult> {
        call!(self, self.inner.complete().await)
    }
    async fn abort(&mut self) -> Done<()> {
        self.inner.abort().await
    }
}

type Model = BTreeMap<u64, Vec<u8>>;

/// Noise, so that a few of them make more than one piece of an upload.
fn value(seed: u64) -> Vec<u8> {
    let mix = |i: u64| (seed ^ (i << 20)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).wrapping_mul(0xbf58_476d);
    (0..75_000u64).flat_map(|i| mix(i).to_le_bytes()).collect()
}

/// A checkpoint of two parts, one stored as it is written; `model` has the state and `parts` the chain before and after.
fn checkpoint(store: &Store, kind: PartKind, model: &mut Model, parts: &mut Vec<PartRef>) -> Result<Manifest> {
    let id = store.next_id()?;
    let mut next = model.clone();
    let mut large = store.stream_part(id, "worker-0", kind);
    let mut small = PartWriter::new(kind);
    for key in 0..20 {
        let value = value(100 * id + key);
        if key % 8 == 0 {
            small.put("totals", 200, &key.to_be_bytes(), Some(&value[..9]))?;
            next.insert(key, value[..9].to_vec());
        } else {
            large.put("totals", key as u8, &key.to_be_bytes(), Some(&value))?;
            next.insert(key, value);
        }
    }
    let mut chain = parts.clone();
    chain.push(store.finish_part(large)?);
    chain.push(store.put_part(id, "worker-1", small.finish()?)?);
    let manifest = Manifest { id, parts: chain, ..Manifest::default() };
    store.commit(&manifest)?;
    (*model, *parts) = (next, manifest.parts.clone());
    Ok(manifest)
}

fn read(store: &Store, manifest: &Manifest) -> Model {
    let mut model = Model::new();
    let visit = |_: &str, _, key: &[u8], value: &[u8]| {
        model.insert(u64::from_be_bytes(key.try_into().unwrap()), value.to_vec());
        Ok::<_, Error>(())
    };
    store.read(manifest, 0..256, visit).unwrap();
    model
}

/// A job that makes a checkpoint, compacts, makes another and prunes. `committed` has the state of each checkpoint made,
/// and last that of one that was not known to be.
fn job(store: &Store, model: &mut Model, committed: &mut Vec<Model>) -> Result<()> {
    let latest = store.latest()?;
    let before = latest.manifest.expect("there is one before the job starts");
    let mut parts = before.parts.clone();
    let manifest = checkpoint(store, PartKind::Delta, model, &mut parts)?;
    committed.push(model.clone());
    let compacted = store.compact(&manifest, 2)?;
    assert!(compacted.apply(&mut parts));
    checkpoint(store, PartKind::Delta, model, &mut parts)?;
    committed.push(model.clone());
    drop(compacted);
    store.prune(1)?;
    Ok(())
}

fn crash_everywhere(effect: bool) {
    for calls in 0.. {
        let inner = Arc::new(InMemory::new());
        let whole = Store::with(inner.clone(), "jobs/fraud").unwrap();
        let mut model = Model::new();
        checkpoint(&whole, PartKind::Base, &mut model, &mut Vec::new()).unwrap();
        let mut committed = vec![model.clone()];
        let faulty = Faulty { inner, calls: Calls { left: Arc::new(AtomicI64::new(calls)), effect } };
        let done = job(&Store::with(Arc::new(faulty), "jobs/fraud").unwrap(), &mut model, &mut committed);
        if let Err(error) = &done {
            assert!(matches!(error, Error::Storage { .. }), "{error}");
        }

        // After the crash: nothing to pass over, and the state of the last commit, or of one whose answer was lost.
        let latest = whole.latest().unwrap();
        let manifest = latest.manifest.unwrap();
        assert!(latest.skipped.is_empty(), "after {calls} calls: {:?}", latest.skipped);
        assert!(whole.verify(&manifest).unwrap().is_empty());
        let found = read(&whole, &manifest);
        if manifest.id as usize == committed.len() {
            assert!(found == committed[committed.len() - 1], "after {calls} calls");
        } else {
            assert!(effect && done.is_err() && manifest.id as usize > committed.len(), "after {calls} calls");
        }
        // The next run goes on, and leaves nothing behind.
        let (mut model, mut parts) = (found, manifest.parts);
        let last = checkpoint(&whole, PartKind::Delta, &mut model, &mut parts).unwrap();
        let pruned = whole.prune(1).unwrap();
        assert!(read(&whole, &last) == model);
        assert!(whole.prune(1).unwrap().parts.is_empty());
        if done.is_ok() {
            assert!(calls > 20, "the job makes more calls than {calls}");
            assert!(pruned.parts.is_empty(), "{pruned:?}");
            return;
        }
    }
}

#[test]
fn a_call_that_fails_without_effect() {
    crash_everywhere(false);
}

#[test]
fn a_call_that_fails_when_it_had_its_effect() {
    crash_everywhere(true);
}

/// What a crash in the middle of a write leaves in a folder is no part, is in nobody's way, and goes.
#[test]
fn half_a_file_is_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path().join("new/folder").to_str().unwrap()).unwrap();
    let half = folder.path().join("new/folder/part-00000000000000000001-worker-1#1");
    fs::write(&half, "TIDEPART").unwrap();
    fs::write(folder.path().join("new/folder/notes.txt"), "mine").unwrap();
    let mut model = Model::new();
    checkpoint(&store, PartKind::Base, &mut model, &mut Vec::new()).unwrap();
    assert!(store.prune(3).unwrap().parts.is_empty());
    assert!(!half.exists() && folder.path().join("new/folder/notes.txt").exists());
    let manifest = store.latest().unwrap().manifest.unwrap();
    assert!(read(&store, &manifest) == model);
}

#[test]
fn one_job_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Store::open(folder.path().to_str().unwrap()).unwrap();
    let (first, second) = (open(), open());
    let lock = first.lock(Duration::ZERO).unwrap();
    assert!(matches!(second.lock(Duration::ZERO), Err(Error::Locked(_))));
    // Reading is always possible.
    assert!(second.latest().unwrap().manifest.is_none());
    // Whoever is about to end is waited for.
    let _lock = thread::scope(|scope| {
        let waits = scope.spawn(|| second.lock(Duration::from_secs(60)));
        drop(lock);
        waits.join().unwrap().unwrap()
    });

    // Where there is no lock, the second to write a checkpoint is refused.
    let part = |store: &Store, value| {
        let mut part = PartWriter::new(PartKind::Base);
        part.put("totals", 0, b"key", Some(value)).unwrap();
        store.put_part(1, "all", part.finish().unwrap())
    };
    let parts = vec![part(&first, b"a").unwrap()];
    assert_eq!(part(&first, b"a").unwrap(), parts[0], "a retry is no other job");
    assert!(matches!(part(&second, b"b"), Err(Error::Exists(_))));
    let manifest = Manifest { id: 1, parts, ..Manifest::default() };
    first.commit(&manifest).unwrap();
    first.commit(&manifest).unwrap();
    assert!(matches!(second.commit(&Manifest { epoch: 7, ..manifest.clone() }), Err(Error::Exists(_))));
    fs::remove_file(folder.path().join("part-00000000000000000001-all")).unwrap();
    assert!(matches!(first.commit(&Manifest { id: 2, ..manifest }), Err(Error::Unwritten(_))));
    assert_eq!(first.list().unwrap().len(), 1);
}
