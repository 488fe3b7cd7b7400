//! A connection to another process: timely's bytes in sealed frames, and words between them.
//!
//! A frame is four bytes, whose highest bit says whether it is a word and whose others are its length, and then so many
//! sealed bytes, 65,535 at most. A frame's nonce is its number and, as the lowest bit, whether it is a word: so a frame
//! that was repeated, left out, put elsewhere or relabelled does not open.

use crate::cluster::mesh::Bus;
use crate::cluster::word::Word;
use crate::error::Error;
use snow::{HandshakeState, StatelessTransportState};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use timely::communication::allocator::zero_copy::stream::Stream;

/// Bytes of a sealed frame at most: Noise has no longer ones.
const MOST_SEALED: usize = 65_535;

/// Bytes that sealing adds.
const TAG: usize = 16;

/// Bytes of an opened one: a word goes on in the next frame as long as frames are full.
const MOST_PLAIN: usize = MOST_SEALED - TAG;

/// Bytes of a word at most.
const MOST_WORD: usize = 1 << 24;

const HEADER: usize = 4;

const IS_WORD: u32 = 1 << 31;

/// Bytes read or written at once.
const BUFFER: usize = 4 * (HEADER + MOST_SEALED);

/// How long a failed write waits for the other thread to read the reason.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Closes and opens frames.
pub(crate) enum Seal {
    /// Without a secret, frames are as they are.
    Clear,
    Noise(Box<StatelessTransportState>),
}

impl Seal {
    /// What a finished handshake has led to.
    pub fn new(noise: Option<HandshakeState>) -> Result<Self, snow::Error> {
        let noise = noise.map(HandshakeState::into_stateless_transport_mode).transpose()?;
        Ok(noise.map_or(Seal::Clear, |noise| Seal::Noise(Box::new(noise))))
    }

    pub fn close(&self, nonce: u64, plain: &[u8], into: &mut [u8]) -> Result<usize, snow::Error> {
        match self {
            Seal::Clear => Seal::copy(plain, into),
            Seal::Noise(noise) => noise.write_message(nonce, plain, into),
        }
    }

    pub fn open(&self, nonce: u64, sealed: &[u8], into: &mut [u8]) -> Result<usize, snow::Error> {
        match self {
            Seal::Clear => Seal::copy(sealed, into),
            Seal::Noise(noise) => noise.read_message(nonce, sealed, into),
        }
    }

    fn copy(from: &[u8], into: &mut [u8]) -> Result<usize, snow::Error> {
        into.get_mut(..from.len()).ok_or(snow::Error::Input)?.copy_from_slice(from);
        Ok(from.len())
    }
}

/// A connection to another process; clones share it. Timely reads it in one thread and writes it in another.
#[derive(Clone)]
pub(crate) struct Link(Arc<Ends>);

struct Ends {
    peer: usize,
    socket: TcpStream,
    seal: Seal,
    /// A process that is silent for so long is lost: every one says something each second.
    heartbeat: Duration,
    bus: Arc<Bus>,
    reading: Mutex<Reading>,
    writing: Mutex<Writing>,
}

/// What has been received and not yet taken.
struct Reading {
    sealed: Vec<u8>,
    from: usize,
    to: usize,
    /// An opened frame, where its reader had no room for it.
    plain: Vec<u8>,
    taken: usize,
    /// The beginning of a word of more than one frame.
    word: Vec<u8>,
    frames: u64,
    ended: bool,
}

struct Writing {
    sealed: Vec<u8>,
    frames: u64,
    ended: bool,
}

