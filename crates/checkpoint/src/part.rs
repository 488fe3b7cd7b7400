//! Parts: immutable files of keyed entries.
//!
//! ```text
//! "TIDEPART"                                            8 bytes
//! blocks, each one zstd frame of entries of one (operator, group)
//! footer: postcard of `Footer`, which lists the blocks in the order of the file
//! length of the footer      u32, little end first
//! format                    u32
//! CRC-32C of footer, length and format                  u32
//! "TIDEPART"                                            8 bytes
//! ```
//!
//! A block's offset is the sum of the lengths before it, and the blocks fill the file between the first magic and the
//! footer: so every byte is fixed, under the footer's checksum, or under that of its block.

use crate::entry;
use crate::error::{Error, Result};
use crate::manifest::PartKind;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::{self, Write};
use std::ops::Range;

pub(crate) const MAGIC: &[u8; 8] = b"TIDEPART";
const FORMAT: u32 = 1;
/// Bytes behind the footer.
pub(crate) const TAIL: usize = 20;
/// Bytes of entries a block is closed at.
const BLOCK: usize = 256 << 10;
/// Bytes of entries in blocks that are open; beyond it the largest is closed.
const OPEN: usize = 32 << 20;
/// Bytes of an entry. Twice this and a block still fit 32 bits.
const LARGEST_ENTRY: usize = 1 << 30;

/// What the blocks of a part are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Footer {
    pub kind: PartKind,
    pub operators: Vec<String>,
    pub blocks: Vec<Block>,
}

/// One block: entries of one (operator, group).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Block {
    /// Index into the footer's operators.
    pub operator: u32,
    pub group: u8,
    /// Bytes in the file, compressed.
    pub length: u32,
    /// Bytes of its entries.
    pub raw: u32,
    pub entries: u32,
    /// Entries that say that a key was deleted.
    pub deletions: u32,
    /// CRC-32C of the bytes in the file.
    pub checksum: u32,
}

impl Footer {
    /// Key groups from the first to one beyond the last.
    pub fn groups(&self) -> Range<u16> {
        let groups = || self.blocks.iter().map(|b| u16::from(b.group));
        groups().min().unwrap_or(0)..groups().max().map_or(0, |last| last + 1)
    }

    pub fn entries(&self) -> u64 {
        self.blocks.iter().map(|b| u64::from(b.entries)).sum()
    }

    /// The blocks and their places in the file.
    pub fn placed(&self) -> impl Iterator<Item = (Range<u64>, &Block)> {
        self.blocks.iter().scan(MAGIC.len() as u64, |end, block| {
            let start = *end;
            *end += u64::from(block.length);
            Some((start..*end, block))
        })
    }

    fn encode(&self) -> Result<(Vec<u8>, u32), postcard::Error> {
        let mut bytes = postcard::to_stdvec(self)?;
        let length = u32::try_from(bytes.len()).map_err(|_| postcard::Error::SerializeBufferFull)?;
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes.extend_from_slice(MAGIC);
        Ok((bytes, checksum))
    }

    /// How long the footer is, tail included, by the tail of a part. What it says is checked by [`Footer::decode`].
    pub fn length(tail: &[u8]) -> Option<u64> {
        let tail = tail.last_chunk::<TAIL>()?;
        Some(u64::from(u32::from_le_bytes(*tail.first_chunk()?)) + TAIL as u64)
    }

    /// Decodes footer and tail of a part of `size` bytes; also gives the checksum.
    pub fn decode(path: &str, size: u64, bytes: &[u8]) -> Result<(Self, u32)> {
        let place = format!("{}..{size}", size.saturating_sub(bytes.len() as u64));
        let damaged = |reason: &str| Error::corrupt(path, &place, reason);
        let (bytes, magic) = bytes.split_last_chunk::<8>().ok_or_else(|| damaged("it is cut off"))?;
        let (bytes, checksum) = bytes.split_last_chunk::<4>().ok_or_else(|| damaged("it is cut off"))?;
        let checksum = u32::from_le_bytes(*checksum);
        if magic != MAGIC {
            return Err(damaged("it does not end as a part does"));
        }
        if checksum != crc32c::crc32c(bytes) {
            return Err(damaged("the footer's checksum does not fit"));
        }
        let (bytes, format) = bytes.split_last_chunk::<4>().ok_or_else(|| damaged("it is cut off"))?;
        let format = u32::from_le_bytes(*format);
        if format != FORMAT {
            return Err(Error::Newer { path: path.to_owned(), format: format.to_string() });
        }
        let (bytes, _length) = bytes.split_last_chunk::<4>().ok_or_else(|| damaged("it is cut off"))?;
        let footer: Footer = postcard::from_bytes(bytes).map_err(|e| damaged(&e.to_string()))?;
        let end = footer.placed().last().map_or(MAGIC.len() as u64, |(place, _)| place.end);
        if end + (bytes.len() + TAIL) as u64 != size {
            return Err(damaged("the blocks do not fill the file"));
        }
        if footer.blocks.iter().any(|b| b.operator as usize >= footer.operators.len()) {
            return Err(damaged("a block is of no operator"));
        }
        Ok((footer, checksum))
    }
}

