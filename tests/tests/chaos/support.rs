//! What all tests of faults share: the job under test, processes with a log and a deadline, dice, and the report.

use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Whoever waits longer than this hangs, which is a failure.
const DEADLINE: Duration = Duration::from_secs(120);

/// How often something is killed: `usual` times in `make test`, as often as `make chaos` says there.
pub fn kills(usual: u64) -> u64 {
    std::env::var("TIDEMILL_KILLS").map_or(usual, |kills| kills.parse().expect("TIDEMILL_KILLS is a number"))
}

/// Numbers that look random, the same in each run: xorshift64*.
pub struct Dice(pub u64);

impl Dice {
    /// From `TIDEMILL_SEED`, or 1.
    pub fn thrown() -> Dice {
        Dice(std::env::var("TIDEMILL_SEED").map_or(1, |seed| seed.parse().expect("TIDEMILL_SEED is a number")))
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }
}

/// Waits until `done`, without taking a core from those waited for.
pub fn until(what: &str, done: impl FnMut() -> bool) {
    wait(what, done, || std::thread::sleep(Duration::from_millis(1)));
}

/// Waits until `done`, for moments that are soon over.
pub fn at_once(what: &str, done: impl FnMut() -> bool) {
    wait(what, done, std::thread::yield_now);
}

fn wait(what: &str, mut done: impl FnMut() -> bool, pause: impl Fn()) {
    let deadline = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < deadline, "{what}: not in {} s", DEADLINE.as_secs());
        pause();
    }
}

/// A line of the report that `make chaos` prints at its end.
pub fn report(fault: &str, moment: &str, count: u64, outcome: &str) {
    let line = format!("{fault:<34} {moment:<44} {count:>5}  {outcome}\n");
    print!("{line}");
    if let Some(path) = std::env::var_os("TIDEMILL_REPORT") {
        let mut report = File::options().create(true).append(true).open(path).unwrap();
        report.write_all(line.as_bytes()).unwrap();
    }
}

/// A fault that cannot be made here.
pub fn skip(fault: &str, reason: &str) {
    report(fault, "", 0, &format!("SKIPPED: {reason}"));
}

/// A program that runs, whose words go to a file. It ends with its owner.
pub struct Running {
    pub child: Child,
    log: PathBuf,
}

impl Running {
    pub fn start(command: &mut Command, log: PathBuf) -> Running {
        let file = File::create(&log).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        Running { child: command.spawn().unwrap(), log }
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }

    /// What it has said after so many bytes.
    pub fn said_after(&self, bytes: usize) -> String {
        String::from_utf8_lossy(std::fs::read(&self.log).unwrap().get(bytes..).unwrap_or_default()).into_owned()
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(pid_of(&self.child), signal).unwrap();
    }

    /// Waits for its end.
    pub fn end(&mut self) -> ExitStatus {
        let mut status = None;
        until("a program's end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Waits for its end, which must be a good one.
    pub fn ends_well(&mut self) {
        let status = self.end();
        assert!(status.success(), "{status}: {}", self.said());
    }

    /// Waits for its end, which must be with this code and these words.
    pub fn ends_with(&mut self, code: i32, words: &[&str]) {
        let (status, said) = (self.end(), self.said());
        assert!(status.code() == Some(code) && words.iter().all(|word| said.contains(word)), "{status}: {said}");
    }

    /// The process of this index, where this is a launch whose present generation has it.
    pub fn process(&self, index: u64) -> Option<Process> {
        children(&self.child).into_iter().filter_map(Process::of).find(|process| process.index == index)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A process that is stopped does not hear that its launcher has gone.
        children(&self.child).into_iter().for_each(|pid| _ = kill_process(pid, Signal::KILL));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed()).unwrap()
}

fn children(of: &Child) -> Vec<Pid> {
    let pid = of.id();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

/// One process of a launch.
#[derive(Clone, Debug)]
pub struct Process {
    pub pid: Pid,
    pub index: u64,
    pub generation: u64,
    /// What it writes when it has restored its state and the others have too.
    pub ready: PathBuf,
}

impl Process {
    /// By the flags that `tidemill launch` gives it; before it is that program, it has none.
    fn of(pid: Pid) -> Option<Process> {
        let line = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).ok()?;
        let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        let after = |flag: &str| words.iter().rposition(|word| word == flag).and_then(|at| words.get(at + 1));
        Some(Process {
            pid,
            index: after("--process")?.parse().ok()?,
            generation: after("--generation")?.parse().ok()?,
            ready: after("--ready-file")?.as_ref().into(),
        })
    }

    pub fn signal(&self, signal: Signal) -> bool {
        kill_process(self.pid, signal).is_ok()
    }

    pub fn is_dead(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid.as_raw_nonzero())).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with(['Z', 'X']))
    }

    /// Kills it, and waits until it is dead. False if it was so by itself.
    pub fn kill(&self) -> bool {
        let alive = !self.is_dead() && self.signal(Signal::KILL);
        until("the death of a process that was killed", || self.is_dead());
        alive
    }
}

/// A folder for one test: input, and what is expected of the job.
pub struct Place {
    pub folder: tempfile::TempDir,
    /// What the job writes when left alone.
    pub expected: Vec<Vec<u8>>,
}

