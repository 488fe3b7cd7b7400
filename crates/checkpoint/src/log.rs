//! The log beside the checkpoints of a folder: what came from outside in each epoch since, so that a job can form these
//! epochs again as they were.
//!
//! Each process of each run appends to a file of its own, and begins another after a checkpoint, so that what no checkpoint
//! needs any more can be dropped by the file. An append is one group: four bytes that begin it, its length, its CRC-32C, and
//! the entries. A group that a crash has torn is the last of its file, and nobody was told that it is safe.

use crate::error::{Error, Result};
use crate::storage::sync_folder;
use crate::store::Store;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Begins a group.
const BEGINS: [u8; 4] = *b"\xf5Tl1";
/// Bytes before a group's entries.
const HEAD: usize = 12;

/// What one worker says of an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// The epoch.
    pub epoch: u64,
    /// Which of the job's workers.
    pub worker: u32,
    /// How many the job has.
    pub workers: u32,
    /// Whether this is the worker's account of the epoch, one of which is needed of every worker, or an addition to it.
    pub account: bool,
    /// The engine's.
    pub body: Vec<u8>,
}

/// What a log has of the epochs after a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// The last epoch of which every worker's account is there, as of all before it; the checkpoint's if there is none.
    pub through: u64,
    /// The number of the next run.
    pub next_run: u64,
    /// What there is of these epochs, in their order.
    pub entries: Vec<LogEntry>,
    /// What there is of later epochs, which the job forms otherwise, by epoch and run.
    pub rest: Vec<LogEntry>,
}

/// Where a file of the log belongs, which is its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    lineage: String,
    run: u64,
    /// Through which epoch the run forms again those of runs before it; what these have of later ones is void.
    from: u64,
    process: u32,
    /// No entry in the files of this process and run before this one is of this epoch or a later one.
    first: u64,
}

impl Name {
    fn to_file(&self) -> String {
        let Name { lineage, run, from, process, first } = self;
        format!("log-{lineage}-{run:010}-{from:020}-{process:05}-{first:020}")
    }

    fn of_file(name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix("log-")?.split('-');
        let lineage = parts.next()?.to_owned();
        let mut number = || parts.next()?.parse::<u64>().ok();
        let (run, from, process, first) = (number()?, number()?, number()?, number()?);
        Some(Name { lineage, run, from, process: process.try_into().ok()?, first })
    }
}

impl Store {
    /// Whether a log can be kept here: only a folder can be appended to.
    pub fn can_log(&self) -> bool {
        self.storage.folder.is_some()
    }

    /// Begins what one process of run number `run` logs; the run forms again the epochs through `from` as they were.
    ///
    /// Fails where [`Store::can_log`] says that it cannot.
    pub fn write_log(&self, lineage: &str, run: u64, from: u64, process: u32) -> Result<LogWriter> {
        let folder = self.storage.folder.clone().ok_or_else(|| Error::Address {
            address: "the store".to_owned(),
            reason: "an epoch log needs a folder, for a bucket cannot be appended to".to_owned(),
        })?;
        let name = Name { lineage: lineage.to_owned(), run, from, process, first: from + 1 };
        Ok(LogWriter { folder, name, file: None, checkpoint: None, buffer: Vec::new() })
    }

