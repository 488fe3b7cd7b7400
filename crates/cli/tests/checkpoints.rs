//! The command on real folders: what it prints, and its exit codes.

use std::fs;
use std::path::Path;
use std::process::Command;
use tidemill_checkpoint::{
    LogEntry, Manifest, OperatorInfo, PartKind, PartWriter, SinkPosition, SourcePosition, Store,
};

/// Runs `tidemill checkpoints ARGS`; gives exit code, output and errors.
fn run(args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tidemill")).arg("checkpoints").args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A base with 300 keys and deltas that change 100 of them, in each delete one, and add one.
fn fill(folder: &Path, checkpoints: u64) -> Store {
    let store = Store::open(folder.to_str().unwrap()).unwrap();
    let mut parts = Vec::new();
    for id in 1..=checkpoints {
        let mut part = PartWriter::new(if id == 1 { PartKind::Base } else { PartKind::Delta });
        let keys = if id == 1 { 0..300u32 } else { 0..100 };
        for key in keys {
            part.put("totals", key as u8, &key.to_be_bytes(), Some(b"value")).unwrap();
        }
        if id > 1 {
            part.put("totals", 255, &(100 + id as u32).to_be_bytes(), None).unwrap();
            part.put("sessions", 3, &id.to_be_bytes(), Some(b"value")).unwrap();
        }
        parts.push(store.put_part(id, "worker-0", part.finish().unwrap()).unwrap());
        let operator = |name: &str| OperatorInfo {
            name: name.to_owned(),
            kind: "aggregate".to_owned(),
            key_type: "String".to_owned(),
            state_type: "Total".to_owned(),
            shape: String::new(),
            version: 1,
        };
        let manifest = Manifest {
            id,
            lineage: "first".to_owned(),
            epoch: 10 * id,
            parts: parts.clone(),
            operators: vec![operator("totals"), operator("idle")],
            sources: vec![SourcePosition { name: "orders".to_owned(), partition: 2, state: vec![1], offset: 4711 }],
            sinks: vec![SinkPosition { name: "alerts".to_owned(), state: vec![0; 12] }],
            created_ms: 1_700_000_000_000,
            workers: 1,
            processes: 1,
            ..Manifest::default()
        };
        store.commit(&manifest).unwrap();
    }
    store
}

/// The cells of the line that starts with `first`.
fn line<'a>(text: &'a str, first: &str) -> Vec<&'a str> {
    let cells = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    cells.into_iter().find(|cells| cells.first() == Some(&first)).unwrap_or_else(|| panic!("no {first} in:\n{text}"))
}

