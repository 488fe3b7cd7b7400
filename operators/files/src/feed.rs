//! Where text comes from: a file, a decompressor, or a thread that waits on standard input.

use crate::decode::{Coding, Counted, decode, recognise};
use crate::input::{Origin, unreadable};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use tidemill::SourceError;

/// Bytes that the thread on standard input reads at once, and how many such pieces it may be ahead.
const CHUNK: usize = 64 << 10;
const CHUNKS_AHEAD: usize = 16;

/// What a read brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Got {
    Bytes(usize),
    Waiting,
    End,
}

/// An open input.
pub(crate) struct Feed {
    /// How it is called in messages.
    pub(crate) name: PathBuf,
    from: From,
}

enum From {
    Plain(File),
    Coded(Box<dyn Read + Send>, Arc<AtomicU64>),
    Live(Live),
}

impl Feed {
    pub(crate) fn open(origin: &Origin) -> Result<Self, SourceError> {
        match origin {
            Origin::Stdin => Feed::live("standard input", io::stdin()),
            Origin::File(path) => {
                let failed = |error| unreadable(path, &error);
                let mut file = File::open(path).map_err(failed)?;
                let (meaning, _) = recognise(&mut file).map_err(failed)?;
                let coding = meaning.map_err(|todo| refused(path, todo))?;
                file.rewind().map_err(failed)?;
                let from = match coding {
                    Coding::Plain => From::Plain(file),
                    coding => {
                        let bytes = Arc::default();
                        let raw = Counted { read: file, bytes: Arc::clone(&bytes) };
                        From::Coded(decode(coding, raw).map_err(failed)?, bytes)
                    }
                };
                Ok(Feed { name: path.clone(), from })
            }
        }
    }

    /// What `read` brings, whenever it brings it.
    pub(crate) fn live(name: &str, read: impl Read + Send + 'static) -> Result<Self, SourceError> {
        let name = PathBuf::from(name);
        let (send, chunks) = sync_channel(CHUNKS_AHEAD);
        let thread_name = name.clone();
        std::thread::Builder::new()
            .name(format!("read {}", name.display()))
            .spawn(move || pump(&thread_name, read, &send))
            .map_err(|error| {
                SourceError::new(format!("no thread to read {} ({error}): raise the limit on threads", name.display()))
            })?;
        Ok(Feed { name, from: From::Live(Live { chunks, chunk: Vec::new(), taken: 0 }) })
    }

    pub(crate) fn read(&mut self, into: &mut [u8]) -> Result<Got, SourceError> {
        let name = &self.name;
        let result = match &mut self.from {
            From::Live(live) => return live.read(into),
            From::Plain(file) => retry(file, into).map_err(|error| unreadable(name, &error)),
            From::Coded(read, _) => retry(read, into).map_err(|error| damaged(name, &error)),
        };
        result.map(|n| if n == 0 { Got::End } else { Got::Bytes(n) })
    }

    /// Goes to `offset`, where that costs nothing: a plain file. Otherwise the text before it must
    /// be read.
    pub(crate) fn seek(&mut self, offset: u64) -> Result<bool, SourceError> {
        let From::Plain(file) = &mut self.from else {
            return Ok(false);
        };
        file.seek(SeekFrom::Start(offset)).map_err(|error| unreadable(&self.name, &error))?;
        Ok(true)
    }

    /// How long a plain file is.
    pub(crate) fn len(&self) -> Option<u64> {
        let From::Plain(file) = &self.from else {
            return None;
        };
        file.metadata().ok().map(|meta| meta.len())
    }

    /// Bytes on disk that were read to get `offset` bytes of text.
    pub(crate) fn progress(&self, offset: u64) -> u64 {
        match &self.from {
            From::Coded(_, bytes) => bytes.load(Relaxed),
            From::Plain(_) | From::Live(_) => offset,
        }
    }
}

