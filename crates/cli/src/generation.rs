//! One start of a job: its processes, their logs, and their common end.

use crate::launch::{Args, Asked};
use rustix::process::{Pid, Signal, kill_process};
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::net::TcpListener;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Between two looks at the processes: their ends, signals and what they note cannot be waited for together.
const GLANCE: Duration = Duration::from_millis(20);

/// How long the others may take to see by themselves that one has failed, and to say so.
const FOLLOW: Duration = Duration::from_secs(3);

/// The code of a process that another one took along.
const LOST_A_PEER: u8 = 75;

/// Bytes of a line of the log; a longer one is cut in pieces.
const MOST_LINE: u64 = 1 << 16;

/// How a generation ended.
pub(crate) enum Outcome {
    Ended,
    Failed { code: u8, what: String },
}

/// The processes of one start.
pub(crate) struct Generation {
    /// By number, until each has been waited for.
    running: Vec<Option<Child>>,
    /// Who ended, and how, in that order.
    ended: Vec<(usize, ExitStatus)>,
    logs: Vec<JoinHandle<()>>,
    notes: TempDir,
    ready: Option<PathBuf>,
    is_ready: bool,
    /// When processes that do not end are told more clearly: by SIGTERM, if nobody has done that, then by SIGKILL.
    harder: Option<(Instant, Signal)>,
}

impl Generation {
    /// Starts all processes, with addresses and a secret of their own; `again`, after a failure.
    pub fn start(args: &Args, number: u64, again: bool) -> io::Result<Self> {
        let notes = tempfile::tempdir()?;
        let count = usize::from(args.processes);
        let hosts = notes.path().join("hosts");
        std::fs::write(&hosts, addresses(count)?)?;
        let secret = secret(args)?;
        let mut generation = Generation {
            running: Vec::new(),
            ended: Vec::new(),
            logs: Vec::new(),
            notes,
            ready: args.ready_file.clone(),
            is_ready: false,
            harder: None,
        };
        for process in 0..count {
            let mut command = Command::new(&args.program[0]);
            command.args(&args.program[1..]).arg("--workers").arg(args.workers.to_string());
            if count > 1 {
                command.arg("--processes").arg(count.to_string()).arg("--process").arg(process.to_string());
                command.arg("--hosts").arg(&hosts).arg("--generation").arg(number.to_string());
            }
            command.arg("--ready-file").arg(generation.note(process));
            match &secret {
                Some(secret) => command.env("TIDEMILL_SECRET", secret),
                None => command.env_remove("TIDEMILL_SECRET"),
            };
            command.env("TIDEMILL_LAUNCHER", std::process::id().to_string());
            if again {
                command.env("TIDEMILL_RESTARTED", "1");
            }
            let first = process == 0;
            command.stdin(if first && !io::stdin().is_terminal() { Stdio::inherit() } else { Stdio::null() });
            command.stdout(if first { Stdio::inherit() } else { Stdio::piped() }).stderr(Stdio::piped());
            // A terminal's signals come here alone, and are passed on.
            command.process_group(0);
            let mut child = command.spawn()?;
            let out = child.stdout.take().map(|out| log(process, out));
            let err = child.stderr.take().map(|err| log(process, err));
            generation.running.push(Some(child));
            for log in [out, err].into_iter().flatten() {
                generation.logs.push(log?);
            }
        }
        Ok(generation)
    }

    /// What process `process` writes when it is ready.
    fn note(&self, process: usize) -> PathBuf {
        self.notes.path().join(format!("ready.{process}"))
    }

