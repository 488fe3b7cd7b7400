//! Several processes that run one job: who they are, how they meet, what they tell each other.
//!
//! Timely moves the data; the sockets are ours, so that nobody else gets in and nothing waits for ever:
//!
//! - [`connect`](mod@connect) brings every process together with every other before a deadline, and refuses the rest;
//! - [`hello`] is how a connection begins: who is there, the same program, the same secret;
//! - [`link`](mod@link) carries timely's bytes in sealed frames, and between them the words of [`word`];
//! - [`mesh`] is what a process knows of the others: their graphs, failures, counts and reports.

mod connect;
mod hello;
mod link;
mod mesh;
mod ready;
mod word;

pub(crate) use mesh::{Bus, Mesh};
pub(crate) use ready::{end_with_launcher, not_ready, ready};

use crate::config::Flags;
use crate::error::{Error, Result};
use ring::digest::{SHA256, digest};
use std::fmt::{Debug, Formatter};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

/// One process's place in a cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Which process this is, from 0. Process 0 ticks, runs the sinks and writes the report.
    pub process: usize,
    /// Where each process listens, as `host:port`, in order; their number is the number of processes.
    pub hosts: Vec<String>,
    /// Where this one listens, if not at its address among the hosts: `0.0.0.0:2101` behind an address translation.
    pub listen: Option<String>,
    /// What all processes know and nobody else does: links are encrypted, and strangers refused.
    pub secret: Option<Secret>,
    /// Do without a secret although the hosts are not all this machine: whoever reaches a port can read, and join.
    pub insecure: bool,
    /// Counts the starts of the whole cluster, so that processes of different starts do not meet.
    pub generation: u64,
    /// How long to wait for the other processes.
    pub patience: Duration,
    /// Another process of which nothing is heard for so long is lost. Each says something every second, so it is at least 2
    /// seconds; the longer it is, the longer a machine may hang or a link be cut before the job starts again.
    pub heartbeat: Duration,
    /// What must be the same for all: the fingerprint of the program, by default of its file.
    pub build: Option<String>,
}

/// How long a process waits for the others unless told otherwise.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A process that is silent for so long is lost, unless told otherwise.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(30);

/// Every process says something each second; a shorter silence means nothing.
const LEAST_HEARTBEAT: Duration = Duration::from_secs(2);

/// Bytes a secret has at least.
const LEAST_SECRET: usize = 16;

/// Characters of a build's fingerprint at most.
const MOST_BUILD: usize = 64;

/// The port of process 0 on this machine, where no hosts are given.
const FIRST_PORT: usize = 2101;

impl Cluster {
    /// Process `process` of those that listen at `hosts`, without a secret: fit for loopback addresses.
    pub fn new(process: usize, hosts: Vec<String>) -> Self {
        Cluster {
            process,
            hosts,
            listen: None,
            secret: None,
            insecure: false,
            generation: 0,
            patience: PATIENCE,
            heartbeat: HEARTBEAT,
            build: None,
        }
    }

    /// What the flags say, if they ask for more than one process.
    pub(crate) fn from_flags(flags: &Flags) -> Result<Option<Self>> {
        let usage = |text: String| Err(Error::Usage(text));
        let hosts = match (&flags.hosts, flags.processes) {
            (None, None | Some(1)) => return Ok(None),
            (None, Some(0)) => return usage("--processes 0: choose at least 1".into()),
            (None, Some(processes)) => {
                (0..processes).map(|process| format!("127.0.0.1:{}", FIRST_PORT + process)).collect()
            }
            (Some(path), processes) => {
                let hosts = hosts(path)?;
                if processes.is_some_and(|processes| processes != hosts.len()) {
                    return usage(format!(
                        "--processes {} but {} has {} lines: write one a process, or leave --processes out",
                        processes.unwrap_or(0),
                        path.display(),
                        hosts.len()
                    ));
                }
                if hosts.len() == 1 {
                    return Ok(None);
                }
                hosts
            }
        };
        let Some(process) = flags.process else {
            return usage("say which of the processes this is: --process 0 for the first".into());
        };
        Ok(Some(Cluster {
            listen: flags.listen.clone(),
            secret: Secret::from_flags(flags)?,
            insecure: flags.insecure,
            generation: flags.generation,
            patience: Duration::from_secs(flags.connect_timeout),
            heartbeat: Duration::from_secs(flags.heartbeat),
            ..Cluster::new(process, hosts)
        }))
    }

