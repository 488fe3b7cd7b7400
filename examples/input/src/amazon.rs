//! Amazon reviews as sequences: of each user the items in order.

use anyhow::{bail, ensure};
use std::collections::BTreeMap;
use std::path::Path;

use crate::read::numbers;

/// The users of a file with a user a line, then the items in order, as S3-Rec's `Beauty.txt`.
///
/// # Errors
///
/// The file cannot be read, or is not such a file.
pub fn users_by_line(file: &Path) -> anyhow::Result<BTreeMap<u32, Vec<u32>>> {
    let mut users = BTreeMap::new();
    for (number, line) in numbers(file)?.into_iter().enumerate() {
        let [user, items @ ..] = line.as_slice() else { bail!("{}:{}: no user", file.display(), number + 1) };
        let known = users.insert(*user, items.to_vec()).is_some();
        ensure!(!known, "{}:{}: user {user} has a line already: is it a file for --video?", file.display(), number + 1);
    }
    Ok(users)
}

/// The users of a file with a user and an item a line, in order, as SASRec's `Video.txt`.
///
/// # Errors
///
/// The file cannot be read, or is not such a file.
pub fn users(file: &Path) -> anyhow::Result<BTreeMap<u32, Vec<u32>>> {
    let mut users: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (number, line) in numbers(file)?.into_iter().enumerate() {
        let [user, item] = line[..] else { bail!("{}:{}: not a user and an item", file.display(), number + 1) };
        users.entry(user).or_default().push(item);
    }
    Ok(users)
}