    /// What the log of `lineage` has of the epochs after `epoch`, at whose end a checkpoint was. A torn end is left out; other
    /// damage is an error that names the file.
    pub fn read_log(&self, lineage: &str, epoch: u64) -> Result<Log> {
        let mut log = Log { through: epoch, next_run: 1, ..Log::default() };
        let Some(folder) = &self.storage.folder else { return Ok(log) };
        let names: Vec<Name> = names(folder)?.into_iter().filter(|name| name.lineage == lineage).collect();
        log.next_run = names.iter().map(|name| name.run + 1).max().unwrap_or(1);
        let mut entries: BTreeMap<(u64, u64, u32), Vec<LogEntry>> = BTreeMap::new();
        for name in &names {
            for entry in read(&folder.join(name.to_file()), &name.to_file())? {
                if entry.epoch > epoch {
                    entries.entry((entry.epoch, name.run, entry.worker)).or_default().push(entry);
                }
            }
        }
        // Of an epoch counts the account of the last run that formed it for the first time.
        let begins: BTreeMap<u64, u64> = names.iter().map(|name| (name.run, name.from)).collect();
        let counts = |run: u64, epoch: u64| begins.range(run + 1..).all(|(_, from)| *from >= epoch);
        loop {
            let next = log.through + 1;
            let of_next = entries.range((next, 0, 0)..(next + 1, 0, 0)).filter(|((_, run, _), _)| counts(*run, next));
            let accounts = of_next.flat_map(|(_, entries)| entries).filter(|entry| entry.account);
            let (mut said, mut workers) = (BTreeSet::new(), u32::MAX);
            for entry in accounts {
                said.insert(entry.worker);
                workers = entry.workers;
            }
            if said.len() < workers as usize {
                break;
            }
            log.through = next;
        }
        for ((epoch, run, _), entries) in entries {
            let of_epoch = epoch <= log.through && counts(run, epoch);
            if of_epoch { log.entries.extend(entries) } else { log.rest.extend(entries) }
        }
        Ok(log)
    }

    /// Drops the files that no checkpoint needs, where the oldest of each lineage was at the end of the epoch given.
    pub(crate) fn prune_log(&self, oldest: &BTreeMap<String, u64>) -> Result<Vec<String>> {
        let Some(folder) = &self.storage.folder else { return Ok(Vec::new()) };
        let all = names(folder)?;
        let needed = |name: &Name| {
            let Some(&epoch) = oldest.get(&name.lineage) else { return false };
            let of_lineage = all.iter().filter(|other| other.lineage == name.lineage);
            let mut later = of_lineage.filter(|other| match other.run == name.run {
                true => other.process == name.process && other.first > name.first,
                false => other.run > name.run,
            });
            !later.any(|later| if later.run == name.run { later.first <= epoch + 1 } else { later.from <= epoch })
        };
        let mut dropped = Vec::new();
        for name in all.iter().filter(|name| !needed(name)).map(Name::to_file) {
            self.storage.delete(&name)?;
            dropped.push(name);
        }
        Ok(dropped)
    }
}

/// Appends to the log of one process.
#[derive(Debug)]
pub struct LogWriter {
    folder: PathBuf,
    name: Name,
    file: Option<File>,
    /// The last checkpoint's epoch, if the file has entries of before it only.
    checkpoint: Option<u64>,
    buffer: Vec<u8>,
}

impl LogWriter {
    /// Appends entries, which are safe when this returns.
    pub fn append(&mut self, entries: &[LogEntry]) -> Result<()> {
        if let Some(epoch) = self.checkpoint
            && entries.iter().any(|entry| entry.epoch > epoch)
        {
            self.name.first = epoch + 1;
            (self.file, self.checkpoint) = (None, None);
        }
        let name = self.name.to_file();
        let failed = |error: io::Error| Error::storage(&name, &error);
        self.buffer.clear();
        self.buffer.extend_from_slice(&[0; HEAD]);
        let buffer = postcard::to_extend(&entries, std::mem::take(&mut self.buffer));
        self.buffer = buffer.map_err(|error| Error::storage(&name, &error))?;
        let length = u32::try_from(self.buffer.len() - HEAD).map_err(|_| Error::Storage {
            path: name.clone(),
            reason: "an epoch brings more than 4 GiB: read smaller ones".to_owned(),
        })?;
        let checksum = crc32c::crc32c(&self.buffer[HEAD..]);
        self.buffer[..4].copy_from_slice(&BEGINS);
        self.buffer[4..8].copy_from_slice(&length.to_le_bytes());
        self.buffer[8..HEAD].copy_from_slice(&checksum.to_le_bytes());
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let file =
                    File::options().create_new(true).append(true).open(self.folder.join(&name)).map_err(failed)?;
                sync_folder(&self.folder).map_err(failed)?;
                none.insert(file)
            }
        };
        file.write_all(&self.buffer).and_then(|()| file.sync_data()).map_err(failed)
    }

    /// Whether the file may have entries of `epoch` or of one before, so that [`LogWriter::checkpoint`] begins another.
    pub fn has_before(&self, epoch: u64) -> bool {
        epoch >= self.name.first
    }

    /// There is a checkpoint at the end of `epoch`: what is of later ones goes into another file.
    pub fn checkpoint(&mut self, epoch: u64) {
        if epoch >= self.name.first {
            self.checkpoint = Some(epoch);
        }
    }
}