    /// How many processes there are.
    pub fn processes(&self) -> usize {
        self.hosts.len()
    }

    pub(crate) fn check(&self, workers: usize) -> Result<()> {
        let (process, processes) = (self.process, self.processes());
        let usage = |text: String| Err(Error::Usage(text));
        if process >= processes {
            return usage(format!("--process {process}: there are {processes}, and the first is 0"));
        }
        if workers * processes > crate::hash::KEY_GROUPS {
            return usage(format!("{processes} processes of {workers} workers: choose 256 workers in all at most"));
        }
        if self.heartbeat < LEAST_HEARTBEAT {
            return usage(format!(
                "--heartbeat {}: choose at least {}, for each process says something only every second",
                self.heartbeat.as_secs(),
                LEAST_HEARTBEAT.as_secs()
            ));
        }
        if self.build.as_ref().is_some_and(|build| build.len() > MOST_BUILD) {
            return usage(format!("the build's fingerprint is too long: {MOST_BUILD} characters at most"));
        }
        if self.insecure && self.secret.is_some() {
            return usage("there is a secret, and --insecure says to do without one: choose".into());
        }
        if self.secret.is_none()
            && !self.insecure
            && let Some(host) = self.hosts.iter().chain(&self.listen).find(|host| !is_loopback(host))
        {
            return usage(format!(
                "{host} is not on this machine's loopback, and there is no secret: whoever reaches it could read the data and \
                 join the cluster. Give all processes the same --secret-file (`openssl rand -hex 32` makes one) or \
                 TIDEMILL_SECRET, or say --insecure"
            ));
        }
        Ok(())
    }

    /// The fingerprint of the program.
    pub(crate) fn fingerprint(&self) -> Result<String> {
        if let Some(build) = &self.build {
            return Ok(build.clone());
        }
        let read = std::env::current_exe().and_then(std::fs::read);
        let program = read.map_err(|error| Error::Start(format!("the program's own file cannot be read: {error}")))?;
        Ok(digest(&SHA256, &program).as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
    }
}

/// The addresses in a hosts file: one a line, in the order of the processes. Empty lines and those that begin with `#` do not
/// count.
fn hosts(path: &Path) -> Result<Vec<String>> {
    let usage = |text: String| Error::Usage(format!("--hosts {}: {text}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| usage(error.to_string()))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let hosts: Vec<String> = lines.map(str::to_owned).collect();
    match hosts.iter().find(|host| host.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err())) {
        Some(host) => Err(usage(format!("`{host}` has no port: write host:port, one process a line"))),
        None if hosts.is_empty() => Err(usage("it names no host: write host:port, one process a line".into())),
        None => Ok(hosts),
    }
}

/// Whether `host` is on this machine, and only there. What cannot be resolved is not.
fn is_loopback(host: &str) -> bool {
    let addresses: Vec<_> = host.to_socket_addrs().map(Iterator::collect).unwrap_or_default();
    !addresses.is_empty() && addresses.iter().all(|address: &SocketAddr| address.ip().is_loopback())
}

/// What all processes of a cluster know and nobody else does. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl Secret {
    /// The secret that `text` stands for; white space around it does not count.
    ///
    /// # Errors
    ///
    /// Fails if it is short enough to be guessed.
    pub fn new(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.len() < LEAST_SECRET {
            return Err(Error::Usage(format!(
                "the secret has {} characters: take at least {LEAST_SECRET} random ones; `openssl rand -hex 32` makes them",
                text.len()
            )));
        }
        let mut key = [0; 32];
        key.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        Ok(Secret(key))
    }

    fn from_flags(flags: &Flags) -> Result<Option<Self>> {
        match (&flags.secret_file, std::env::var("TIDEMILL_SECRET")) {
            (Some(path), _) => {
                let text = std::fs::read_to_string(path);
                let text = text.map_err(|error| Error::Usage(format!("--secret-file {}: {error}", path.display())))?;
                Secret::new(&text).map(Some)
            }
            (None, Ok(text)) => Secret::new(&text).map(Some),
            (None, Err(std::env::VarError::NotPresent)) => Ok(None),
            (None, Err(error)) => Err(Error::Usage(format!("TIDEMILL_SECRET: {error}"))),
        }
    }

    fn key(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Debug for Secret {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}
