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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form_is_not_taken_for_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, text).unwrap();
            file
        };
        let (lines, pairs) = (file("beauty.txt", "1 5 6\n2 5\n"), file("video.txt", "1 5\n1 6\n2 5\n"));
        let both = BTreeMap::from([(1, vec![5, 6]), (2, vec![5])]);
        assert_eq!(users_by_line(&lines).unwrap(), both);
        assert_eq!(users(&pairs).unwrap(), both);
        let refused = users_by_line(&pairs).unwrap_err().to_string();
        assert!(refused.contains("video.txt:2: user 1 has a line already"), "{refused}");
        let refused = users(&lines).unwrap_err().to_string();
        assert!(refused.contains("beauty.txt:1: not a user and an item"), "{refused}");
    }
}
