//! Which files a source reads: paths become a fixed list of partitions.

use crate::blocks::Blocks;
use crate::feed::Feed;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use tidemill::SourceError;

/// The longest record a source takes unless told otherwise, in bytes with its line end: 1 MiB.
pub const MAX_RECORD: usize = 1 << 20;

/// Paths to read: each a file, a folder, or `-` for standard input.
///
/// A folder stands for all files directly in it, sorted by the bytes of their names. Hidden files
/// (a leading dot) and subfolders are skipped; no extension is asked for, for content decides
/// about compression, and a file that does not belong shows up as dead letters rather than being
/// left out in silence.
///
/// The list is made once, when the source is first asked for its partitions, and clones of the
/// source share it: files that are added later are not read.
#[derive(Clone, Debug)]
pub struct Files {
    paths: Vec<PathBuf>,
}

macro_rules! one_path {
    ($($path:ty),*) => {$(
        impl From<$path> for Files {
            fn from(path: $path) -> Self {
                Files { paths: vec![path.into()] }
            }
        }
    )*};
}
one_path!(&str, &String, String, &Path, &PathBuf, PathBuf);

impl<P: Into<PathBuf>> From<Vec<P>> for Files {
    fn from(paths: Vec<P>) -> Self {
        Files { paths: paths.into_iter().map(Into::into).collect() }
    }
}

impl<P: Into<PathBuf>, const N: usize> From<[P; N]> for Files {
    fn from(paths: [P; N]) -> Self {
        Files { paths: paths.into_iter().map(Into::into).collect() }
    }
}

impl<P: Clone + Into<PathBuf>> From<&[P]> for Files {
    fn from(paths: &[P]) -> Self {
        paths.to_vec().into()
    }
}

/// Whether standard input is being read: it can be once, whatever the number of sources and jobs of the process.
static STDIN_TAKEN: AtomicBool = AtomicBool::new(false);

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Stdin,
    File(PathBuf),
}

/// What all sources here have in common: their files and the longest record.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    files: Files,
    origins: Arc<OnceLock<Result<Vec<Origin>, SourceError>>>,
    pub(crate) max_record: usize,
}

impl Input {
    pub(crate) fn new(files: Files) -> Self {
        Input { files, origins: Arc::default(), max_record: MAX_RECORD }
    }

    /// The partitions, listed once.
    pub(crate) fn origins(&self) -> Result<&[Origin], SourceError> {
        match self.origins.get_or_init(|| list(&self.files.paths)) {
            Ok(origins) => Ok(origins),
            Err(error) => Err(error.clone()),
        }
    }

    /// Opens `partition` at its beginning.
    pub(crate) fn open(&self, partition: usize) -> Result<Blocks, SourceError> {
        let origins = self.origins()?;
        let origin = origins.get(partition).ok_or_else(|| {
            SourceError::new(format!(
                "there is no file number {partition}, only {}: the input has changed since the checkpoint; restore it or start afresh",
                origins.len()
            ))
        })?;
        if *origin == Origin::Stdin && STDIN_TAKEN.swap(true, Ordering::SeqCst) {
            return Err(SourceError::new(
                "standard input is read already, by another source or an earlier job of this program: save it as a file and give that",
            ));
        }
        Ok(Blocks::new(Feed::open(origin)?, self.max_record))
    }

    pub(crate) fn bounded(&self) -> bool {
        !self.files.paths.iter().any(|path| is_stdin(path))
    }

    /// Whether it is not standard input.
    pub(crate) fn seekable(&self, partition: usize) -> bool {
        self.origins().is_ok_and(|origins| origins.get(partition) != Some(&Origin::Stdin))
    }

