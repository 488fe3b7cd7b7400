//! Diginetica as SR-GNN and its successors split it: sessions in order of time, a line each.

use std::path::Path;

use crate::read::{numbers, within};

/// The sessions to learn from, of `diginetica.train.sessions.txt`.
///
/// # Errors
///
/// The file cannot be read, or is not such a file.
pub fn train(folder: &Path) -> anyhow::Result<Vec<Vec<u32>>> {
    numbers(&within(folder, "diginetica.train.sessions.txt"))
}

/// The sessions that ask, of `diginetica.test.sessions.txt`.
///
/// # Errors
///
/// The file cannot be read, or is not such a file.
pub fn test(folder: &Path) -> anyhow::Result<Vec<Vec<u32>>> {
    numbers(&within(folder, "diginetica.test.sessions.txt"))
}