impl Link {
    /// The connection to `peer` that a handshake has made.
    pub fn new(peer: usize, socket: TcpStream, seal: Seal, heartbeat: Duration, bus: Arc<Bus>) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(heartbeat))?;
        socket.set_write_timeout(Some(heartbeat))?;
        let reading = Reading {
            sealed: vec![0; BUFFER],
            from: 0,
            to: 0,
            plain: Vec::new(),
            taken: 0,
            word: Vec::new(),
            frames: 0,
            ended: false,
        };
        let writing = Writing { sealed: vec![0; BUFFER], frames: 0, ended: false };
        let (reading, writing) = (Mutex::new(reading), Mutex::new(writing));
        Ok(Link(Arc::new(Ends { peer, socket, seal, heartbeat, bus, reading, writing })))
    }

    pub fn peer(&self) -> usize {
        self.0.peer
    }

    /// Says a word, unless others keep the connection busy until `patience` is over: then false.
    pub fn tell(&self, word: &Word, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let Ok(bytes) = postcard::to_stdvec(word) else { return false };
        loop {
            match self.0.writing.try_lock() {
                // Who does not hear it is lost, as its reader will find.
                Ok(mut writing) => return self.send(&mut writing, true, &bytes).is_ok(),
                // A lock cannot be waited for with a deadline.
                Err(_) if Instant::now() < until => std::thread::sleep(Duration::from_millis(1)),
                Err(_) => return false,
            }
        }
    }

    /// Hears the words that come after the data, if that has ended and some are there.
    pub fn listen(&self) {
        let Ok(mut reading) = self.0.reading.try_lock() else { return };
        if reading.ended
            && !self.0.bus.has_failed()
            && let Err(error) =
                self.0.socket.set_read_timeout(Some(Duration::from_millis(1))).and_then(|()| self.words(&mut reading))
        {
            self.lost(&error);
        }
    }

    fn words(&self, reading: &mut Reading) -> io::Result<()> {
        loop {
            while let Some(frame) = reading.next()? {
                self.word(reading, &frame)?;
            }
            match self.fill(reading) {
                Err(error) if is_silence(&error) => return Ok(()),
                other => other?,
            }
        }
    }

    fn word(&self, reading: &mut Reading, frame: &Frame) -> io::Result<()> {
        let mut plain = vec![0; frame.length];
        let n = self.open(reading, frame, &mut plain)?;
        reading.word.extend_from_slice(&plain[..n]);
        if n == MOST_PLAIN && reading.word.len() < MOST_WORD {
            return Ok(());
        }
        match postcard::from_bytes(&std::mem::take(&mut reading.word)).map_err(|_| damaged())? {
            Word::End => reading.ended = true,
            word => self.0.bus.hear(self.0.peer, word),
        }
        Ok(())
    }

    fn open(&self, reading: &Reading, frame: &Frame, into: &mut [u8]) -> io::Result<usize> {
        let sealed = &reading.sealed[frame.at..frame.at + frame.length];
        self.0.seal.open(frame.nonce, sealed, into).map_err(|_| damaged())
    }

    /// Waits for more bytes.
    fn fill(&self, reading: &mut Reading) -> io::Result<()> {
        reading.sealed.copy_within(reading.from..reading.to, 0);
        (reading.from, reading.to) = (0, reading.to - reading.from);
        match (&self.0.socket).read(&mut reading.sealed[reading.to..]) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                reading.to += n;
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Reads data; hears the words between.
    fn data(&self, reading: &mut Reading, into: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        loop {
            if reading.taken < reading.plain.len() {
                let n = (reading.plain.len() - reading.taken).min(into.len() - filled);
                into[filled..filled + n].copy_from_slice(&reading.plain[reading.taken..][..n]);
                (reading.taken, filled) = (reading.taken + n, filled + n);
            }
            if reading.ended || filled == into.len() {
                return Ok(filled);
            }
            match reading.next()? {
                Some(frame) if frame.is_word => self.word(reading, &frame)?,
                Some(frame) if frame.length <= into.len() - filled => {
                    filled += self.open(reading, &frame, &mut into[filled..])?;
                }
                Some(frame) => {
                    let mut plain = std::mem::take(&mut reading.plain);
                    plain.resize(frame.length, 0);
                    let n = self.open(reading, &frame, &mut plain)?;
                    plain.truncate(n);
                    (reading.plain, reading.taken) = (plain, 0);
                }
                None if filled > 0 => return Ok(filled),
                None => self.fill(reading)?,
            }
        }
    }

    fn send(&self, writing: &mut Writing, is_word: bool, bytes: &[u8]) -> io::Result<()> {
        let Writing { sealed, frames, .. } = writing;
        let mut to = 0;
        // A word that fills its last frame needs another to end in.
        let last = (is_word && bytes.len().is_multiple_of(MOST_PLAIN)).then_some(&[][..]);
        for plain in bytes.chunks(MOST_PLAIN).chain(last) {
            if sealed.len() - to < HEADER + plain.len() + TAG {
                (&self.0.socket).write_all(&sealed[..to])?;
                to = 0;
            }
            let nonce = 2 * *frames + u64::from(is_word);
            let closed = self.0.seal.close(nonce, plain, &mut sealed[to + HEADER..]);
            let n = closed.map_err(|error| io::Error::other(error.to_string()))?;
            let header = n as u32 | if is_word { IS_WORD } else { 0 };
            sealed[to..to + HEADER].copy_from_slice(&header.to_be_bytes());
            *frames += 1;
            to += HEADER + n;
        }
        (&self.0.socket).write_all(&sealed[..to])
    }

    /// Says what happened to the job.
    fn lost(&self, error: &io::Error) {
        let reason = match error.kind() {
            _ if is_silence(error) => format!("nothing was heard of it for {} s", self.0.heartbeat.as_secs()),
            // Which of them depends on whether something was left unread.
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                "its connection closed without a word, so it was killed, or has crashed, or the network failed"
                    .to_owned()
            }
            _ => error.to_string(),
        };
        self.0.bus.fail(Error::Lost { process: self.0.peer, reason });
    }

    fn writing(&self) -> MutexGuard<'_, Writing> {
        self.0.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Frame {
    is_word: bool,
    nonce: u64,
    at: usize,
    length: usize,
}