/// A finished part: what was written, and what a manifest says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part<W = Vec<u8>> {
    pub(crate) out: W,
    pub(crate) kind: PartKind,
    pub(crate) groups: Range<u16>,
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
    pub(crate) checksum: u32,
}

impl<W> Part<W> {
    /// Its entries, deletions included. A delta without any need not be stored.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Its size.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What was written to.
    pub fn into_inner(self) -> W {
        self.out
    }
}

#[derive(Default)]
struct Open {
    operator: u32,
    group: u8,
    bytes: Vec<u8>,
    entries: u32,
    deletions: u32,
}

/// Writes a part, compressing as it goes: entries in any order, each key of an operator at most once.
///
/// ```
/// # use tidemill_checkpoint::{PartKind, PartWriter};
/// let mut writer = PartWriter::new(PartKind::Delta);
/// writer.put("totals", 17, b"customer-1", Some(b"42"))?;
/// writer.put("totals", 230, b"customer-2", None)?; // it was deleted since the checkpoint before
/// assert_eq!(writer.finish()?.entries(), 2);
/// # Ok::<_, tidemill_checkpoint::Error>(())
/// ```
pub struct PartWriter<W: Write = Vec<u8>> {
    out: W,
    footer: Footer,
    /// Bytes written.
    written: u64,
    /// Where each operator is in the footer.
    operators: HashMap<String, usize>,
    /// The operator of the last `put`.
    last: usize,
    /// 256 blocks for each operator.
    open: Vec<Open>,
    /// Bytes of entries in `open`.
    waiting: usize,
    zstd: zstd::bulk::Compressor<'static>,
    packed: Vec<u8>,
}

impl PartWriter {
    /// A part in memory.
    pub fn new(kind: PartKind) -> Self {
        PartWriter::to(Vec::new(), kind)
    }
}

impl<W: Write> PartWriter<W> {
    /// A part that goes to `out`, block by block, as entries come.
    pub fn to(out: W, kind: PartKind) -> Self {
        PartWriter {
            out,
            footer: Footer { kind, operators: Vec::new(), blocks: Vec::new() },
            written: 0,
            operators: HashMap::new(),
            last: 0,
            open: Vec::new(),
            waiting: 0,
            // Level 1 is always there; were it not, the default would serve.
            zstd: zstd::bulk::Compressor::new(1).unwrap_or_default(),
            packed: Vec::new(),
        }
    }

    /// Adds a key's state, or that the key was deleted since the checkpoint before.
    pub fn put(&mut self, operator: &str, group: u8, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        let bytes = key.len().saturating_add(value.map_or(0, <[u8]>::len));
        if bytes > LARGEST_ENTRY {
            return Err(Error::TooLarge { operator: operator.to_owned(), bytes });
        }
        let index = self.blocks_of(operator) + usize::from(group);
        let open = &mut self.open[index];
        let before = open.bytes.len();
        entry::encode(&mut open.bytes, key, value);
        open.entries += 1;
        open.deletions += u32::from(value.is_none());
        let size = open.bytes.len();
        self.waiting += size - before;
        if size >= BLOCK {
            self.close(index)?;
        } else if self.waiting >= OPEN
            && let Some(largest) = (0..self.open.len()).max_by_key(|&i| self.open[i].bytes.len())
        {
            self.close(largest)?;
        }
        Ok(())
    }

    /// Entries put so far.
    pub fn entries(&self) -> u64 {
        self.footer.entries() + self.open.iter().map(|open| u64::from(open.entries)).sum::<u64>()
    }

