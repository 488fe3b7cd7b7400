//! How a connection begins: both sides say who they are, and prove that they know the secret.
//!
//! With a secret, it is the Noise handshake NNpsk0, whose messages carry an [`Identity`] each, sealed; then the dialer
//! confirms, so that a message replayed by somebody else gains nothing. Without one, the same in the clear. Everything
//! that is read is bounded in size and time, and none of it is trusted before it has been opened.

use crate::cluster::Secret;
use crate::cluster::link::Seal;
use serde::{Deserialize, Serialize};
use snow::{Builder, HandshakeState};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const MAGIC: [u8; 8] = *b"TIDEMILL";

/// Changes with what is sent.
const VERSION: u8 = 1;

/// ring's AES-GCM is twice as fast as its ChaCha20-Poly1305 where the processor helps, as any of today's does.
const NOISE: &str = "Noise_NNpsk0_25519_AESGCM_SHA256";

/// Bytes of a handshake message at most.
const MOST: usize = 1024;

/// A nonce that no frame reaches.
const CONFIRM: u64 = u64::MAX - 1;

/// Who a process is, and what must agree with others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub process: usize,
    pub processes: usize,
    pub workers: usize,
    pub build: String,
    pub generation: u64,
}

/// Why a connection was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("it does not speak Tidemill's protocol: a stranger, or a health check")]
    Stranger,
    #[error("it said nothing in time, or hung up: a health check, or a process that just ended")]
    Silent,
    #[error("it speaks another version of the protocol: run the same build everywhere")]
    Version,
    #[error("one side has a secret and the other has none: give all processes the same one")]
    OneSecret,
    #[error("the secrets differ: give all processes the same one")]
    Secret,
    #[error("the builds differ, {0} and {1}: run the same program everywhere")]
    Build(String, String),
    #[error("one has {0} processes of {1} workers, the other {2} of {3}: start all with the same numbers")]
    Shape(usize, usize, usize, usize),
    #[error("process {0} is not expected there: is --hosts the same everywhere, and --process different?")]
    Process(usize),
    #[error("it is of generation {0}, not {1}: one of them is left from an earlier start")]
    Generation(u64, u64),
}

impl Refusal {
    /// Whether it may be otherwise at the next try.
    pub fn may_pass(&self, ours: u64) -> bool {
        match self {
            Refusal::Silent | Refusal::Stranger => true,
            // Who is older ends; its successor will be of ours.
            Refusal::Generation(one, other) => *one.max(other) <= ours,
            _ => false,
        }
    }

    /// As the first byte of an answer that no secret is needed to read.
    fn code(&self) -> u8 {
        match self {
            Refusal::Version => 1,
            Refusal::OneSecret => 2,
            Refusal::Secret => 3,
            _ => 4,
        }
    }

    fn from_code(code: u8) -> Self {
        match code {
            1 => Refusal::Version,
            2 => Refusal::OneSecret,
            3 => Refusal::Secret,
            _ => Refusal::Stranger,
        }
    }
}

impl From<std::io::Error> for Refusal {
    fn from(_: std::io::Error) -> Self {
        Refusal::Silent
    }
}

impl Identity {
    /// Whether `other`, if it is process `expected`, may run a job with this one.
    fn agrees(&self, other: &Identity, expected: impl Fn(usize) -> bool) -> Result<(), Refusal> {
        if self.build != other.build {
            return Err(Refusal::Build(other.build.clone(), self.build.clone()));
        }
        if (self.processes, self.workers) != (other.processes, other.workers) {
            return Err(Refusal::Shape(other.processes, other.workers, self.processes, self.workers));
        }
        if self.generation != other.generation {
            return Err(Refusal::Generation(other.generation, self.generation));
        }
        if !expected(other.process) {
            return Err(Refusal::Process(other.process));
        }
        Ok(())
    }
}

/// Begins a connection to process `peer`.
pub(crate) fn dial(
    socket: &TcpStream,
    me: &Identity,
    peer: usize,
    secret: Option<&Secret>,
    until: Instant,
) -> Result<Seal, Refusal> {
    let mut wire = Wire { socket, until };
    let mut noise = secret.map(|secret| handshake(secret, true)).transpose()?;
    wire.send(&[&MAGIC[..], &[VERSION, u8::from(noise.is_some())]].concat())?;
    wire.message(&write(&mut noise, me)?)?;
    let mut answer = [0; 9];
    wire.receive(&mut answer)?;
    if answer[..8] != MAGIC {
        return Err(Refusal::Stranger);
    }
    if answer[8] != 0 {
        return Err(Refusal::from_code(answer[8]));
    }
    let theirs: Result<Identity, Refusal> = read(&mut noise, &wire.hear()?)?;
    me.agrees(&theirs?, |process| process == peer)?;
    let seal = Seal::new(noise).map_err(|_| Refusal::Secret)?;
    let mut confirmed = [0; MOST];
    let n = seal.close(CONFIRM, &MAGIC, &mut confirmed).map_err(|_| Refusal::Secret)?;
    wire.message(&confirmed[..n])?;
    Ok(seal)
}

