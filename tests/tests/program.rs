//! A whole program from the outside: live input, signals, panics, exit codes.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The program `totals`, fed by the test.
struct Totals {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Totals {
    fn start(workers: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_totals"))
            .args(["--workers", workers, "--epoch-ms", "1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Totals { child, stdin, stdout }
    }

    fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
        stdin.flush().unwrap();
    }

    /// The next line it prints; waits for it.
    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Waits for its end: exit code, what else it printed, and its complaints.
    fn end(mut self) -> (Option<i32>, String, String) {
        let (mut rest, mut complaints) = (String::new(), String::new());
        self.stdout.read_to_string(&mut rest).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut complaints).unwrap();
        (self.child.wait().unwrap().code(), rest, complaints)
    }
}

#[test]
fn live_input_is_answered_as_it_comes_and_its_end_is_the_programs_end() {
    for workers in ["1", "2"] {
        let mut program = Totals::start(workers);
        program.say(r#"{"time": 1, "key": "a", "value": 5}"#);
        assert_eq!(program.hear(), r#"["a",5]"#);
        program.say(r#"{"time": 2, "key": "a", "value": "five"}"#);
        let dead = program.hear();
        assert!(dead.contains("\"operator\":\"entries\"") && dead.contains(":2\""), "{dead}");
        program.say(r#"{"time": 3, "key": "a", "value": 9223372036854775807}"#);
        let dead = program.hear();
        assert!(dead.contains("the total does not fit"), "{dead}");
        program.say(r#"{"time": 4, "key": "a", "value": 2}"#);
        assert_eq!(program.hear(), r#"["a",7]"#, "what was refused left no trace");
        drop(program.stdin.take());
        let (code, rest, complaints) = program.end();
        assert_eq!((code, rest.as_str(), complaints.as_str()), (Some(0), "", ""));
    }
}

/// Whoever insists on a checkpoint does so for each start, whatever a launcher starts again.
#[test]
fn a_checkpoint_that_must_be_there_must_be_there_at_another_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_totals"));
    command.arg("--checkpoint-dir").arg(folder.path()).args(["--restore", "latest"]).env("TIDEMILL_RESTARTED", "1");
    let ended = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.code() == Some(74) && said.contains("there is no checkpoint to restore"), "{said}");
}

#[test]
fn signals_end_it_cleanly() {
    for signal in ["-INT", "-TERM"] {
        let mut program = Totals::start("2");
        program.say(r#"{"time": 1, "key": "a", "value": 5}"#);
        assert_eq!(program.hear(), r#"["a",5]"#);
        let killed = Command::new("kill").args([signal, &program.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let (code, rest, complaints) = program.end();
        assert_eq!((code, rest.as_str(), complaints.as_str()), (Some(0), "", ""), "{signal}");
    }
}

/// Starts `signalled`, and sends it `signals` when it says that it waits, which is until it has them.
fn signalled(how: &str, signals: &[&str]) -> Child {
    let mut program = Command::new(env!("CARGO_BIN_EXE_signalled"));
    program.env("SIGNALLED", how).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = program.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "waiting\n");
    for signal in signals {
        assert!(Command::new("kill").args([*signal, &child.id().to_string()]).status().unwrap().success());
    }
    child
}

/// The signal that ended it, still waiting.
fn killer(mut child: Child) -> Option<i32> {
    let stdin = child.stdin.take();
    let status = child.wait().unwrap();
    drop(stdin);
    status.signal()
}

#[test]
fn signals_do_as_always_when_a_job_has_ended_and_a_second_one_does_during_a_job() {
    assert_eq!(killer(signalled("after", &["-INT"])), Some(2));
    assert_eq!(killer(signalled("after", &["-TERM"])), Some(15));
    assert_eq!(killer(signalled("in", &["-INT", "-TERM"])), Some(15));
}

#[test]
fn a_signal_before_the_end_of_the_input_is_told_by_the_exit_code() {
    let mut child = signalled("run", &["-TERM"]);
    drop(child.stdin.take());
    let done = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.code() == Some(130) && said.contains("what it has written is not complete"), "{said}");
}

#[test]
fn a_panic_ends_it_with_the_operators_name_and_a_code() {
    for workers in ["1", "2", "4"] {
        let mut program = Totals::start(workers);
        program.say(r#"{"time": 1, "key": "a", "value": 13}"#);
        let (code, rest, complaints) = program.end();
        assert_eq!(code, Some(70), "{complaints}");
        assert_eq!(rest, "");
        assert_eq!(complaints.lines().count(), 1, "{complaints}");
        assert!(complaints.starts_with("error: operator `totals` panicked on worker"), "{complaints}");
        assert!(complaints.contains("thirteen is not a number"), "{complaints}");
    }
}

#[test]
fn its_graph_can_be_looked_at_without_running_it() {
    let explain = |drawing| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_totals"));
        // Standard input stays open: nobody waits for it.
        program.args(["--workers", "2", "--explain", drawing]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = program.spawn().unwrap();
        let stdin = child.stdin.take();
        let output = child.wait_with_output().unwrap();
        drop(stdin);
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stdout).unwrap()
    };
    let text = "  0  entries: source
  1  totals: process Totals  of 0  (by String, state i64)
  2  out: sink  of 1
  3  dead letters
  4  (dead letters): sink  of 3
";
    assert_eq!(explain("text"), text);
    assert!(explain("graphviz").starts_with("digraph job {"));
    assert!(explain("mermaid").contains("n0 --> n1"));
}

#[test]
fn wrong_flags_say_what_to_do() {
    let output = Command::new(env!("CARGO_BIN_EXE_totals")).args(["--workers", "0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("choose 1 to 256"));
}
