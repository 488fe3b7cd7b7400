//! A folder of parts: files that are finished before anybody sees them.

mod folder;
mod format;

pub use format::{CountsBytes, PartFormat, PartItem};

use crate::output::{BUFFER, unwritable};
use folder::Folder;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::path::PathBuf;
use tidemill::{Epoch, Record, Sink, SinkError, Start, Update};

/// Rows encoded at a time.
const CHUNK: usize = 1024;

/// Writes a folder of finished files, for readers that take whole ones: `part-<first epoch>-<last epoch>.jsonl`, with numbers
/// of 16 digits, so that names sort as epochs do.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use tidemill::{Config, Events, Timing};
/// use tidemill_files::{CsvRows, Parts};
///
/// #[derive(Clone, Debug, Serialize, Deserialize)]
/// struct Order {
///     at: i64,
///     cents: i64,
/// }
///
/// # let folder = tempfile::tempdir()?;
/// # let lake = folder.path().join("orders");
/// let orders = vec![Order { at: 1, cents: 500 }];
/// tidemill::execute(Config::default(), move |job| {
///     let orders = job.source("orders", Events::new(orders.clone()), Timing::by(|order: &Order| order.at))?;
///     orders.sink("lake", Parts::records(&lake, CsvRows::new())?.max_rows(100_000))
/// })?;
/// # assert_eq!(std::fs::read_dir(folder.path().join("orders"))?.count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # What readers see
///
/// A part is written to a hidden file (a leading dot), synced, and renamed; so it is whole, and never changes. **With
/// checkpoints it becomes visible when a complete checkpoint has all its rows**, so no row that is seen is taken back or
/// comes again. That a checkpoint is complete shows when the next one is made: a part is seen one to two checkpoints after its
/// last row. Without checkpoints it is seen as soon as it is done. The end of the job finishes the last part and shows all.
///
/// Two things make parts that were seen go away again, and their rows come anew: a job that is restored from an older
/// checkpoint than the last complete one (`--restore ID`), and one that is killed after it has ended its parts and before its
/// last checkpoint is complete. Then the parts after the checkpoint are removed before anything is written.
///
/// Readers may move or delete parts, but not hidden files, nor the last part of a job that is to go on.
///
/// # When a part ends
///
/// At the end of an epoch, once it has [`max_rows`](Self::max_rows) or [`max_bytes`](Self::max_bytes), or before the first
/// epoch of another block of [`max_epochs`](Self::max_epochs). No clock has a say in it, nor have checkpoints: where epochs
/// are formed again as they were ([`Start::exact_through`]), a job that was killed any number of
/// times gives the same files, byte for byte, as one that was not. One epoch is never divided, so a part may be larger than
/// the limits by what one epoch holds. A job that is ended by a signal ends its part there.
///
/// # What a checkpoint holds
///
/// Names and lengths. The rows of the part that is not done are in its hidden file, which is synced, and cut to that length
/// in a restart. A hidden file that lacks something stops the job, and so do other columns
/// of Parquet: let the job end before you change its rows.
///
/// # Whose folder
///
/// It is made if it is not there, and locked while the job runs: a second sink on it stops its job (on file systems that have
/// locks). A job that begins anew where there are parts stops, unless [`replace`](Self::replace) has them removed. Files with
/// other names, or extensions, are left alone.
pub struct Parts<I, F> {
    path: PathBuf,
    format: F,
    limits: Limits,
    replace: bool,
    folder: Option<Folder>,
    /// Whether parts wait for checkpoints.
    waits: bool,
    open: Option<Open>,
    /// Done, and not seen yet.
    sealed: Vec<Part>,
    /// How many of them were in the last checkpoint.
    saved: usize,
    item: PhantomData<fn(I)>,
}

/// When parts end.
struct Limits {
    rows: u64,
    bytes: u64,
    epochs: Epoch,
}

/// What was written of a part.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Part {
    first: Epoch,
    last: Epoch,
    rows: u64,
    /// Of the hidden file.
    bytes: u64,
}

/// The part that rows are appended to.
struct Open {
    part: Part,
    file: BufWriter<File>,
}

/// What a checkpoint holds.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    sealed: Vec<Part>,
    open: Option<Part>,
}

