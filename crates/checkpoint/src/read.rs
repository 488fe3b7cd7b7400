//! Reading: the parts of a checkpoint merged, and checked in full.

use crate::error::{Error, Result};
use crate::manifest::{Manifest, PartRef};
use crate::part::{Block, Footer, MAGIC, Unpack};
use crate::store::Store;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

/// Compressed bytes fetched at once, and blocks: a bucket may fetch what lies between them too.
const FETCH: u64 = 4 << 20;
const FETCH_BLOCKS: usize = 32;
/// Bytes of entries, in newer parts, of the sections merged at once: their keys are what merging keeps in memory.
const WINDOW: u64 = 64 << 20;

/// An operator's entries of one key group.
type Section<'a> = (&'a str, u8);

/// A section while it is merged.
#[derive(Default)]
struct Merging {
    /// Parts that have it and are still to be read.
    older: usize,
    /// Keys of the parts read so far.
    seen: HashSet<Box<[u8]>>,
}

impl Store {
    /// Calls `visit` with operator, group, key and value of every key that checkpoint has in `groups` (0 to 256), in no
    /// particular order: of a key in several parts the newest counts, and deleted ones are left out.
    ///
    /// In memory are a few blocks, and the keys of newer parts for as many sections as are merged at once.
    pub fn read<E: From<Error>>(
        &self,
        manifest: &Manifest,
        groups: Range<u16>,
        visit: impl FnMut(&str, u8, &[u8], &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.read_those(manifest, None, groups, visit)
    }

    /// The same of one operator: `visit` is told group, key and value.
    pub fn read_operator<E: From<Error>>(
        &self,
        manifest: &Manifest,
        operator: &str,
        groups: Range<u16>,
        mut visit: impl FnMut(u8, &[u8], &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.read_those(manifest, Some(operator), groups, |_, group, key, value| visit(group, key, value))
    }

    fn read_those<E: From<Error>>(
        &self,
        manifest: &Manifest,
        operator: Option<&str>,
        groups: Range<u16>,
        mut visit: impl FnMut(&str, u8, &[u8], &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let newest_first = manifest.parts.iter().rev();
        let within = |part: &&PartRef| part.groups.start < groups.end && groups.start < part.groups.end;
        let parts = newest_first.filter(within).map(|part| Ok((part, self.footer(part)?)));
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let mut unpack = Unpack::new();
        for mut window in windows(&parts, operator, &groups) {
            for (part, footer) in &parts {
                let wanted = |block: &Block| window.contains_key(&section(footer, block));
                let wanted: Vec<_> = footer.placed().filter(|(_, block)| wanted(block)).collect();
                let mut counted = HashSet::new();
                for (_, block) in &wanted {
                    if counted.insert((block.operator, block.group))
                        && let Some(merging) = window.get_mut(&section(footer, block))
                    {
                        merging.older -= 1;
                    }
                }
                self.blocks(&part.path, wanted, |place, block, packed| {
                    let (operator, group) = section(footer, block);
                    let Some(merging) = window.get_mut(&(operator, group)) else { return Ok(()) };
                    unpack.entries(place, block, packed, |key, value| {
                        if !merging.seen.is_empty() && merging.seen.contains(key) {
                            return Ok(());
                        }
                        if merging.older > 0 {
                            merging.seen.insert(key.into());
                        }
                        value.map_or(Ok(()), |value| visit(operator, group, key, value))
                    })
                })?;
            }
        }
        Ok(())
    }

    /// Reads a checkpoint's parts in full, and names all that is damaged or missing in them.
    pub fn verify(&self, manifest: &Manifest) -> Result<Vec<Error>> {
        let mut damage = Vec::new();
        let mut note = |checked: Result<()>| match checked {
            Err(error) if error.is_damage() => {
                damage.push(error);
                Ok(())
            }
            checked => checked,
        };
        let mut unpack = Unpack::new();
        for part in &manifest.parts {
            let footer = match self.footer(part) {
                Ok(footer) => footer,
                Err(error) => {
                    note(Err(error))?;
                    continue;
                }
            };
            let start = self.storage.range(&part.path, 0..MAGIC.len() as u64)?.1;
            if start != MAGIC {
                note(Err(Error::corrupt(&part.path, "its start", "it does not start as a part does")))?;
            }
            self.blocks(&part.path, footer.placed().collect(), |place, block, packed| {
                note(unpack.entries(place, block, packed, |_, _| Ok(())))
            })?;
        }
        Ok(damage)
    }

    /// Fetches blocks, some at a time, in the order of the file.
    fn blocks<E: From<Error>>(
        &self,
        path: &str,
        blocks: Vec<(Range<u64>, &Block)>,
        mut visit: impl FnMut((&str, &Range<u64>), &Block, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = &blocks[..];
        while let Some((first, _)) = rest.first() {
            let mut bytes = first.end - first.start;
            let more = rest[1..].iter().take(FETCH_BLOCKS - 1).take_while(|(place, _)| {
                bytes += place.end - place.start;
                bytes <= FETCH
            });
            let (fetch, later) = rest.split_at(1 + more.count());
            let ranges: Vec<_> = fetch.iter().map(|(place, _)| place.clone()).collect();
            for ((place, block), packed) in fetch.iter().zip(self.storage.ranges(path, &ranges)?) {
                visit((path, place), block, packed.as_ref())?;
            }
            rest = later;
        }
        Ok(())
    }
}

fn section<'a>(footer: &'a Footer, block: &Block) -> Section<'a> {
    (&footer.operators[block.operator as usize], block.group)
}

/// Divides the sections of some groups, and of one operator or all, into windows that are merged one after the other.
fn windows<'a>(
    parts: &'a [(&PartRef, Footer)],
    operator: Option<&str>,
    groups: &Range<u16>,
) -> Vec<BTreeMap<Section<'a>, Merging>> {
    // Of each section, the bytes in each part that has it.
    let mut sections: BTreeMap<Section<'a>, Vec<(usize, u64)>> = BTreeMap::new();
    for (index, (_, footer)) in parts.iter().enumerate() {
        for block in footer.blocks.iter().filter(|block| groups.contains(&u16::from(block.group))) {
            let section = section(footer, block);
            if operator.is_some_and(|operator| operator != section.0) {
                continue;
            }
            let sizes = sections.entry(section).or_default();
            match sizes.last_mut().filter(|(part, _)| *part == index) {
                Some((_, bytes)) => *bytes += u64::from(block.raw),
                None => sizes.push((index, u64::from(block.raw))),
            }
        }
    }
    let mut windows: Vec<BTreeMap<_, _>> = Vec::new();
    let mut room = 0;
    for (section, sizes) in sections {
        let newer: u64 = sizes[..sizes.len() - 1].iter().map(|(_, bytes)| bytes).sum();
        if windows.is_empty() || newer > room {
            windows.push(BTreeMap::new());
            room = WINDOW;
        }
        room = room.saturating_sub(newer);
        if let Some(window) = windows.last_mut() {
            window.insert(section, Merging { older: sizes.len(), seen: HashSet::new() });
        }
    }
    windows
}
