//! Compression by content: the first bytes of a file say how to read it.

use std::io::{self, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How bytes on disk become text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Plain,
    Gzip,
    Zstd,
}

/// What a file's first bytes mean: a coding, or what to do about a format not read here.
type Meaning = Result<Coding, &'static str>;

const MAGIC: [(&[u8], Meaning); 8] = [
    (b"\x1f\x8b", Ok(Coding::Gzip)),
    (b"\x28\xb5\x2f\xfd", Ok(Coding::Zstd)),
    (b"\x50\x2a\x4d\x18", Ok(Coding::Zstd)), // a skippable frame, which parallel compressors put first
    (b"PK\x03\x04", Err("is a zip archive: unpack it")),
    (b"\xfd7zXZ\0", Err("is compressed by xz: unpack it, or use gzip or zstd")),
    (b"BZh", Err("is compressed by bzip2: unpack it, or use gzip or zstd")),
    (b"\xff\xfe", Err("is UTF-16 text: convert it with `iconv -f UTF-16 -t UTF-8`")),
    (b"\xfe\xff", Err("is UTF-16 text: convert it with `iconv -f UTF-16 -t UTF-8`")),
];

/// Reads as few bytes as tell the coding, and returns them with it.
pub(crate) fn recognise(read: &mut impl Read) -> io::Result<(Meaning, Vec<u8>)> {
    let mut head = Vec::new();
    loop {
        if let Some((_, meaning)) = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)) {
            return Ok((*meaning, head));
        }
        let undecided = MAGIC.iter().any(|(magic, _)| magic.starts_with(&head));
        if !undecided || read.by_ref().take(1).read_to_end(&mut head)? == 0 {
            return Ok((Ok(Coding::Plain), head));
        }
    }
}

/// The text in `raw`. Concatenated compressed files are one text, as for `zcat`.
pub(crate) fn decode(coding: Coding, raw: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let raw = BufReader::with_capacity(64 << 10, raw);
    Ok(match coding {
        Coding::Plain => Box::new(raw),
        Coding::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(raw)),
        Coding::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(raw)?),
    })
}

/// Counts the bytes read through it.
pub(crate) struct Counted<R> {
    pub(crate) read: R,
    pub(crate) bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.read.read(into)?;
        self.bytes.fetch_add(n as u64, Relaxed);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coding(bytes: &[u8]) -> (Meaning, Vec<u8>) {
        recognise(&mut &bytes[..]).unwrap()
    }

    #[test]
    fn the_first_bytes_decide_and_no_more_are_read() {
        assert_eq!(coding(b"id,name\n"), (Ok(Coding::Plain), b"i".to_vec()));
        assert_eq!(coding(b"P,name\n"), (Ok(Coding::Plain), b"P,".to_vec()));
        assert_eq!(coding(b""), (Ok(Coding::Plain), vec![]));
        assert_eq!(coding(b"\x1f\x8b\x08").0, Ok(Coding::Gzip));
        assert_eq!(coding(b"\x28\xb5\x2f\xfd\x00").0, Ok(Coding::Zstd));
        assert!(coding(b"PK\x03\x04").0.unwrap_err().ends_with("unpack it"));
        assert!(coding(b"\xff\xfei\0").0.unwrap_err().contains("iconv"));
    }
}