impl<T: 'static, F: PartFormat<Record<T>>> Parts<Record<T>, F> {
    /// Writes a stream's rows to `folder`. Fails where that can be no folder.
    pub fn records(folder: impl Into<PathBuf>, format: F) -> Result<Self, SinkError> {
        Self::create(folder.into(), format)
    }
}

impl<T: 'static, F: PartFormat<Update<T>>> Parts<Update<T>, F> {
    /// Writes a collection's changes to `folder`, each with its epoch and difference. Fails where that can be no folder.
    pub fn updates(folder: impl Into<PathBuf>, format: F) -> Result<Self, SinkError> {
        Self::create(folder.into(), format)
    }
}

impl<I, F> Parts<I, F> {
    /// Ends a part at the end of the epoch in which it reaches this many rows; a million unless set.
    pub fn max_rows(mut self, rows: u64) -> Self {
        self.limits.rows = rows;
        self
    }

    /// Has no part reach over a multiple of `epochs`, so that rows of a slow stream are seen too: the part ends when rows of
    /// the next such block come. Parts are not ended by epochs unless this is set.
    pub fn max_epochs(mut self, epochs: u64) -> Self {
        self.limits.epochs = epochs.max(1);
        self
    }

    /// Where the job begins anew, removes the parts of this extension that are in the folder; without this it stops.
    pub fn replace(mut self) -> Self {
        self.replace = true;
        self
    }
}

impl<I, F: CountsBytes> Parts<I, F> {
    /// Ends a part at the end of the epoch in which it reaches this many bytes; 128 MiB unless set.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.limits.bytes = bytes;
        self
    }
}

impl<I: PartItem, F: PartFormat<I>> Parts<I, F> {
    fn create(path: PathBuf, format: F) -> Result<Self, SinkError> {
        let shown = path.display();
        if path.as_os_str().is_empty() {
            return Err(SinkError::new("the folder of parts has no name: give a path"));
        }
        if path.exists() && !path.is_dir() {
            return Err(SinkError::new(format!("`{shown}` is no folder: name one, or a path where one can be made")));
        }
        // What a format that converts appends has no size that readers would know.
        let bytes = if F::CONVERTS { u64::MAX } else { 128 << 20 };
        let limits = Limits { rows: 1_000_000, bytes, epochs: Epoch::MAX };
        Ok(Parts {
            path,
            format,
            limits,
            replace: false,
            folder: None,
            waits: false,
            open: None,
            sealed: Vec::new(),
            saved: 0,
            item: PhantomData,
        })
    }

    fn folder(&self) -> Result<&Folder, SinkError> {
        self.folder.as_ref().ok_or_else(|| SinkError::new(format!("`{}` is not open", self.path.display())))
    }

    fn failed(&self, error: &io::Error) -> SinkError {
        unwritable(&format!("`{}`", self.path.display()), error)
    }

    fn unfit(&self, reason: &str) -> SinkError {
        SinkError::new(format!("a row for `{}` {reason}", self.path.display()))
    }

    /// Nothing was written before.
    fn begin_anew(&mut self, visible: &[(Epoch, Epoch)]) -> Result<(), SinkError> {
        if let (Some((first, last)), false) = (visible.first(), self.replace) {
            return Err(SinkError::new(format!(
                "`{}` is of an earlier run, and this one begins anew: empty the folder, name another, or use \
                 `Parts::replace`",
                self.folder()?.visible(*first, *last).display()
            )));
        }
        self.remove(visible)
    }

    fn remove(&self, parts: &[(Epoch, Epoch)]) -> Result<(), SinkError> {
        let folder = self.folder()?;
        let remove = |(first, last): &(Epoch, Epoch)| fs::remove_file(folder.visible(*first, *last));
        parts.iter().try_for_each(remove).map_err(|error| self.failed(&error))
    }