    /// Bytes on disk, where all are known.
    pub(crate) fn size(&self) -> Option<u64> {
        let size = |origin: &Origin| match origin {
            Origin::Stdin => None,
            Origin::File(path) => Some(fs::metadata(path).ok()?.len()),
        };
        self.origins().ok()?.iter().map(size).sum()
    }
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn list(paths: &[PathBuf]) -> Result<Vec<Origin>, SourceError> {
    if paths.is_empty() {
        return Err(SourceError::new("no input files were given: name at least one file, folder or `-`"));
    }
    let mut origins = Vec::new();
    for path in paths {
        if is_stdin(path) {
            if origins.contains(&Origin::Stdin) {
                return Err(SourceError::new("standard input is given twice: remove one `-`"));
            }
            origins.push(Origin::Stdin);
            continue;
        }
        let meta = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
        if meta.is_dir() {
            origins.extend(folder(path)?.into_iter().map(Origin::File));
        } else if meta.is_file() {
            origins.push(Origin::File(path.clone()));
        } else {
            return Err(SourceError::new(format!(
                "`{0}` is neither a file nor a folder: give a pipe or device as standard input, `- < {0}`",
                path.display()
            )));
        }
    }
    Ok(origins)
}

fn folder(path: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let failed = |error| unreadable(path, &error);
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let file = entry.path();
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && fs::metadata(&file).map_err(|error| unreadable(&file, &error))?.is_file() {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(SourceError::new(format!(
            "the folder `{}` holds no files to read (hidden files and subfolders do not count): put files there or name another folder",
            path.display()
        )));
    }
    files.sort();
    Ok(files)
}

/// Why `path` cannot be opened or read, and what to do.
pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> SourceError {
    use std::io::ErrorKind::*;
    let path = path.display();
    SourceError::new(match error.kind() {
        NotFound => format!("`{path}` does not exist: check the path"),
        PermissionDenied => {
            format!("`{path}` may not be read by this user: change its permissions or run as another user")
        }
        _ => format!("`{path}` cannot be read ({error}): check the disk and run again"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(files: impl Into<Files>) -> Result<Vec<Origin>, String> {
        Input::new(files.into()).origins().map(<[_]>::to_vec).map_err(|error| error.to_string())
    }

    #[test]
    fn a_folder_is_its_visible_files_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.csv", "a.csv.gz", "c", ".hidden", "B.csv"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fs::create_dir(folder.path().join("sub")).unwrap();
        let expected = ["B.csv", "a.csv.gz", "b.csv", "c"].map(|name| Origin::File(folder.path().join(name)));
        assert_eq!(origins(folder.path()).unwrap(), expected);
    }

    #[test]
    fn several_paths_keep_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let [z, a] = ["z", "a"].map(|name| folder.path().join(name));
        fs::write(&z, "123").unwrap();
        fs::write(&a, "4567").unwrap();
        let input = Input::new([&z, &a].into());
        assert_eq!(input.origins().unwrap(), [Origin::File(z.clone()), Origin::File(a)]);
        assert_eq!(input.size(), Some(7));
        assert!(input.bounded());
        let live = Input::new([Path::new("-"), &z].into());
        assert_eq!(live.origins().unwrap(), [Origin::Stdin, Origin::File(z)]);
        assert_eq!(live.size(), None);
        assert!(!live.bounded());
    }

    #[test]
    fn clones_share_the_list() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "").unwrap();
        let input = Input::new(folder.path().into());
        let other = input.clone();
        assert_eq!(input.origins().unwrap().len(), 1);
        fs::write(folder.path().join("b"), "").unwrap();
        assert_eq!(other.origins().unwrap().len(), 1);
    }

    #[test]
    fn what_cannot_be_read_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        assert_eq!(
            origins(folder.path()).unwrap_err(),
            format!(
                "the folder `{path}` holds no files to read (hidden files and subfolders do not count): put files there or name another folder"
            )
        );
        assert_eq!(
            origins(folder.path().join("gone")).unwrap_err(),
            format!("`{path}/gone` does not exist: check the path")
        );
        assert!(origins(Vec::<PathBuf>::new()).unwrap_err().contains("name at least one"));
        assert!(origins(["-", "-"]).unwrap_err().contains("given twice"));
        #[cfg(unix)]
        assert!(origins("/dev/null").unwrap_err().contains("`- < /dev/null`"));
    }
}