/// The files of all logs in a folder, by lineage, run, process and epoch.
fn names(folder: &Path) -> Result<Vec<Name>> {
    let failed = |error: io::Error| Error::storage(&folder.display().to_string(), &error);
    let mut names = Vec::new();
    for file in fs::read_dir(folder).map_err(failed)? {
        names.extend(file.map_err(failed)?.file_name().to_str().and_then(Name::of_file));
    }
    names.sort();
    Ok(names)
}

/// The entries of a file, up to a torn end.
fn read(path: &Path, name: &str) -> Result<Vec<LogEntry>> {
    let bytes = match fs::read(path) {
        // Dropped in the meantime: not needed.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        bytes => bytes.map_err(|error| Error::storage(name, &error))?,
    };
    let (mut entries, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let Some((group, end)) = group(&bytes[at..]) else {
            let later = (at + 1..bytes.len()).filter(|&next| bytes[next..].starts_with(&BEGINS));
            if later.into_iter().any(|next| group(&bytes[next..]).is_some()) {
                let reason = "a group of entries is not as it was written, and others follow; without this file, the job forms \
                              the epochs since its last checkpoint anew, and sinks that have them already say so";
                return Err(Error::corrupt(name, format!("byte {at}"), reason));
            }
            break;
        };
        entries.extend(group);
        at += end;
    }
    Ok(entries)
}