    /// Makes the folder what it was at the end of `epoch`. A part that was not done then goes on.
    fn go_on(&mut self, epoch: Epoch, saved: Saved, visible: &[(Epoch, Epoch)]) -> Result<(), SinkError> {
        for part in &saved.sealed {
            // The checkpoint is complete. Where there is no hidden file, the part was shown, and a reader may have moved it.
            if self.folder()?.temporary(part.first).exists() {
                self.cut(part)?;
                self.show(part)?;
            }
        }
        let gone_over: Vec<_> = visible.iter().filter(|(_, last)| *last > epoch).copied().collect();
        if let Some(part) = saved.open {
            let shown = visible.iter().find(|(first, _)| *first == part.first);
            match shown {
                // The job had ended, and with it this part.
                Some((_, last)) if *last <= epoch => {}
                shown => {
                    if let Some((first, last)) = shown {
                        self.take_back(*first, *last, &part)?;
                    }
                    let file = self.cut(&part)?;
                    self.open = Some(Open { part, file: BufWriter::with_capacity(BUFFER, file) });
                }
            }
        }
        let later: Vec<_> = gone_over.iter().filter(|(first, _)| *first > epoch).copied().collect();
        let open = self.open.as_ref().map(|open| open.part.first);
        if let Some((first, last)) = gone_over.iter().find(|(first, _)| *first <= epoch && Some(*first) != open) {
            return Err(SinkError::new(format!(
                "`{}` has rows from before the checkpoint and from after it, which it knows nothing of: take the part away, \
                 or begin anew with `--restore none`",
                self.folder()?.visible(*first, *last).display()
            )));
        }
        self.remove(&later)
    }

    /// Opens the hidden file of a part, without what came after a checkpoint.
    fn cut(&mut self, part: &Part) -> Result<File, SinkError> {
        let path = self.folder()?.temporary(part.first);
        let lost = |why: &dyn std::fmt::Display| {
            SinkError::new(format!(
                "`{}` does not have the {} rows of the checkpoint ({why}): put the file back, or begin anew with \
                 `--restore none`",
                path.display(),
                part.rows
            ))
        };
        let mut cut = || -> io::Result<_> {
            let mut file = File::options().read(true).write(true).open(&path)?;
            let end = self.format.cut(&mut file, part.rows, part.bytes)?;
            let length = file.metadata()?.len();
            if length >= end {
                file.set_len(end)?;
                file.seek(SeekFrom::Start(end))?;
            }
            Ok((file, length, end))
        };
        match cut() {
            Ok((file, length, end)) if length >= end => Ok(file),
            Ok((_, length, end)) => Err(lost(&format!("{length} bytes of {end}"))),
            Err(error) => Err(lost(&error)),
        }
    }

    /// Hides a part that readers see, and that ends after the checkpoint in which it was as `kept` says.
    fn take_back(&mut self, first: Epoch, last: Epoch, kept: &Part) -> Result<(), SinkError> {
        let folder = self.folder()?;
        let (shown, hidden) = (folder.visible(first, last), folder.temporary(first));
        let mut back = || -> io::Result<()> {
            if F::CONVERTS {
                let mut written = File::create(&hidden)?;
                self.format.take_back(&mut File::open(&shown)?, kept.rows, &mut written)?;
                written.sync_all()?;
                return fs::remove_file(&shown);
            }
            fs::rename(&shown, &hidden)
        };
        back().map_err(|error| unwritable(&format!("`{}`", shown.display()), &error))
    }

    fn begin(&mut self, epoch: Epoch, first: &I) -> Result<Open, SinkError> {
        let path = self.folder()?.temporary(epoch);
        // Read too, for it may be converted.
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path);
        let file = file.map_err(|error| self.failed(&error))?;
        let part = Part { first: epoch, last: epoch, rows: 0, bytes: 0 };
        let mut open = Open { part, file: BufWriter::with_capacity(BUFFER, file) };
        let mut out = Vec::new();
        self.format.begin(first, &mut out).map_err(|reason| self.unfit(&reason))?;
        open.append(&out).map_err(|error| self.failed(&error))?;
        Ok(open)
    }

    /// Appends what the format has kept, and waits until all of the open part is on the disk.
    fn flush(&mut self) -> Result<(), SinkError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let mut out = Vec::new();
        let flushed = self.format.flush(&mut out);
        let written = open.append(&out).and_then(|()| open.file.flush()).and_then(|()| sync(open.file.get_ref()));
        flushed.map_err(|reason| self.unfit(&reason))?;
        written.map_err(|error| self.failed(&error))
    }

    /// Ends the open part.
    fn seal(&mut self) -> Result<(), SinkError> {
        self.flush()?;
        self.sealed.extend(self.open.take().map(|open| open.part));
        if self.waits { Ok(()) } else { self.show_first(self.sealed.len()) }
    }

    /// Shows the first of the parts that are done.
    fn show_first(&mut self, count: usize) -> Result<(), SinkError> {
        for part in self.sealed.drain(..count).collect::<Vec<_>>() {
            self.show(&part)?;
        }
        Ok(())
    }

    fn show(&mut self, part: &Part) -> Result<(), SinkError> {
        let folder = self.folder()?;
        let (hidden, shown) = (folder.temporary(part.first), folder.visible(part.first, part.last));
        let converted = folder.converted(part.first, part.last);
        let mut show = || -> io::Result<()> {
            if !F::CONVERTS {
                return fs::rename(&hidden, &shown);
            }
            let mut file = File::create(&converted)?;
            self.format.convert(&mut File::open(&hidden)?, &mut file)?;
            sync(&file)?;
            fs::rename(&converted, &shown)
        };
        show().map_err(|error| unwritable(&format!("`{}`", shown.display()), &error))?;
        self.folder()?.sync().map_err(|error| self.failed(&error))?;
        if F::CONVERTS {
            fs::remove_file(&hidden).map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }
}

