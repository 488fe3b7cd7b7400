//! The clicks that come with Serenade: a month of sessions, with times.

use anyhow::Context;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use tidemill::Millis;

use crate::read::{open, within};

#[derive(Deserialize)]
struct Click {
    #[serde(rename = "SessionId")]
    session: u32,
    #[serde(rename = "ItemId")]
    item: u32,
    /// In seconds since 1970.
    #[serde(rename = "Time")]
    time: f64,
}

/// A session with its clicks' times, in ms since 1970 UTC, and items, in order.
pub type Clicks = (u32, Vec<(Millis, u32)>);

/// The sessions of a file of a folder (`train.txt`, `valid.txt` or `test.txt`), those that ended first coming first. Rows may be in
/// any order; a session's clicks of the same second stay as they are.
///
/// # Errors
///
/// The file cannot be read, or is not such a file.
pub fn clicks(folder: &Path, name: &str) -> anyhow::Result<Vec<Clicks>> {
    let path = within(folder, name);
    let mut sessions: BTreeMap<u32, Vec<(Millis, u32)>> = BTreeMap::new();
    let mut reader = csv::ReaderBuilder::new().delimiter(b'\t').from_reader(open(&path)?);
    for click in reader.deserialize() {
        let Click { session, item, time } = click.with_context(|| path.display().to_string())?;
        sessions.entry(session).or_default().push(((time * 1_000.0) as Millis, item));
    }
    let mut sessions: Vec<Clicks> = sessions.into_iter().collect();
    sessions.iter_mut().for_each(|(_, clicks)| clicks.sort_by_key(|click| click.0));
    sessions.sort_by_key(|(session, clicks)| (clicks.last().map(|click| click.0), *session));
    Ok(sessions)
}
