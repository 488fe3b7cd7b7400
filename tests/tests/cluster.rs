//! Jobs of several processes, from the outside: the same results as one gives, kills, signals, another start.

use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_conversions");
const RESULTS: [&str; 3] = ["windows", "led", "spent"];
const EVENTS: [&str; 2] = ["--events", "5000"];

fn shop(out: &Path, args: &[&str]) -> Vec<String> {
    let out = out.display().to_string();
    [PROGRAM, "--out", &out].iter().chain(args).map(ToString::to_string).collect()
}

fn results(out: &Path) -> Vec<Vec<u8>> {
    let read = |name: &&str| std::fs::read(out.with_extension(name)).unwrap();
    RESULTS.iter().map(read).collect()
}

/// What one process alone gives.
fn expected(folder: &TempDir) -> Vec<Vec<u8>> {
    let out = folder.path().join("alone");
    let args = shop(&out, &EVENTS);
    assert!(Command::new(&args[0]).args(&args[1..]).status().unwrap().success());
    let expected = results(&out);
    assert!(expected.iter().all(|bytes| bytes.len() > 10_000));
    expected
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Waits for an end; kills whoever does not come to one.
fn end(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("a process hangs");
        }
        std::thread::yield_now();
    }
}

/// Processes started by hand, as systemd or Kubernetes would: with a file of hosts and one with the secret.
struct Members {
    folder: TempDir,
    children: Vec<Child>,
}