impl Open {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.part.bytes += bytes.len() as u64;
        self.file.write_all(bytes)
    }
}

/// Waits until the file is on the disk; devices have nothing to sync.
fn sync(file: &File) -> io::Result<()> {
    if file.metadata()?.is_file() { file.sync_all() } else { Ok(()) }
}

impl<I: PartItem, F: PartFormat<I>> Sink for Parts<I, F> {
    type Item = I;

    fn open(&mut self, start: &Start) -> Result<(), SinkError> {
        let folder = Folder::open(&self.path, self.format.extension())?;
        let found = folder.list().map_err(|error| self.failed(&error))?;
        self.folder = Some(folder);
        self.waits = start.checkpoints;
        match &start.saved {
            None => self.begin_anew(&found.visible)?,
            Some(saved) => {
                let saved = serde_json::from_slice(saved).map_err(|error| {
                    let path = self.path.display();
                    SinkError::new(format!(
                        "`{path}`: what the checkpoint says of it is of another sink ({error}): begin anew with \
                         `--restore none`"
                    ))
                })?;
                self.go_on(start.epoch, saved, &found.visible)?;
            }
        }
        let open = self
            .open
            .as_ref()
            .map(|open| open.part.first)
            .map(|first| self.folder().map(|folder| folder.temporary(first)));
        let open = open.transpose()?;
        for path in found.temporary.iter().filter(|path| open.as_ref() != Some(path)) {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(self.failed(&error)),
                _ => {}
            }
        }
        self.folder()?.sync().map_err(|error| self.failed(&error))
    }

    fn write(&mut self, epoch: Epoch, items: &mut Vec<I>) -> Result<(), SinkError> {
        let Some(first) = items.first() else { return Ok(()) };
        let block = |epoch| epoch / self.limits.epochs;
        if self.open.as_ref().is_some_and(|open| block(open.part.first) != block(epoch)) {
            self.seal()?;
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.begin(epoch, first)?,
        };
        let mut out = Vec::with_capacity(BUFFER);
        for rows in items.chunks(CHUNK) {
            self.format.rows(epoch, rows, &mut out).map_err(|reason| self.unfit(&reason))?;
            open.append(&out).map_err(|error| self.failed(&error))?;
            out.clear();
        }
        open.part.last = epoch;
        open.part.rows += items.len() as u64;
        items.clear();
        self.open = Some(open);
        Ok(())
    }

    fn commit(&mut self, _: Epoch) -> Result<(), SinkError> {
        let full = |open: &Open| open.part.rows >= self.limits.rows || open.part.bytes >= self.limits.bytes;
        if self.open.as_ref().is_some_and(full) { self.seal() } else { Ok(()) }
    }

    fn save(&mut self) -> Result<Vec<u8>, SinkError> {
        // One checkpoint is made at a time: that there is another shows that the last one is complete.
        self.show_first(self.saved)?;
        self.flush()?;
        self.folder()?.sync().map_err(|error| self.failed(&error))?;
        self.saved = self.sealed.len();
        let saved = Saved { sealed: self.sealed.clone(), open: self.open.as_ref().map(|open| open.part) };
        serde_json::to_vec(&saved).map_err(|error| self.failed(&error.into()))
    }

    fn close(&mut self) -> Result<(), SinkError> {
        self.seal()?;
        self.show_first(self.sealed.len())?;
        self.folder = None;
        Ok(())
    }
}
