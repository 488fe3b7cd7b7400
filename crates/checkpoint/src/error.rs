//! What can go wrong with checkpoints.

/// Why a checkpoint could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is not one that this build can open.
    #[error("cannot open `{address}`: {reason}")]
    Address {
        /// As it was given.
        address: String,
        /// What is wrong with it, and what to write instead.
        reason: String,
    },
    /// What was asked for is not there.
    #[error("{0} does not exist")]
    NotFound(String),
    /// A file is not as it was written.
    #[error("`{path}` is damaged at {place}: {reason}")]
    Corrupt {
        /// The file, as the store names it.
        path: String,
        /// Where in the file.
        place: String,
        /// What does not fit.
        reason: String,
    },
    /// A file is of a later format than this build knows.
    #[error(
        "`{path}` is of format {format}, which this version cannot read: use the version that wrote it, or a later"
    )]
    Newer {
        /// The file, as the store names it.
        path: String,
        /// Its format.
        format: String,
    },
    /// A file that would be written exists, with other content.
    #[error("`{0}` exists already: another job writes checkpoints here; give each job a folder of its own")]
    Exists(String),
    /// A manifest lists a part that is not in the store, so that it would be no checkpoint.
    #[error("part `{0}` is not in the store as the manifest lists it: the checkpoint was not committed")]
    Unwritten(String),
    /// Another job holds the folder.
    #[error("`{0}` is locked by a running job: stop it first, or use another folder")]
    Locked(String),
    /// A key and its value are too large for a part.
    #[error(
        "an entry of operator `{operator}` has {bytes} bytes, and a part takes up to 1 GiB: split the state over several keys"
    )]
    TooLarge {
        /// Whose entry it is.
        operator: String,
        /// Its size.
        bytes: usize,
    },
    /// The storage failed: a full disk, a missing permission, a broken connection.
    #[error("`{path}`: {reason}")]
    Storage {
        /// The file, as the store names it.
        path: String,
        /// The storage's own words.
        reason: String,
    },
}

impl Error {
    /// Whether a checkpoint with this error is to be passed over for the one before: what is there is damaged or
    /// missing. Storage that fails, or a file from the future, is for the user to mend first.
    pub fn is_damage(&self) -> bool {
        matches!(self, Error::NotFound(_) | Error::Corrupt { .. })
    }

    pub(crate) fn corrupt(path: &str, place: impl Into<String>, reason: impl Into<String>) -> Self {
        Error::Corrupt { path: path.to_owned(), place: place.into(), reason: reason.into() }
    }

    pub(crate) fn storage(path: &str, reason: &dyn std::error::Error) -> Self {
        let mut text = reason.to_string();
        let mut cause = reason.source();
        while let Some(error) = cause {
            let words = error.to_string();
            if !text.contains(&words) {
                text = format!("{text}: {words}");
            }
            cause = error.source();
        }
        Error::Storage { path: path.to_owned(), reason: text }
    }
}

/// A result of the checkpoint store.
pub type Result<T, E = Error> = std::result::Result<T, E>;