fn retry(read: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match read.read(into) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn refused(name: &Path, todo: &str) -> SourceError {
    SourceError::new(format!("`{}` {todo}", name.display()))
}

fn damaged(name: &Path, error: &io::Error) -> SourceError {
    use io::ErrorKind::*;
    let name_ = name.display();
    match error.kind() {
        UnexpectedEof => SourceError::new(format!(
            "`{name_}` is cut off: its compressed data ends early; copy it again from where it was made"
        )),
        InvalidData | InvalidInput | Other => SourceError::new(format!(
            "`{name_}` is damaged: its compressed data makes no sense ({error}); copy it again from where it was made"
        )),
        _ => unreadable(name, error),
    }
}

/// The thread's other end.
struct Live {
    chunks: Receiver<Result<Vec<u8>, SourceError>>,
    chunk: Vec<u8>,
    taken: usize,
}

impl Live {
    fn read(&mut self, into: &mut [u8]) -> Result<Got, SourceError> {
        if self.taken == self.chunk.len() {
            self.chunk = match self.chunks.try_recv() {
                Ok(chunk) => chunk?,
                Err(TryRecvError::Empty) => return Ok(Got::Waiting),
                Err(TryRecvError::Disconnected) => return Ok(Got::End),
            };
            self.taken = 0;
        }
        let rest = &self.chunk[self.taken..];
        let n = rest.len().min(into.len());
        into[..n].copy_from_slice(&rest[..n]);
        self.taken += n;
        Ok(Got::Bytes(n))
    }
}

/// Reads until the end, an error, or nobody listens.
fn pump(name: &Path, mut raw: impl Read + Send + 'static, send: &SyncSender<Result<Vec<u8>, SourceError>>) {
    let work = || -> Result<(), SourceError> {
        let (meaning, head) = recognise(&mut raw).map_err(|error| unreadable(name, &error))?;
        let coding = meaning.map_err(|todo| refused(name, todo))?;
        let mut read = decode(coding, io::Cursor::new(head).chain(raw)).map_err(|error| unreadable(name, &error))?;
        let mut chunk = vec![0; CHUNK];
        loop {
            let n = retry(&mut read, &mut chunk).map_err(|error| damaged(name, &error))?;
            if n == 0 || send.send(Ok(chunk[..n].to_vec())).is_err() {
                return Ok(());
            }
        }
    };
    if let Err(error) = work() {
        // Nobody listens only when the job is over anyway.
        let _ = send.send(Err(error));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::{Blocks, Fill};
    use std::sync::mpsc::{Sender, channel};
    use std::time::{Duration, Instant};

    /// Standard input that a test types into.
    struct Typed(Receiver<Vec<u8>>, io::Cursor<Vec<u8>>);

    impl Read for Typed {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            match self.1.read(into)? {
                0 => match self.0.recv() {
                    Ok(bytes) => {
                        self.1 = io::Cursor::new(bytes);
                        self.1.read(into)
                    }
                    Err(_) => Ok(0),
                },
                n => Ok(n),
            }
        }
    }

    fn typed() -> (Sender<Vec<u8>>, Blocks) {
        let (send, receive) = channel();
        let feed = Feed::live("standard input", Typed(receive, io::Cursor::default())).unwrap();
        (send, Blocks::new(feed, 1 << 20))
    }

    /// What there is once something is, within a minute.
    fn wait(blocks: &mut Blocks) -> Result<Fill, SourceError> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            match blocks.fill() {
                Ok(Fill::Waiting) => assert!(Instant::now() < deadline, "nothing came"),
                fill => return fill,
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn live_input_never_blocks_and_gives_whole_lines() {
        let (send, mut blocks) = typed();
        assert_eq!(blocks.fill().unwrap(), Fill::Waiting);
        send.send(b"1,a\n2".to_vec()).unwrap();
        assert_eq!(wait(&mut blocks).unwrap(), Fill::More);
        assert_eq!(blocks.text(), b"1,a\n");
        blocks.consume(4);
        assert_eq!(blocks.place().unwrap(), "standard input:2");
        assert_eq!(blocks.fill().unwrap(), Fill::Waiting);
        send.send(b",b".to_vec()).unwrap();
        drop(send);
        assert_eq!(wait(&mut blocks).unwrap(), Fill::More);
        assert_eq!(blocks.text(), b"2,b\n");
        blocks.consume(4);
        assert_eq!(wait(&mut blocks).unwrap(), Fill::End);
    }

    #[test]
    fn live_input_may_be_compressed_and_may_be_damaged() {
        let packed = zstd::encode_all(&b"1,a\n"[..], 1).unwrap();
        let (send, mut blocks) = typed();
        send.send(packed.clone()).unwrap();
        assert_eq!(wait(&mut blocks).unwrap(), Fill::More);
        assert_eq!(blocks.text(), b"1,a\n");

        let (send, mut blocks) = typed();
        send.send(packed[..packed.len() - 2].to_vec()).unwrap();
        drop(send);
        let error = loop {
            if let Err(error) = wait(&mut blocks) {
                break error.to_string();
            }
        };
        assert!(error.contains("standard input") && error.contains("cut off"), "{error}");
    }
}