impl Reading {
    /// The next frame, if all of it is there.
    fn next(&mut self) -> io::Result<Option<Frame>> {
        let there = &self.sealed[self.from..self.to];
        let Some((header, rest)) = there.split_first_chunk::<HEADER>() else { return Ok(None) };
        let header = u32::from_be_bytes(*header);
        let (is_word, length) = (header & IS_WORD != 0, (header & !IS_WORD) as usize);
        if length > MOST_SEALED {
            return Err(damaged());
        }
        if rest.len() < length {
            return Ok(None);
        }
        let frame = Frame { is_word, nonce: 2 * self.frames + u64::from(is_word), at: self.from + HEADER, length };
        self.frames += 1;
        self.from = frame.at + length;
        Ok(Some(frame))
    }
}

fn damaged() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "what it sent was changed on its way, or is not its own")
}

fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

impl Read for Link {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut reading = self.0.reading.lock().unwrap_or_else(PoisonError::into_inner);
        self.data(&mut reading, into).inspect_err(|error| self.lost(error))
    }
}

impl Write for Link {
    /// What cannot be sent goes nowhere once the job has failed. An error would have timely panic, and poison the queues that
    /// workers write to: one that writes again while it unwinds takes the process down by SIGABRT, without a reason.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Err(error) = self.send(&mut self.writing(), false, bytes) {
            let until = Instant::now() + LAST_WORDS;
            // The other thread may hear why before it is said that nothing is known; it tells nobody when.
            while !self.0.bus.has_failed() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(5));
            }
            self.lost(&error);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Link {
    fn try_clone(&self) -> io::Result<Self> {
        Ok(self.clone())
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.0.socket.set_nonblocking(nonblocking)
    }

    /// The end of writing is a word, behind which others may follow.
    fn shutdown(&self, _: Shutdown) -> io::Result<()> {
        let mut writing = self.writing();
        if std::mem::replace(&mut writing.ended, true) {
            return Ok(());
        }
        for word in self.0.bus.failure_word().into_iter().chain([Word::End]) {
            let bytes = postcard::to_stdvec(&word).map_err(io::Error::other)?;
            self.send(&mut writing, true, &bytes)?;
        }
        Ok(())
    }
}