/// The group that `bytes` begin with, if it is whole, and where it ends.
fn group(bytes: &[u8]) -> Option<(Vec<LogEntry>, usize)> {
    let head = bytes.get(..HEAD)?;
    let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let end = HEAD.checked_add(number(4) as usize)?;
    let body = bytes.get(HEAD..end).filter(|body| head.starts_with(&BEGINS) && crc32c::crc32c(body) == number(8))?;
    Some((postcard::from_bytes(body).ok()?, end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Manifest;
    use proptest::prelude::*;

    fn entry(epoch: u64, worker: u32, workers: u32) -> LogEntry {
        LogEntry { epoch, worker, workers, account: true, body: vec![epoch as u8, worker as u8] }
    }

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().to_str().unwrap()).unwrap();
        (folder, store)
    }

    fn files(folder: &tempfile::TempDir) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        files
    }

    #[test]
    fn an_epoch_counts_once_every_worker_has_said_what_it_brought() {
        let (_folder, store) = store();
        let mut log = [store.write_log("a", 1, 0, 0).unwrap(), store.write_log("a", 1, 0, 1).unwrap()];
        log[0].append(&[entry(1, 0, 2), entry(2, 0, 2)]).unwrap();
        assert_eq!(store.read_log("a", 0).unwrap().through, 0);
        log[1].append(&[entry(1, 1, 2)]).unwrap();
        let read = store.read_log("a", 0).unwrap();
        assert_eq!((read.through, read.next_run), (1, 2));
        assert_eq!(read.entries, [entry(1, 0, 2), entry(1, 1, 2)]);
        assert_eq!(read.rest, [entry(2, 0, 2)]);
        // The next run forms epoch 2 otherwise, and with one worker.
        let mut next = store.write_log("a", 2, 1, 0).unwrap();
        log[1].append(&[entry(2, 1, 2)]).unwrap();
        next.append(&[entry(2, 0, 1), entry(3, 0, 1)]).unwrap();
        let read = store.read_log("a", 0).unwrap();
        assert_eq!((read.through, read.next_run, read.entries.len(), read.rest.len()), (3, 3, 4, 2));
        // A run that was to form epoch 2 again, and did not get that far, has not made those of before void.
        store.write_log("a", 3, 3, 0).unwrap();
        assert_eq!(store.read_log("a", 2).unwrap().through, 3);
        assert_eq!(store.read_log("b", 0).unwrap(), Log { next_run: 1, ..Log::default() });
    }

    #[test]
    fn files_go_when_no_checkpoint_needs_them() {
        let (folder, store) = store();
        let mut log = store.write_log("a", 1, 0, 0).unwrap();
        log.append(&[entry(1, 0, 1), entry(2, 0, 1)]).unwrap();
        log.checkpoint(2);
        log.append(&[entry(3, 0, 1)]).unwrap();
        log.append(&[entry(4, 0, 1)]).unwrap();
        assert_eq!(files(&folder).len(), 2);
        let prune =
            |lineage: &str, epoch| store.prune_log(&BTreeMap::from([(lineage.to_owned(), epoch)])).unwrap().len();
        assert_eq!(prune("a", 1), 0);
        assert_eq!(prune("a", 2), 1);
        let mut next = store.write_log("a", 2, 4, 0).unwrap();
        next.append(&[entry(5, 0, 1)]).unwrap();
        assert_eq!(prune("a", 3), 0);
        assert_eq!(store.read_log("a", 3).unwrap().through, 5);
        assert_eq!(prune("a", 4), 1);
        assert_eq!(prune("b", 9), 1);
        assert!(files(&folder).is_empty());
    }

    #[test]
    fn a_job_that_went_back_keeps_what_it_forms_again() {
        let (folder, store) = store();
        let mut log = store.write_log("a", 1, 0, 0).unwrap();
        for epochs in [[1, 2], [3, 4], [5, 6]] {
            log.append(&epochs.map(|epoch| entry(epoch, 0, 1))).unwrap();
            log.checkpoint(epochs[1]);
        }
        for (id, epoch) in [(1, 2), (2, 4), (3, 2)] {
            store.commit(&Manifest { id, epoch, lineage: "a".to_owned(), ..Manifest::default() }).unwrap();
        }
        assert_eq!(store.prune(2).unwrap().logs.len(), 1);
        assert_eq!(store.read_log("a", 2).unwrap().through, 6, "{:?}", files(&folder));
    }

    proptest! {
        /// A file that ends anywhere gives the groups before, one with a changed byte is refused unless that is in its last
        /// group, and nothing is ever made up.
        #[test]
        fn a_torn_end_is_left_out_and_other_damage_is_said(
            groups in prop::collection::vec(1..5_u64, 1..6), cut in any::<prop::sample::Index>(),
            flip in any::<prop::sample::Index>(), bit in 0..8_u32,
        ) {
            let (folder, store) = store();
            let mut log = store.write_log("a", 1, 0, 0).unwrap();
            let (mut epoch, mut ends) = (0, vec![(0, 0)]);
            for entries in groups {
                let entries: Vec<_> = (1..=entries).map(|n| entry(epoch + n, 0, 1)).collect();
                log.append(&entries).unwrap();
                epoch += entries.len() as u64;
                ends.push((fs::metadata(&files(&folder)[0]).unwrap().len() as usize, epoch));
            }
            let path = &files(&folder)[0];
            let whole = fs::read(path).unwrap();
            let before = |byte: usize| ends.iter().rev().find(|(end, _)| *end <= byte).unwrap().1;

            let cut = cut.index(whole.len() + 1);
            fs::write(path, &whole[..cut]).unwrap();
            prop_assert_eq!(store.read_log("a", 0).unwrap().through, before(cut));

            let mut flipped = whole.clone();
            let flip = flip.index(whole.len());
            flipped[flip] ^= 1_u8 << bit;
            fs::write(path, &flipped).unwrap();
            if flip >= ends[ends.len() - 2].0 {
                prop_assert_eq!(store.read_log("a", 0).unwrap().through, ends[ends.len() - 2].1);
            } else {
                let refused = store.read_log("a", 0).unwrap_err();
                prop_assert!(matches!(refused, Error::Corrupt { .. }), "{}", refused);
            }
        }
    }
}
