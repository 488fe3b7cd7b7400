//! Live jobs: what came in since the last checkpoint is in the epoch log, and what was asked for is kept.

use crate::support::{Dice, Place, checkpoints, kills, names, report, until, until_it_has};
use rustix::process::Signal;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

fn echo(out: &Path, kept: &Path, interval: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_echo"));
    command.arg(out).arg("--checkpoint-dir").arg(kept).args(["--checkpoint-interval", interval, "--epoch-ms", "1"]);
    command.stdin(Stdio::piped()).spawn().unwrap()
}

/// Standard input cannot be read again, so each number is lost that was not written down, and each comes twice that was
/// taken for one that was not.
#[test]
fn standard_input_is_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let (out, kept) = (folder.path().join("out"), folder.path().join("kept"));
    let (mut dice, mut next) = (Dice::thrown(), 1);
    let lines = || std::fs::read_to_string(&out).unwrap_or_default().lines().count() as u64;
    let wanted = kills(5);
    for kill in 0..=wanted {
        // With no checkpoint at all but the last run's, or one now and then.
        let mut job = echo(&out, &kept, if dice.below(2) == 0 { "3600000" } else { "20" });
        let mut input = job.stdin.take().unwrap();
        for _ in 0..1 + dice.below(5) {
            let more = 1 + dice.below(300);
            let numbers: String = (next..next + more).map(|n| format!("{n}\n")).collect();
            input.write_all(numbers.as_bytes()).unwrap();
            next += more;
            until("the numbers come out", || lines() == next - 1);
        }
        if kill < wanted {
            job.kill().unwrap();
            job.wait().unwrap();
        } else {
            drop(input);
            assert!(job.wait().unwrap().success());
        }
    }
    let expected: String = (1..next).map(|n| format!("[{n},{}]\n", n * (n + 1) / 2)).collect();
    assert!(std::fs::read_to_string(&out).unwrap() == expected, "the output is another");
    report("SIGKILL, standard input", "when all that was fed has come out", wanted, "output equal");
}

/// What is said of the first start, `--restore none`, would have the job begin anew after each kill.
#[test]
fn a_launched_job_goes_on_whatever_was_said_of_its_first_start() {
    let place = Place::new();
    let flags =
        [place.checkpoints("kept"), ["--restore", "none", "--log", "info"].map(str::to_owned).to_vec()].concat();
    let mut launch = place.launch(&[], &flags, "out");
    until("a checkpoint", || !checkpoints(&place.at("kept")).is_empty() || launch.has_ended());
    assert!(!launch.said().contains("going on from checkpoint"), "{}", launch.said());
    until("a process to kill", || launch.process(1).is_some_and(|process| process.kill()) || launch.has_ended());
    launch.ends_well();
    assert!(launch.said().contains("going on from checkpoint"), "{}", launch.said());
    place.check("out", &launch);
}

#[test]
fn a_savepoint_is_kept_and_can_be_gone_back_to() {
    let place = Place::new();
    let kept = place.at("kept");
    let rarely = ["--checkpoint-dir", kept.to_str().unwrap(), "--checkpoint-interval", "3600000"];
    let mut job = place.start(&rarely, "out");
    until("a first record is out", || place.at("out").join("led.jsonl").metadata().is_ok_and(|file| file.len() > 0));
    job.signal(Signal::USR1);
    until("the savepoint", || !checkpoints(&kept).is_empty() || job.has_ended());
    job.child.kill().unwrap();
    job.end();
    let savepoint = checkpoints(&kept)[0];
    // Many checkpoints later it is still there.
    let mut job = place.start(&place.checkpoints("kept"), "out");
    assert!(until_it_has(30, &mut job, &kept), "{}", job.said());
    job.ends_well();
    place.check("out", &job);
    assert!(checkpoints(&kept).contains(&savepoint), "{:?}", names(&kept));
    let id = savepoint.to_string();
    let mut job = place.start(&[&place.checkpoints("kept")[..], &["--restore".to_owned(), id]].concat(), "out");
    job.ends_well();
    place.check("out", &job);
}
