//! Brings all processes together: each dials those before it, and answers those behind it.
//!
//! Whoever else connects is refused, in a thread of its own and within a few seconds, so that nobody keeps the others
//! waiting. The listening socket is closed when all have met.

use crate::cluster::hello::{self, Identity, Refusal};
use crate::cluster::link::Seal;
use crate::cluster::{Cluster, Secret};
use crate::error::{Error, Result};
use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A connection that has begun well.
pub(crate) struct Met {
    pub socket: TcpStream,
    pub seal: Seal,
}

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Handshakes at once; who comes beyond that is turned away.
const MOST_HANDSHAKES: usize = 64;

/// Between two looks at the listening socket.
const GLANCE: Duration = Duration::from_millis(5);

/// What the threads that make connections share.
struct Meeting {
    me: Identity,
    secret: Option<Secret>,
    over: AtomicBool,
    handshakes: AtomicUsize,
    /// What was said already, to say it once.
    said: Mutex<HashSet<String>>,
    met: Sender<(usize, std::result::Result<Met, String>)>,
}

/// Connects to all other processes; the place of this one stays empty.
pub(crate) fn connect(cluster: &Cluster, me: Identity, stop: &AtomicBool) -> Result<Vec<Option<Met>>> {
    let until = Instant::now() + cluster.patience;
    let (process, processes) = (me.process, me.processes);
    let (to_met, met) = channel();
    let meeting = Arc::new(Meeting {
        me,
        secret: cluster.secret.clone(),
        over: AtomicBool::new(false),
        handshakes: AtomicUsize::new(0),
        said: Mutex::default(),
        met: to_met,
    });
    let _over = Over(&meeting.over);
    if process + 1 < processes {
        let address = cluster.listen.as_ref().unwrap_or(&cluster.hosts[process]);
        let listener = TcpListener::bind(address).and_then(|on| on.set_nonblocking(true).map(|()| on));
        let listener = listener.map_err(|error| {
            Error::Start(format!(
                "cannot listen at {address}: {error}; --listen takes another address for this process"
            ))
        })?;
        let meeting = Arc::clone(&meeting);
        spawn("tidemill: accept", move || accept(&listener, &meeting))?;
    }
    for (peer, host) in cluster.hosts.iter().enumerate().take(process) {
        let (meeting, host) = (Arc::clone(&meeting), host.clone());
        spawn("tidemill: dial", move || dial(peer, &host, &meeting, until))?;
    }

    let mut sessions: Vec<Option<Met>> = (0..processes).map(|_| None).collect();
    while sessions.iter().enumerate().any(|(peer, session)| peer != process && session.is_none()) {
        match met.recv_timeout(GLANCE) {
            // One that comes again has been started again.
            Ok((peer, Ok(session))) => sessions[peer] = Some(session),
            Ok((_, Err(reason))) => return Err(Error::Mismatch(reason)),
            Err(RecvTimeoutError::Timeout) if stop.load(Ordering::SeqCst) => return Err(Error::Interrupted),
            Err(_) if Instant::now() >= until => {
                let missing = (0..processes).find(|peer| *peer != process && sessions[*peer].is_none()).unwrap_or(0);
                return Err(Error::Lost {
                    process: missing,
                    reason: format!(
                        "it did not come to {} within {} s",
                        cluster.hosts[missing],
                        cluster.patience.as_secs()
                    ) + "; its log says why, and this one's whom it refused",
                });
            }
            Err(_) => {}
        }
    }
    Ok(sessions)
}

/// Ends the threads.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    let log = tracing::dispatcher::get_default(Clone::clone);
    let work = move || tracing::dispatcher::with_default(&log, work);
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    spawned.map(drop).map_err(|error| Error::Start(format!("no thread for connections: {error}")))
}

impl Meeting {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// Whether this is said for the first time.
    fn is_news(&self, text: &str) -> bool {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).insert(text.to_owned())
    }
}

fn accept(listener: &TcpListener, meeting: &Arc<Meeting>) {
    while !meeting.is_over() {
        match listener.accept() {
            Ok((socket, from)) => {
                if meeting.handshakes.fetch_add(1, Ordering::SeqCst) >= MOST_HANDSHAKES {
                    meeting.handshakes.fetch_sub(1, Ordering::SeqCst);
                    tracing::warn!("refused {from}: {MOST_HANDSHAKES} others are saying who they are");
                    continue;
                }
                let here = Arc::clone(meeting);
                let spawned = spawn("tidemill: answer", move || {
                    let until = Instant::now() + HANDSHAKE;
                    let _ = socket.set_nonblocking(false);
                    match hello::answer(&socket, &here.me, here.secret.as_ref(), until) {
                        // Nobody may be waiting any more.
                        Ok((peer, seal)) => _ = here.met.send((peer, Ok(Met { socket, seal }))),
                        Err(refusal) => tracing::warn!("refused {from}: {refusal}"),
                    }
                    here.handshakes.fetch_sub(1, Ordering::SeqCst);
                });
                if let Err(error) = spawned {
                    meeting.handshakes.fetch_sub(1, Ordering::SeqCst);
                    tracing::warn!("refused {from}: {error}");
                }
            }
            Err(error) => {
                if error.kind() != ErrorKind::WouldBlock && meeting.is_news(&error.to_string()) {
                    tracing::warn!("a connection could not be accepted: {error}");
                }
                // Accepting has no deadline, and must end when all have met.
                std::thread::sleep(GLANCE);
            }
        }
    }
}

fn dial(peer: usize, host: &str, meeting: &Meeting, until: Instant) {
    let mut pause = Duration::from_millis(10);
    while !meeting.is_over() && Instant::now() < until {
        let failed = match try_dial(peer, host, meeting, until) {
            Err(Failed::Refused(refusal)) if refusal.may_pass(meeting.me.generation) => refusal.to_string(),
            Err(Failed::Unreachable(error)) => error.to_string(),
            outcome => {
                let outcome = outcome.map_err(|failed| match failed {
                    Failed::Refused(refusal) => format!("process {peer} at {host}: {refusal}"),
                    Failed::Unreachable(error) => error.to_string(),
                });
                // Nobody may be waiting any more.
                let _ = meeting.met.send((peer, outcome));
                return;
            }
        };
        if meeting.is_news(&failed) {
            tracing::info!("process {peer} at {host} cannot be joined yet: {failed}");
        }
        // Whoever is not there yet is tried again, ever less often.
        std::thread::sleep(pause);
        pause = (2 * pause).min(Duration::from_millis(500));
    }
}

enum Failed {
    Unreachable(std::io::Error),
    Refused(Refusal),
}

fn try_dial(peer: usize, host: &str, meeting: &Meeting, until: Instant) -> std::result::Result<Met, Failed> {
    let mut failed = std::io::Error::new(ErrorKind::NotFound, "the name has no address");
    // The name may mean another address by now.
    for address in host.to_socket_addrs().map_err(Failed::Unreachable)? {
        match TcpStream::connect_timeout(&address, Duration::from_secs(2)) {
            Ok(socket) => {
                let until = until.min(Instant::now() + HANDSHAKE);
                let seal = hello::dial(&socket, &meeting.me, peer, meeting.secret.as_ref(), until);
                return Ok(Met { seal: seal.map_err(Failed::Refused)?, socket });
            }
            Err(error) => failed = error,
        }
    }
    Err(Failed::Unreachable(failed))
}