impl Members {
    fn start(count: usize, args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let taken: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let hosts: Vec<String> = taken.iter().map(|port| port.local_addr().unwrap().to_string()).collect();
        drop(taken);
        let (hosts_file, secret_file) = (folder.path().join("hosts"), folder.path().join("secret"));
        std::fs::write(&hosts_file, format!("# one a process\n{}\n", hosts.join("\n"))).unwrap();
        std::fs::write(&secret_file, "a secret of these processes\n").unwrap();
        let children = (0..count)
            .map(|process| {
                let mut command = Command::new(PROGRAM);
                command.arg("--out").arg(folder.path().join("out")).args(args);
                command.arg("--hosts").arg(&hosts_file).arg("--secret-file").arg(&secret_file);
                command.arg("--ready-file").arg(folder.path().join(format!("ready.{process}")));
                command.env("TIDEMILL_PROCESS", process.to_string());
                command.stderr(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        Members { folder, children }
    }

    /// Waits until all have met and results are coming.
    fn until_they_run(&self) {
        let ready = |process| self.folder.path().join(format!("ready.{process}")).exists();
        let out = self.folder.path().join("out.spent");
        let deadline = Instant::now() + Duration::from_secs(60);
        while !(0..self.children.len()).all(ready) || std::fs::metadata(&out).map_or(0, |file| file.len()) == 0 {
            assert!(Instant::now() < deadline, "the cluster never ran");
            std::thread::yield_now();
        }
    }

    /// How each ended, and what it said.
    fn end(&mut self) -> Vec<(ExitStatus, String)> {
        let ended = self.children.iter_mut().map(|child| {
            let status = end(child);
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            (status, said)
        });
        ended.collect()
    }
}

#[test]
fn processes_started_by_hand_give_what_one_gives() {
    let alone = tempfile::tempdir().unwrap();
    let expected = expected(&alone);
    for (count, workers) in [(1, "2"), (2, "1"), (3, "1"), (2, "3")] {
        let mut members = Members::start(count, &[&EVENTS[..], &["--workers", workers]].concat());
        for (status, said) in members.end() {
            assert!(status.success() && said.is_empty(), "{status}: {said}");
        }
        let ready = |process| members.folder.path().join(format!("ready.{process}")).exists();
        assert!((0..count).all(ready), "{count} processes of {workers} workers");
        assert!(results(&members.folder.path().join("out")) == expected, "{count} processes of {workers} workers");
    }
}

#[test]
fn a_killed_process_ends_the_others_at_once_with_a_word_and_a_code() {
    for victim in [0, 2] {
        let mut members = Members::start(3, &["--workers", "2"]);
        members.until_they_run();
        signal(&members.children[victim], Signal::KILL);
        let killed = Instant::now();
        for (process, (status, said)) in members.end().into_iter().enumerate().filter(|(process, _)| *process != victim)
        {
            assert_eq!(status.code(), Some(75), "{process}: {said}");
            let said = said.trim_end();
            let expected = format!("error: process {victim} was lost: its connection closed without a word");
            // One line, and no panic's trace.
            assert!(said.starts_with(&expected) && !said.contains('\n'), "{process}: {said}");
        }
        // It takes a tenth of this; but machines that run tests are busy.
        assert!(killed.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn a_signal_to_any_process_ends_the_job_on_all() {
    for asked in [0, 1] {
        let mut members = Members::start(2, &[]);
        members.until_they_run();
        signal(&members.children[asked], Signal::TERM);
        for (status, said) in members.end() {
            assert!(status.success() && said.is_empty(), "{status}: {said}");
        }
    }
}

#[test]
fn a_process_that_stands_still_is_lost_when_nothing_was_heard_of_it() {
    let mut members = Members::start(2, &[]);
    members.until_they_run();
    signal(&members.children[1], Signal::STOP);
    let (status, said) = {
        let first = &mut members.children[0];
        let status = end(first);
        let mut said = String::new();
        first.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (status, said)
    };
    members.children[1].kill().unwrap();
    members.children[1].wait().unwrap();
    assert_eq!(status.code(), Some(75), "{said}");
    assert!(said.contains("process 1 was lost: nothing was heard of it for"), "{said}");
}

/// `tidemill launch`, and what it says.
struct Launch {
    child: Child,
    said: BufReader<std::process::ChildStderr>,
}

impl Launch {
    fn start(flags: &[&str], program: &[String]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_launcher"));
        command.args(flags).arg("--").args(program).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        Launch { child, said }
    }

    /// Waits for a line with `text`; gives it.
    fn hear(&mut self, text: &str) -> String {
        let mut all = String::new();
        loop {
            let mut line = String::new();
            assert!(self.said.read_line(&mut line).unwrap() > 0, "`{text}` never came, but: {all}");
            if line.contains(text) {
                return line;
            }
            all += &line;
        }
    }

    /// Its processes, in the order of their numbers.
    fn processes(&self) -> Vec<Pid> {
        let pid = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        children.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap()).unwrap()).collect()
    }

    fn end(mut self) -> (Option<i32>, String) {
        let status = end(&mut self.child);
        let mut rest = String::new();
        self.said.read_to_string(&mut rest).unwrap();
        (status.code(), rest)
    }
}

fn out(folder: &TempDir) -> PathBuf {
    folder.path().join("out")
}

#[test]
fn launch_runs_a_job_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let expected = expected(&folder);
    for flags in [&["--processes", "3", "--workers", "2"][..], &["--processes", "2", "--insecure"], &[]] {
        let (code, said) = Launch::start(flags, &shop(&out(&folder), &EVENTS)).end();
        assert_eq!(code, Some(0), "{said}");
        assert!(results(&out(&folder)) == expected, "{flags:?}: {said}");
    }
}

#[test]
fn launch_starts_all_again_after_a_kill_and_ends_with_the_right_results() {
    let folder = tempfile::tempdir().unwrap();
    let expected = expected(&folder);
    // It does not end before it is killed, and then it does: a file says which.
    let ready = folder.path().join("ready");
    let flags = ["--processes", "3", "--back-off", "10", "--ready-file", ready.to_str().unwrap()];
    let once = folder.path().join("once");
    let script = format!(
        "if [ -e {once} ]; then set -- \"$@\" --events 5000; fi; exec {PROGRAM} --out {out} \"$@\"",
        once = once.display(),
        out = out(&folder).display()
    );
    let program = ["/bin/sh", "-c", &script, "shop"].map(str::to_owned);
    let mut launch = Launch::start(&flags, &program);
    launch.hear("[launch] ready: 3 processes run the job");
    assert!(ready.exists());
    std::fs::write(&once, "").unwrap();
    kill_process(launch.processes()[1], Signal::KILL).unwrap();
    launch.hear("error: process 1 was lost");
    assert!(launch.hear("[launch] process 1 failed").contains("SIGKILL"));
    launch.hear("[launch] starting all again in 10 ms (1 of 10)");
    let (code, said) = launch.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(results(&out(&folder)) == expected);
    assert!(!ready.exists());
}

#[test]
fn launch_gives_up_after_so_many_failures_and_at_once_where_it_would_fail_again() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--processes", "2", "--restarts", "2", "--back-off", "1"];
    let (code, said) = Launch::start(&flags, &shop(&out(&folder), &["--panic-at", "10"])).end();
    assert_eq!(code, Some(70), "{said}");
    assert!(said.contains("[launch] starting all again in 2 ms (2 of 2)"), "{said}");
    assert!(said.contains("[launch] error: it has failed 3 times"), "{said}");
    let panicked = |line: &str| line.starts_with('[') && line.contains("operator `filter` panicked on worker");
    assert_eq!(said.lines().filter(|line| panicked(line)).count(), 6, "both say it, each time: {said}");

    let (code, said) = Launch::start(&flags, &shop(&out(&folder), &["--no-such-flag"])).end();
    assert_eq!(code, Some(2), "{said}");
    assert!(!said.contains("starting all again"), "{said}");
    let (code, said) = Launch::start(&flags, &["no-such-program".to_owned()]).end();
    assert_eq!(code, Some(71), "{said}");
}

/// It would not end by itself.
#[test]
fn launch_kills_what_has_not_ended_in_time() {
    let stubborn = ["/bin/sh", "-c", "trap '' TERM; echo begun >&2; exec sleep 600", "stubborn"].map(str::to_owned);
    let mut launch = Launch::start(&["--processes", "1", "--grace", "1"], &stubborn);
    launch.hear("begun");
    signal(&launch.child, Signal::TERM);
    let (code, said) = launch.end();
    assert_eq!(code, Some(137), "{said}");
    assert!(!said.contains("ready") && said.contains("process 0 failed: signal: 9 (SIGKILL)"), "{said}");
}

#[test]
fn launch_passes_signals_on_and_leaves_nobody_behind() {
    let folder = tempfile::tempdir().unwrap();
    for (how, count) in [(Signal::TERM, 1), (Signal::TERM, 2), (Signal::INT, 2), (Signal::KILL, 2)] {
        let mut launch = Launch::start(&["--processes", &count.to_string()], &shop(&out(&folder), &[]));
        launch.hear(&format!("[launch] ready: {count} processes run the job"));
        let processes = launch.processes();
        assert_eq!(processes.len(), count);
        signal(&launch.child, how);
        let (code, said) = launch.end();
        assert_eq!(code, (how != Signal::KILL).then_some(0), "{said}");
        let deadline = Instant::now() + Duration::from_secs(60);
        let lives = |pid: &Pid| {
            let status = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
            // Whoever is dead may not have been waited for.
            !status.is_empty() && !status.contains(") Z ")
        };
        while processes.iter().any(lives) {
            assert!(Instant::now() < deadline, "a process outlived its launcher");
            std::thread::yield_now();
        }
    }
}