/// Answers whoever has connected; gives the process that it is.
pub(crate) fn answer(
    socket: &TcpStream,
    me: &Identity,
    secret: Option<&Secret>,
    until: Instant,
) -> Result<(usize, Seal), Refusal> {
    let mut wire = Wire { socket, until };
    let refused = |refusal: Refusal| -> Refusal {
        // Whether it hears that is its own affair.
        let _ = Wire { socket, until }.send(&[&MAGIC[..], &[refusal.code()]].concat());
        refusal
    };
    let mut first = [0; 10];
    wire.receive(&mut first)?;
    if first[..8] != MAGIC {
        return Err(Refusal::Stranger);
    }
    if first[8] != VERSION {
        return Err(refused(Refusal::Version));
    }
    if first[9] != u8::from(secret.is_some()) {
        return Err(refused(Refusal::OneSecret));
    }
    let mut noise = secret.map(|secret| handshake(secret, false)).transpose()?;
    let theirs: Identity = read(&mut noise, &wire.hear()?).map_err(refused)?;
    let verdict = me.agrees(&theirs, |process| process > me.process && process < me.processes);
    let told: Result<&Identity, &Refusal> = verdict.as_ref().map(|()| me);
    wire.send(&[&MAGIC[..], &[0]].concat())?;
    wire.message(&write(&mut noise, &told)?)?;
    verdict?;
    let seal = Seal::new(noise).map_err(|_| Refusal::Secret)?;
    let mut confirmed = [0; MOST];
    let n = seal.open(CONFIRM, &wire.hear()?, &mut confirmed).map_err(|_| Refusal::Secret)?;
    if confirmed[..n] != MAGIC {
        return Err(Refusal::Secret);
    }
    Ok((theirs.process, seal))
}

fn handshake(secret: &Secret, dials: bool) -> Result<HandshakeState, Refusal> {
    let pattern = NOISE.parse().map_err(|_| Refusal::Version)?;
    let builder = Builder::new(pattern).prologue(&[VERSION]).and_then(|builder| builder.psk(0, secret.key()));
    let built = builder.and_then(|builder| if dials { builder.build_initiator() } else { builder.build_responder() });
    built.map_err(|_| Refusal::Version)
}

fn write(noise: &mut Option<HandshakeState>, value: &impl Serialize) -> Result<Vec<u8>, Refusal> {
    let plain = postcard::to_stdvec(value).map_err(|_| Refusal::Version)?;
    let Some(noise) = noise else { return Ok(plain) };
    let mut sealed = [0; MOST];
    let n = noise.write_message(&plain, &mut sealed).map_err(|_| Refusal::Version)?;
    Ok(sealed[..n].to_vec())
}

fn read<T: for<'a> Deserialize<'a>>(noise: &mut Option<HandshakeState>, sealed: &[u8]) -> Result<T, Refusal> {
    let mut plain = [0; MOST];
    let plain = match noise {
        None => sealed,
        Some(noise) => {
            let n = noise.read_message(sealed, &mut plain).map_err(|_| Refusal::Secret)?;
            &plain[..n]
        }
    };
    postcard::from_bytes(plain).map_err(|_| Refusal::Version)
}

/// A socket that is waited for until some time, and no longer.
struct Wire<'a> {
    socket: &'a TcpStream,
    until: Instant,
}

impl Wire<'_> {
    fn left(&self) -> std::io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }

    fn receive(&mut self, mut into: &mut [u8]) -> std::io::Result<()> {
        while !into.is_empty() {
            self.socket.set_read_timeout(Some(self.left()?))?;
            match self.socket.read(into) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => into = &mut into[n..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.socket.set_write_timeout(Some(self.left()?))?;
        self.socket.write_all(bytes)
    }

    fn message(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        // At most `MOST`, so it fits.
        self.send(&[&(bytes.len() as u16).to_be_bytes()[..], bytes].concat())
    }

    fn hear(&mut self) -> Result<Vec<u8>, Refusal> {
        let mut length = [0; 2];
        self.receive(&mut length)?;
        let length = usize::from(u16::from_be_bytes(length));
        if length > MOST {
            return Err(Refusal::Stranger);
        }
        let mut bytes = vec![0; length];
        self.receive(&mut bytes)?;
        Ok(bytes)
    }
}