#[test]
fn lists_newest_first() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), 3);
    let dir = folder.path().to_str().unwrap();
    let (code, text, _) = run(&["list", dir]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(
        text.lines().nth(1).unwrap().split_whitespace().take(5).collect::<Vec<_>>(),
        ["3", "30", "2023-11-14T22:13:20Z", "1", "2"]
    );
    let (code, text, _) = run(&["list", dir, "--json"]);
    assert!(code == 0 && text.starts_with("[{") && text.contains(r#""epoch":30"#), "{text}");
}

#[test]
fn inspects_operators_and_positions() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), 3);
    let dir = folder.path().to_str().unwrap();
    let (code, text, _) = run(&["inspect", dir, "--keys"]);
    assert_eq!(code, 0);
    assert_eq!(line(&text, "totals")[1..7], ["aggregate", "String", "Total", "1", "502", "300"], "{text}");
    assert_eq!(line(&text, "sessions")[5..7], ["2", "2"], "{text}");
    assert_eq!(line(&text, "idle")[5..7], ["0", "0"], "{text}");
    assert_eq!(line(&text, "orders"), ["orders", "2", "4711", "1"]);
    assert_eq!(line(&text, "alerts"), ["alerts", "12"]);
    let (code, text, _) = run(&["inspect", dir, "--id", "1", "--json"]);
    assert!(code == 0 && text.contains(r#""epoch":10"#) && text.contains(r#""entries":300"#), "{text}");
}

#[test]
fn damage_is_named_and_has_a_code() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), 3);
    let dir = folder.path().to_str().unwrap();
    let (code, text, _) = run(&["verify", dir]);
    assert_eq!((code, text.matches("is whole").count()), (0, 3), "{text}");

    let part = folder.path().join("part-00000000000000000002-worker-0");
    let mut bytes = fs::read(&part).unwrap();
    bytes[20] ^= 1;
    fs::write(&part, bytes).unwrap();
    let (code, text, _) = run(&["verify", dir]);
    assert_eq!((code, text.matches("is whole").count(), text.matches("is damaged\n").count()), (65, 1, 2), "{text}");
    assert_eq!(text.matches("`part-00000000000000000002-worker-0` is damaged at 8..").count(), 1, "{text}");
    assert_eq!(run(&["verify", dir, "--id", "1"]).0, 0);

    fs::remove_file(part).unwrap();
    let (code, text, errors) = run(&["inspect", dir]);
    assert_eq!(
        (code, line(&text, "checkpoint")[1], errors.matches("is passed over").count()),
        (65, "1", 2),
        "{errors}"
    );
    assert_eq!(run(&["inspect", dir, "--id", "2"]).0, 65);
    fs::write(folder.path().join("manifest-00000000000000000003.json"), "{").unwrap();
    let (code, text, _) = run(&["list", dir]);
    assert!(code == 65 && text.contains("manifest-00000000000000000003.json` is damaged"), "{text}");
}

#[test]
fn damage_of_the_epoch_log_is_named_too() {
    let folder = tempfile::tempdir().unwrap();
    let (store, dir) = (fill(folder.path(), 1), folder.path().to_str().unwrap());
    let mut log = store.write_log("first", 1, 10, 0).unwrap();
    for epoch in [11, 12] {
        log.append(&[LogEntry { epoch, worker: 0, workers: 1, account: true, body: vec![7; 9] }]).unwrap();
    }
    assert_eq!(run(&["verify", dir]).0, 0);
    let files = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
    let file = files.into_iter().find(|path| path.to_str().unwrap().contains("/log-")).unwrap();
    let mut bytes = fs::read(&file).unwrap();
    bytes[14] ^= 1;
    fs::write(&file, bytes).unwrap();
    let (code, text, _) = run(&["verify", dir]);
    assert!(code == 65 && text.contains("log-first-0000000001") && text.contains("checkpoint 1 is damaged"), "{text}");
}

#[test]
fn prunes_unless_a_job_runs() {
    let folder = tempfile::tempdir().unwrap();
    let store = fill(folder.path(), 3);
    let dir = folder.path().to_str().unwrap();
    let lock = store.lock(std::time::Duration::ZERO).unwrap();
    let (code, _, errors) = run(&["prune", dir, "--keep", "2"]);
    assert!(code == 75 && errors.contains("stop it first"), "{errors}");
    drop(lock);
    let (code, text, _) = run(&["prune", dir, "--keep", "2"]);
    assert_eq!((code, &text[..]), (0, "dropped 1 checkpoints and 0 files\n"));
    assert_eq!(run(&["verify", dir]).1.matches("is whole").count(), 2);
    assert_eq!(run(&["prune", dir, "--keep", "0"]).0, 2);
}

#[test]
fn what_is_not_there_has_a_code_too() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    for action in [&["list", dir][..], &["inspect", dir], &["verify", dir], &["prune", dir, "--keep", "1"]] {
        assert_eq!(run(action).0, 66, "{action:?}");
    }
    assert_eq!(run(&["list", &format!("{dir}/none")]).0, 66);
    assert!(!folder.path().join("none").exists());
    fill(folder.path(), 1);
    assert_eq!(run(&["inspect", dir, "--id", "7"]).0, 66);
    assert_eq!(run(&["list"]).0, 2);
    assert_eq!(run(&["list", "gopher://hole"]).0, 2);
}
