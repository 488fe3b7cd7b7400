//! Public data sets, in the files they are passed around in.

pub mod amazon;
pub mod diginetica;
pub mod online_retail;
pub mod serenade;

use anyhow::Context;
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

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
fn within(folder: &Path, name: &str) -> std::path::PathBuf {
    let packed = folder.join(format!("{name}.gz"));
    if packed.exists() { packed } else { folder.join(name) }
}
