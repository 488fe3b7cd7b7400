//! The folder of parts: names, who writes it, what lies in it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use tidemill::{Epoch, SinkError};

/// A folder that is locked for one sink.
pub(crate) struct Folder {
    path: PathBuf,
    extension: &'static str,
    /// The folder itself, open to be synced; the lock goes with it.
    handle: File,
}

/// What a sink finds in its folder. Other files are nobody's business.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// First and last epochs of the parts that readers see, sorted.
    pub visible: Vec<(Epoch, Epoch)>,
    /// What is hidden, and may be removed.
    pub temporary: Vec<PathBuf>,
}

/// `part-FIRST-LAST.EXTENSION`, with numbers that sort as text.
pub(crate) fn part_name(first: Epoch, last: Epoch, extension: &str) -> String {
    format!("part-{first:016}-{last:016}.{extension}")
}

/// The first and last epochs of a part of that name.
pub(crate) fn epochs_of(name: &str, extension: &str) -> Option<(Epoch, Epoch)> {
    let (first, last) = name.strip_prefix("part-")?.strip_suffix(extension)?.strip_suffix('.')?.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (part_name(first, last, extension) == name).then_some((first, last))
}

/// Whether a file of this name is one that parts are written to before they are seen: `.part-FIRST.EXTENSION.tmp`, or
/// `.part-FIRST-LAST.EXTENSION.tmp`.
fn is_temporary(name: &str, extension: &str) -> bool {
    let middle = || name.strip_prefix(".part-")?.strip_suffix(".tmp")?.strip_suffix(extension)?.strip_suffix('.');
    middle().is_some_and(|epochs| {
        let digits = |text: &str| text.len() >= 16 && text.bytes().all(|byte| byte.is_ascii_digit());
        epochs.split_once('-').map_or_else(|| digits(epochs), |(first, last)| digits(first) && digits(last))
    })
}

impl Folder {
    /// Makes the folder if it is not there, and locks it.
    pub fn open(path: &Path, extension: &'static str) -> Result<Self, SinkError> {
        let failed = |error| crate::output::unwritable(&format!("`{}`", path.display()), &error);
        fs::create_dir_all(path).map_err(failed)?;
        let handle = File::open(path).map_err(failed)?;
        match handle.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(SinkError::new(format!(
                    "`{}` is being written by another sink, or another job: give each sink a folder of its own",
                    path.display()
                )));
            }
            // Not every file system has locks.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        Ok(Folder { path: path.to_owned(), extension, handle })
    }

    /// Where readers see a part.
    pub fn visible(&self, first: Epoch, last: Epoch) -> PathBuf {
        self.path.join(part_name(first, last, self.extension))
    }

    /// Where rows are appended to a part that is not done. Our own folder source, Spark and most others skip hidden files.
    pub fn temporary(&self, first: Epoch) -> PathBuf {
        self.path.join(format!(".part-{first:016}.{}.tmp", self.extension))
    }

    /// Where a part is converted to.
    pub fn converted(&self, first: Epoch, last: Epoch) -> PathBuf {
        self.path.join(format!(".{}.tmp", part_name(first, last, self.extension)))
    }

    /// What is there.
    pub fn list(&self) -> io::Result<Found> {
        let mut found = Found::default();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if let Some(epochs) = epochs_of(name, self.extension) {
                found.visible.push(epochs);
            } else if is_temporary(name, self.extension) {
                found.temporary.push(entry.path());
            }
        }
        found.visible.sort_unstable();
        Ok(found)
    }

    /// Waits until names in the folder are on the disk.
    pub fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn names_sort_as_epochs_and_say_them(mut parts in prop::collection::vec((0u64..10u64.pow(16), 0u64..10u64.pow(15)), 1..20)) {
            parts.iter_mut().for_each(|(first, last)| *last = (*last + *first).min(9_999_999_999_999_999));
            let mut names: Vec<_> = parts.iter().map(|(first, last)| part_name(*first, *last, "csv")).collect();
            for (name, part) in names.iter().zip(&parts) {
                prop_assert_eq!(epochs_of(name, "csv"), Some(*part));
                prop_assert_eq!(epochs_of(name, "jsonl"), None);
            }
            names.sort();
            parts.sort_unstable();
            prop_assert_eq!(names, parts.iter().map(|(first, last)| part_name(*first, *last, "csv")).collect::<Vec<_>>());
        }

        #[test]
        fn no_other_name_is_taken_for_ours(name in "\\.?(part-)?[0-9a-f-]{0,40}(\\.csv)?(\\.tmp)?") {
            if let Some((first, last)) = epochs_of(&name, "csv") {
                prop_assert_eq!(part_name(first, last, "csv"), name);
            }
        }
    }

    #[test]
    fn what_is_ours() {
        assert_eq!(epochs_of("part-1-2.csv", "csv"), None, "another program's");
        assert_eq!(epochs_of("part-00000000000000001-0000000000000002.csv", "csv"), None);
        assert_eq!(epochs_of("part-00000-6b0e2a4c.csv", "csv"), None, "Spark's");
        assert_eq!(epochs_of("part-0000000000000001-0000000000000002xcsv", "csv"), None);
        assert!(is_temporary(".part-0000000000000001.csv.tmp", "csv"));
        assert!(is_temporary(".part-0000000000000001-0000000000000002.csv.tmp", "csv"));
        assert!(!is_temporary(".part-0000000000000001.jsonl.tmp", "csv"));
        assert!(!is_temporary(".part-.csv.tmp", "csv"));
        assert!(!is_temporary(".part-1.csv.tmp", "csv"));
    }
}