impl Place {
    pub fn new() -> Place {
        let mut place = Place { folder: tempfile::tempdir().unwrap(), expected: Vec::new() };
        events(&place.at("in"));
        place.start(&["--log", "warn"], "alone").ends_well();
        place.expected = place.written("alone");
        assert!(place.expected.iter().all(|file| file.len() > 1_000));
        place
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The job, which writes to the folder `out`.
    fn job<S: AsRef<OsStr>>(&self, command: &mut Command, flags: &[S], out: &str) {
        std::fs::create_dir_all(self.at(out)).unwrap();
        command.args([self.at("in"), self.at(out)]).args(flags);
    }

    /// Starts the job as one process.
    pub fn start<S: AsRef<OsStr>>(&self, flags: &[S], out: &str) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orders"));
        self.job(&mut command, flags, out);
        Running::start(&mut command, self.at(&format!("{out}.log")))
    }

    /// Starts the job as three processes, which are started again as often as they fail.
    pub fn launch<S: AsRef<OsStr>>(&self, launch: &[&str], flags: &[S], out: &str) -> Running {
        let mut command = launcher(launch);
        command.arg(env!("CARGO_BIN_EXE_orders"));
        self.job(&mut command, flags, out);
        Running::start(&mut command, self.at(&format!("{out}.log")))
    }

    /// Starts the job as three processes that nobody looks after, each with flags of its own.
    pub fn by_hand(&self, start: &str, out: &str, flags: impl Fn(usize) -> Vec<String>) -> [Running; 3] {
        let ports = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let hosts = ports.map(|port| port.local_addr().unwrap().to_string());
        let file = self.at(&format!("{start}.hosts"));
        std::fs::write(&file, hosts.join("\n")).unwrap();
        [0, 1, 2].map(|process| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_orders"));
            self.job(&mut command, &flags(process), out);
            command.args(["--process", &process.to_string(), "--hosts"]).arg(&file);
            Running::start(&mut command, self.at(&format!("{start} {process}.log")))
        })
    }

    /// The flags for checkpoints in the folder `kept`, as many as can be.
    pub fn checkpoints(&self, kept: &str) -> Vec<String> {
        let kept = self.at(kept).to_str().unwrap().to_owned();
        ["--checkpoint-dir", &kept, "--checkpoint-interval", "1"].map(str::to_owned).to_vec()
    }

    pub fn written(&self, out: &str) -> Vec<Vec<u8>> {
        written(&self.at(out))
    }

    /// What is in the folder `out` must be what the job writes when left alone.
    pub fn check(&self, out: &str, job: &Running) {
        assert!(self.written(out) == self.expected, "{out}: the output is another\n{}", job.said());
    }
}

pub fn written(out: &Path) -> Vec<Vec<u8>> {
    ["led.jsonl", "sessions.jsonl", "users.jsonl"].map(|name| std::fs::read(out.join(name)).unwrap()).to_vec()
}

/// `tidemill launch` of three processes, up to the program. They are started again as often as they fail, at once, unless
/// `flags` say something else.
pub fn launcher(flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_launcher"));
    command.args(flags);
    for [flag, usual] in [["--processes", "3"], ["--back-off", "0"], ["--restarts", "100000"]] {
        if !flags.contains(&flag) {
            command.args([flag, usual]);
        }
    }
    command.arg("--");
    command
}

/// Clicks in two files and orders in one, out of order by up to 20 ms, and a few of them late.
fn events(folder: &Path) {
    let mut dice = Dice(7);
    for (name, rows) in [("clicks/a", 400_000), ("clicks/b", 300_000), ("orders/a", 350_000)] {
        let (mut text, mut now) = ("at,user,item\n".to_owned(), 1_000);
        for _ in 0..rows {
            now += dice.below(3);
            let back = if dice.below(500) == 0 { dice.below(300) } else { dice.below(20) };
            writeln!(text, "{},{},{}", now - back, dice.below(200), dice.below(50)).unwrap();
        }
        let path = folder.join(format!("{name}.csv"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

/// The names in a folder of checkpoints, in order; none where there is no folder yet.
pub fn names(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = files.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The number of the checkpoint that a file was written for.
pub fn id_of(name: &str) -> Option<u64> {
    name.strip_prefix("manifest-").or(name.strip_prefix("part-"))?.get(..20)?.parse().ok()
}

/// The checkpoints that are there, oldest first.
pub fn checkpoints(folder: &Path) -> Vec<u64> {
    let names = names(folder);
    names
        .iter()
        .filter(|name| name.starts_with("manifest-") && name.ends_with(".json"))
        .filter_map(|n| id_of(n))
        .collect()
}

/// Waits until the checkpoints' folder has changed so many times. Says whether it did before the program was done.
pub fn until_it_has(changes: u64, job: &mut Running, folder: &Path) -> bool {
    let (mut last, mut seen, mut ended) = (names(folder), 0, false);
    at_once("changes of the checkpoints", || {
        let now = names(folder);
        seen += u64::from(now != last);
        last = now;
        ended = seen < changes && job.has_ended();
        seen >= changes || ended
    });
    !ended
}
