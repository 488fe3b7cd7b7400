//! Public data sets of what users had, one after the other.

use std::path::PathBuf;

/// Where data sets of histories are.
#[derive(clap::Args, Clone, Debug)]
pub struct Histories {
    /// Serenade's clicks: a folder with train.txt, valid.txt and test.txt, or the same packed (.gz).
    #[arg(long, value_name = "DIR")]
    pub serenade: Option<PathBuf>,
    /// Diginetica's sessions: a folder with diginetica.train.sessions.txt and diginetica.test.sessions.txt, or packed.
    #[arg(long, value_name = "DIR")]
    pub diginetica: Option<PathBuf>,
    /// Amazon Beauty: a user a line, then the items.
    #[arg(long, value_name = "FILE")]
    pub beauty: Option<PathBuf>,
    /// Amazon Video: a user and an item a line.
    #[arg(long, value_name = "FILE")]
    pub video: Option<PathBuf>,
}
