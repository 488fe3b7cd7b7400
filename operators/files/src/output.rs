//! Where a sink's bytes go: a file, compressed by its name, or standard output.

use flate2::write::GzEncoder;
use std::fs::File;
use std::io::{self, BufWriter, Seek, Stdout, Write};
use std::path::PathBuf;
use tidemill::SinkError;

/// Bytes collected before they are handed on.
pub(crate) const BUFFER: usize = 64 << 10;

/// A file that a sink writes, or standard output for `-`: what sinks of other formats are made on. A name that ends in `.gz`
/// or `.zst` says how it is compressed.
///
/// The file is created, or emptied, by the first write, so that of the copies of a sink on many workers only the one that
/// writes touches it. All errors name the file and say what to do.
pub struct Output {
    path: PathBuf,
    to: To,
}

enum To {
    Unopened,
    /// What was written so far is whole, and more may follow.
    Whole(File),
    Plain(BufWriter<File>),
    Gzip(GzEncoder<BufWriter<File>>),
    Zstd(zstd::stream::write::Encoder<'static, BufWriter<File>>),
    Stdout(BufWriter<Stdout>),
    Closed,
}

impl Output {
    /// An output to `path`; checks what can be checked without touching the file.
    pub fn new(path: PathBuf) -> Result<Self, SinkError> {
        let shown = path.display();
        if path.as_os_str().is_empty() {
            return Err(SinkError::new("the output has no name: give a path, or `-` for standard output"));
        }
        if path.is_dir() {
            return Err(SinkError::new(format!("`{shown}` is a folder: name a file in it")));
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
            return Err(SinkError::new(format!(
                "`{shown}` cannot be written, for there is no folder `{}`: create it first",
                folder.display()
            )));
        }
        Ok(Output { path, to: To::Unopened })
    }

    fn is_stdout(&self) -> bool {
        self.path.as_os_str() == "-"
    }

    fn open(&self) -> io::Result<To> {
        if self.is_stdout() {
            return Ok(To::Stdout(BufWriter::with_capacity(BUFFER, io::stdout())));
        }
        self.encode(File::create(&self.path)?)
    }

    /// Appends to a file; to a compressed one as another member of it, which every decompressor reads on into.
    fn encode(&self, file: File) -> io::Result<To> {
        let file = BufWriter::with_capacity(BUFFER, file);
        Ok(match self.path.extension().and_then(|name| name.to_str()) {
            Some("gz") => To::Gzip(GzEncoder::new(file, flate2::Compression::default())),
            Some("zst") => {
                let mut file = zstd::stream::write::Encoder::new(file, zstd::DEFAULT_COMPRESSION_LEVEL)?;
                file.include_checksum(true)?;
                To::Zstd(file)
            }
            _ => To::Plain(file),
        })
    }

    /// Does `work` on the open output.
    fn with(&mut self, work: impl FnOnce(&mut To) -> io::Result<()>) -> Result<(), SinkError> {
        let open = match std::mem::replace(&mut self.to, To::Closed) {
            To::Unopened => self.open(),
            To::Whole(file) => self.encode(file),
            to => Ok(to),
        };
        self.to = open.map_err(|error| self.failed(&error))?;
        work(&mut self.to).map_err(|error| self.failed(&error))
    }

    /// Goes on behind the first bytes of the file, as [`Output::save`] gave them, and drops the others. Standard output is
    /// left as it is: what was written to it cannot be taken back.
    pub fn resume(&mut self, saved: &[u8]) -> Result<(), SinkError> {
        let Ok(length) = saved.try_into().map(u64::from_le_bytes) else {
            return Err(SinkError::new(format!("{}: the checkpoint does not say how long it was", self.name())));
        };
        if self.is_stdout() {
            return Ok(());
        }
        let cut = || {
            let mut file = File::options().write(true).open(&self.path)?;
            let meta = file.metadata()?;
            let long_enough = meta.len() >= length || !meta.is_file();
            if long_enough && meta.is_file() {
                file.set_len(length)?;
                file.seek(io::SeekFrom::Start(length))?;
            }
            Ok((file, long_enough))
        };
        match cut().map_err(|error| self.failed(&error))? {
            (file, true) => self.to = To::Whole(file),
            (_, false) => {
                return Err(SinkError::new(format!(
                    "{} is shorter than the {length} bytes it had when the checkpoint was made: put the file back, or begin \
                     anew with `--restore none`",
                    self.name()
                )));
            }
        }
        Ok(())
    }

