//! The program from the outside.

use std::process::{Command, Output};

fn nexmark(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nexmark")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_query_is_run_and_says_so_in_one_line() {
    let output = nexmark(&["q2", "--events", "50000", "--workers", "2", "--shuffle", "100"]);
    let line = text(&output.stdout);
    assert!(output.status.success() && line.lines().count() == 1, "{line}");
    assert!(line.starts_with("RESULT engine=tidemill q=q2 workers=2 rows_in=50000 rows_out="), "{line}");
    for field in ["cpu_s=", "wall_s=", "events_per_s=", "events_per_cpu_s=", "peak_kb="] {
        assert!(line.contains(field), "{line}");
    }
}

#[test]
fn q10_leaves_its_files_where_it_was_told_to_and_writes_over_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let run = || nexmark(&["q10", "--events", "1000", "--out", log.to_str().unwrap()]);
    assert!(run().status.success());
    let file = std::fs::read_to_string(log.join("2015-07-15/00-00.csv")).unwrap();
    assert_eq!(file.lines().count(), 920);
    let again = run();
    assert_eq!(again.status.code(), Some(73));
    assert!(text(&again.stderr).contains("name an empty folder"), "{}", text(&again.stderr));
    assert_eq!(std::fs::read_to_string(log.join("2015-07-15/00-00.csv")).unwrap(), file);
}

#[test]
fn what_makes_no_sense_is_refused_in_words() {
    for (arguments, reason) in [
        (&["q23"][..], "unrecognized subcommand 'q23'"),
        (&["q5", "--evnts", "5"], "--events"),
        (&["q5", "--rate", "0"], "--rate"),
        (&["q5", "--events", "0"], "--events"),
        (&["q5", "--shuffle=-1"], "--shuffle"),
        (&["q5", "--out", "log"], "--out"),
        (&["q5", "--workers", "0"], "choose 1 to 256"),
    ] {
        let output = nexmark(arguments);
        let complaint = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{complaint}");
        assert!(complaint.contains(reason), "{arguments:?}: {complaint}");
    }
}
