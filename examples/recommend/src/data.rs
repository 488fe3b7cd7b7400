//! Public data sets, in the files they are passed around in.

pub mod amazon;
pub mod diginetica;
pub mod lines;
pub mod online_retail;
pub mod serenade;

use crate::protocol::Protocol;
use anyhow::Context;
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Where data sets of histories are.
#[derive(clap::Args, Clone, Debug)]
pub struct Histories {
    /// Serenade's clicks: a folder with train.txt, valid.txt and test.txt, or the same packed (.gz).
    #[arg(long, value_name = "DIR")]
    serenade: Option<PathBuf>,
    /// Diginetica's sessions: a folder with diginetica.train.sessions.txt and diginetica.test.sessions.txt, or packed.
    #[arg(long, value_name = "DIR")]
    diginetica: Option<PathBuf>,
    /// Amazon Beauty: a user a line, then the items.
    #[arg(long, value_name = "FILE")]
    beauty: Option<PathBuf>,
    /// Amazon Video: a user and an item a line.
    #[arg(long, value_name = "FILE")]
    video: Option<PathBuf>,
}

impl Histories {
    /// Reads each data set that was given, one when the one before is done with, with a fixed split into what is learnt and
    /// what is asked.
    pub fn fixed_splits(&self) -> impl Iterator<Item = anyhow::Result<Protocol>> {
        let serenade = self.serenade.iter().map(|folder| serenade::sessions(folder));
        let diginetica = self.diginetica.iter().map(|folder| diginetica::sessions(folder));
        let beauty = self.beauty.iter().map(|file| amazon::beauty(file));
        serenade.chain(diginetica).chain(beauty).chain(self.video.iter().map(|file| amazon::video(file)))
    }

    /// Reads each of which every step is asked about before it is learnt.
    pub fn prequential(&self) -> impl Iterator<Item = anyhow::Result<Protocol>> {
        self.serenade.iter().map(|folder| serenade::prequential(folder))
    }
}

/// Opens a file, unpacking it if its name ends with `.gz`.
fn open(path: &Path) -> anyhow::Result<Box<dyn Read>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(if path.extension().is_some_and(|ext| ext == "gz") {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    })
}

/// The numbers of each line, which are parted by spaces.
fn numbers(path: &Path) -> anyhow::Result<Vec<Vec<u32>>> {
    let mut lines = Vec::new();
    for (number, line) in BufReader::new(open(path)?).lines().enumerate() {
        let line = line.with_context(|| format!("{}:{}", path.display(), number + 1))?;
        let parsed: Result<Vec<u32>, _> = line.split_whitespace().map(str::parse).collect();
        lines.push(parsed.with_context(|| format!("{}:{}: not numbers: {line:?}", path.display(), number + 1))?);
    }
    Ok(lines)
}

/// The file of this name in a folder, packed or not.
fn within(folder: &Path, name: &str) -> PathBuf {
    let packed = folder.join(format!("{name}.gz"));
    if packed.exists() { packed } else { folder.join(name) }
}