    /// Waits for the end of all processes, which is the end of each that fails.
    pub fn watch(mut self, args: &Args, asked: &Asked) -> Outcome {
        while self.running.iter().any(Option::is_some) {
            self.reap();
            if let Some(signal) = asked.take().and_then(Signal::from_named_raw) {
                self.send(signal);
                let until = Instant::now() + Duration::from_secs(args.grace);
                self.harder.get_or_insert((until, Signal::KILL));
            }
            // One that is not ready may not know the signal yet, and would end.
            if self.is_ready
                && asked.savepoint()
                && let Some(first) = self.running[0].as_ref()
            {
                tell(first, Signal::USR1);
            }
            if self.harder.is_none() && self.ended.iter().any(|(_, status)| !status.success()) {
                self.harder = Some((Instant::now() + FOLLOW, Signal::TERM));
            }
            if let Some((when, signal)) = self.harder
                && Instant::now() >= when
            {
                self.send(signal);
                self.harder = Some((Instant::now() + Duration::from_secs(args.grace), Signal::KILL));
            }
            self.tell_ready();
            std::thread::sleep(GLANCE);
        }
        // They end with their processes.
        self.logs.drain(..).for_each(|log| _ = log.join());
        self.outcome()
    }

    fn reap(&mut self) {
        for (process, slot) in self.running.iter_mut().enumerate() {
            if let Some(child) = slot
                && let Ok(Some(status)) = child.try_wait()
            {
                *slot = None;
                self.ended.push((process, status));
            }
        }
    }

    fn send(&self, signal: Signal) {
        self.running.iter().flatten().for_each(|child| tell(child, signal));
    }

    fn tell_ready(&mut self) {
        let all = || (0..self.running.len()).all(|process| self.note(process).exists());
        if !self.is_ready && self.ended.is_empty() && all() {
            self.is_ready = true;
            if let Some(path) = &self.ready
                && let Err(error) = std::fs::write(path, "ready\n")
            {
                eprintln!("[launch] --ready-file {}: {error}", path.display());
            }
            eprintln!("[launch] ready: {} processes run the job", self.running.len());
        }
    }

    /// What the process that failed first says, unless all have only lost another.
    fn outcome(&self) -> Outcome {
        let failed: Vec<_> = self.ended.iter().filter(|(_, status)| !status.success()).collect();
        let cause = failed.iter().find(|(_, status)| code(*status) != LOST_A_PEER).or(failed.first());
        let Some((process, status)) = cause else { return Outcome::Ended };
        let mut what = format!("process {process} failed: {status}");
        if failed.len() > 1 {
            // Writing to a string cannot fail.
            let _ = write!(what, "; {} others ended with it", failed.len() - 1);
        }
        Outcome::Failed { code: code(*status), what }
    }
}

impl Drop for Generation {
    /// Whoever still runs, where not all could be started, ends.
    fn drop(&mut self) {
        if let Some(path) = &self.ready {
            let _ = std::fs::remove_file(path);
        }
        for child in self.running.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Sends a process that has not been waited for, so that the number is still its own, a signal.
fn tell(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    pid.map(|pid| kill_process(pid, signal));
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// Ports of this machine that nobody else uses now, one a line.
fn addresses(count: usize) -> io::Result<String> {
    let taken: io::Result<Vec<TcpListener>> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect();
    let addresses: io::Result<Vec<String>> = taken?.iter().map(|port| Ok(port.local_addr()?.to_string())).collect();
    Ok(addresses?.join("\n") + "\n")
}

/// What only the processes of this generation know.
fn secret(args: &Args) -> io::Result<Option<String>> {
    if args.insecure || args.processes == 1 {
        return Ok(None);
    }
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
}

/// Copies what a process prints to standard error, line by line, with its number in front.
fn log(process: usize, from: impl Read + Send + 'static) -> io::Result<JoinHandle<()>> {
    let copy = move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while let Ok(1..) = from.by_ref().take(MOST_LINE).read_until(b'\n', &mut line) {
            let text = String::from_utf8_lossy(&line);
            eprintln!("[{process}] {}", text.trim_end_matches(['\n', '\r']));
            line.clear();
        }
    };
    std::thread::Builder::new().name(format!("log of {process}")).spawn(copy)
}
