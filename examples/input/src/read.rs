//! Files of text, packed or not.

use anyhow::Context;
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Opens a file, unpacking it if its name ends with `.gz`.
pub fn open(path: &Path) -> anyhow::Result<Box<dyn Read>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(match path.extension() {
        Some(ext) if ext == "gz" => Box::new(MultiGzDecoder::new(file)),
        _ => Box::new(file),
    })
}

/// The numbers of each line, which are parted by spaces.
pub fn numbers(path: &Path) -> anyhow::Result<Vec<Vec<u32>>> {
    let mut lines = Vec::new();
    for (number, line) in BufReader::new(open(path)?).lines().enumerate() {
        let line = line.with_context(|| format!("{}:{}", path.display(), number + 1))?;
        let parsed: Result<Vec<u32>, _> = line.split_whitespace().map(str::parse).collect();
        lines.push(parsed.with_context(|| format!("{}:{}: not numbers: {line:?}", path.display(), number + 1))?);
    }
    Ok(lines)
}

/// The file of this name in a folder, packed or not.
pub fn within(folder: &Path, name: &str) -> PathBuf {
    let packed = folder.join(format!("{name}.gz"));
    if packed.exists() { packed } else { folder.join(name) }
}