    /// Waits until everything written is on the disk and would be whole if nothing more came. Returns how long the file is.
    pub fn save(&mut self) -> Result<Vec<u8>, SinkError> {
        let mut length = 0;
        if let To::Whole(file) = &mut self.to {
            length = file.stream_position().map_err(|error| self.failed(&error))?;
            return Ok(length.to_le_bytes().to_vec());
        }
        self.with(|to| {
            let file = match std::mem::replace(to, To::Closed) {
                To::Plain(file) => file,
                To::Gzip(file) => file.finish()?,
                To::Zstd(file) => file.finish()?,
                mut other => {
                    if let To::Stdout(out) = &mut other {
                        out.flush()?;
                    }
                    *to = other;
                    return Ok(());
                }
            };
            let mut file = synced(file)?;
            length = file.stream_position().unwrap_or(0);
            *to = To::Whole(file);
            Ok(())
        })?;
        Ok(length.to_le_bytes().to_vec())
    }

    /// Writes bytes, which may stay in memory until [`Output::flush`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        self.with(|to| match to {
            To::Plain(file) => file.write_all(bytes),
            To::Gzip(file) => file.write_all(bytes),
            To::Zstd(file) => file.write_all(bytes),
            To::Stdout(out) => out.write_all(bytes),
            To::Unopened | To::Whole(_) | To::Closed => Err(io::Error::other("it is closed already")),
        })
    }

    /// Hands what was written to the operating system; of a compressed file, what the compressor
    /// has finished.
    pub fn flush(&mut self) -> Result<(), SinkError> {
        self.with(|to| match to {
            To::Plain(file) => file.flush(),
            To::Gzip(file) => file.get_mut().flush(),
            To::Zstd(file) => file.get_mut().flush(),
            To::Stdout(out) => out.flush(),
            To::Unopened | To::Whole(_) | To::Closed => Ok(()),
        })
    }

    /// Finishes the file and waits until it is on the disk.
    pub fn close(&mut self) -> Result<(), SinkError> {
        if let To::Whole(_) = self.to {
            self.to = To::Closed;
        }
        self.with(|to| match std::mem::replace(to, To::Closed) {
            To::Plain(file) => sync(file),
            To::Gzip(file) => sync(file.finish()?),
            To::Zstd(file) => sync(file.finish()?),
            To::Stdout(mut out) => out.flush(),
            To::Unopened | To::Whole(_) | To::Closed => Ok(()),
        })
    }

    fn failed(&self, error: &io::Error) -> SinkError {
        unwritable(&self.name(), error)
    }

    /// What to call it in messages.
    pub fn name(&self) -> String {
        if self.is_stdout() { "standard output".to_owned() } else { format!("`{}`", self.path.display()) }
    }
}

/// Why what `name` names cannot be written, and what to do.
pub(crate) fn unwritable(name: &str, error: &io::Error) -> SinkError {
    use io::ErrorKind::*;
    SinkError::new(match error.kind() {
        StorageFull | QuotaExceeded => {
            format!("{name} cannot be written, for the disk is full ({error}): free some space and run again")
        }
        PermissionDenied => {
            format!("{name} may not be written by this user: change permissions or run as another user")
        }
        BrokenPipe => {
            format!("{name} was closed by what reads it: keep that running, or write to a file")
        }
        _ => format!("{name} cannot be written ({error}): check the path and the disk and run again"),
    })
}

fn sync(file: BufWriter<File>) -> io::Result<()> {
    synced(file).map(|_| ())
}

fn synced(file: BufWriter<File>) -> io::Result<File> {
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    // Devices and pipes have nothing to sync.
    if file.metadata()?.is_file() {
        file.sync_all()?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_is_said_before_anything_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let error = |path: PathBuf| Output::new(path).err().unwrap().to_string();
        assert_eq!(error(path.into()), format!("`{}` is a folder: name a file in it", path.display()));
        assert_eq!(
            error(path.join("no/out.csv")),
            format!(
                "`{0}/no/out.csv` cannot be written, for there is no folder `{0}/no`: create it first",
                path.display()
            )
        );
        assert!(error(PathBuf::new()).contains("no name"));
    }

    #[test]
    fn the_file_is_made_by_the_first_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        std::fs::write(&path, "old").unwrap();
        let mut output = Output::new(path.clone()).unwrap();
        drop(Output::new(path.clone()).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        output.write(b"new").unwrap();
        output.flush().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        output.close().unwrap();
        output.close().unwrap();
        assert!(output.write(b"more").unwrap_err().to_string().contains("closed already"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_names_the_file() {
        let mut output = Output::new("/dev/full".into()).unwrap();
        output.write(b"x").unwrap();
        let error = output.flush().unwrap_err().to_string();
        assert!(
            error.starts_with("`/dev/full` cannot be written, for the disk is full") && error.ends_with("run again"),
            "{error}"
        );
        let mut devnull = Output::new("/dev/null".into()).unwrap();
        devnull.write(b"x").unwrap();
        devnull.close().unwrap();
    }
}