    /// Closes the part.
    pub fn finish(mut self) -> Result<Part<W>> {
        for index in 0..self.open.len() {
            self.close(index)?;
        }
        let (footer, checksum) = self.footer.encode().map_err(|e| Error::storage("a part's footer", &e))?;
        self.write(&footer)?;
        self.out.flush().map_err(unwritten)?;
        Ok(Part {
            kind: self.footer.kind,
            groups: self.footer.groups(),
            bytes: self.written,
            entries: self.footer.entries(),
            checksum,
            out: self.out,
        })
    }

    /// Where the blocks of an operator are in `open`.
    fn blocks_of(&mut self, operator: &str) -> usize {
        if self.footer.operators.get(self.last).is_none_or(|last| last != operator) {
            self.last = match self.operators.get(operator) {
                Some(&index) => index,
                None => self.add(operator),
            };
        }
        self.last * 256
    }

    fn add(&mut self, operator: &str) -> usize {
        let index = self.footer.operators.len();
        self.footer.operators.push(operator.to_owned());
        self.operators.insert(operator.to_owned(), index);
        self.open.extend((0..=255).map(|group| Open { operator: index as u32, group, ..Open::default() }));
        index
    }

    fn close(&mut self, index: usize) -> Result<()> {
        let open = &mut self.open[index];
        if open.entries == 0 {
            return Ok(());
        }
        self.waiting -= open.bytes.len();
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(open.bytes.len()));
        self.zstd.compress_to_buffer(&open.bytes, &mut self.packed).map_err(unwritten)?;
        self.footer.blocks.push(Block {
            operator: open.operator,
            group: open.group,
            length: self.packed.len() as u32,
            raw: open.bytes.len() as u32,
            entries: open.entries,
            deletions: open.deletions,
            checksum: crc32c::crc32c(&self.packed),
        });
        (open.entries, open.deletions) = (0, 0);
        // An outsized entry's memory is not kept.
        open.bytes = if open.bytes.len() > 2 * BLOCK { Vec::new() } else { std::mem::take(&mut open.bytes) };
        open.bytes.clear();
        let packed = std::mem::take(&mut self.packed);
        self.write(&packed)?;
        self.packed = packed;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if self.written == 0 {
            self.out.write_all(MAGIC).map_err(unwritten)?;
            self.written = MAGIC.len() as u64;
        }
        self.out.write_all(bytes).map_err(unwritten)?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

fn unwritten(error: io::Error) -> Error {
    // The store's own writer has named file and cause.
    error.downcast().unwrap_or_else(|error| Error::storage("a part being written", &error))
}

/// Reads blocks, with memory that is kept from one to the next.
pub(crate) struct Unpack {
    zstd: zstd::bulk::Decompressor<'static>,
    raw: Vec<u8>,
}

impl Unpack {
    pub fn new() -> Self {
        // Without a dictionary there is nothing that could fail.
        Unpack { zstd: zstd::bulk::Decompressor::new().unwrap_or_default(), raw: Vec::new() }
    }

    /// Calls `visit` for each entry of the block `packed`, which is at `place` of `path`, once its checksum fits.
    pub fn entries<E: From<Error>>(
        &mut self,
        (path, place): (&str, &Range<u64>),
        block: &Block,
        packed: &[u8],
        mut visit: impl FnMut(&[u8], Option<&[u8]>) -> Result<(), E>,
    ) -> Result<(), E> {
        let damaged = |reason: &str| Error::corrupt(path, format!("{}..{}", place.start, place.end), reason);
        if packed.len() != block.length as usize || crc32c::crc32c(packed) != block.checksum {
            return Err(damaged("the block's checksum does not fit").into());
        }
        self.raw.clear();
        self.raw.try_reserve_exact(block.raw as usize).map_err(|e| Error::storage(path, &e))?;
        self.zstd.decompress_to_buffer(packed, &mut self.raw).map_err(|e| damaged(&e.to_string()))?;
        let mut rest = &self.raw[..];
        for _ in 0..block.entries {
            let (key, value) = entry::decode(&mut rest).ok_or_else(|| damaged("an entry is cut off"))?;
            visit(key, value)?;
        }
        if !rest.is_empty() {
            return Err(damaged("there is more in the block than its entries").into());
        }
        Ok(())
    }
}
