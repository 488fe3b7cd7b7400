//! Follows the guide to writing operators to the letter: its files, its commands, and what they print.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the guide asks for.
#[derive(Debug)]
enum Step {
    /// Put this into this file.
    Write(PathBuf, String),
    /// Run these commands.
    Run(String),
    /// The commands must have printed these lines.
    See(String),
}

/// Reads the guide: a fence behind "In `FILE`" is a file, one marked `sh` commands, and `text` behind those what they print.
fn steps(guide: &str) -> VecDeque<Step> {
    let (mut steps, mut prose) = (VecDeque::new(), String::new());
    let mut lines = guide.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else {
            prose.push_str(line);
            prose.push(' ');
            continue;
        };
        let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let text = text.join("\n") + "\n";
        let file = prose.rsplit_once("In `").or(prose.rsplit_once("in `")).and_then(|(_, rest)| rest.split('`').next());
        match (kind, file.filter(|file| file.contains('.')), steps.back()) {
            ("sh", ..) => steps.push_back(Step::Run(text)),
            ("text", _, Some(Step::Run(_))) => steps.push_back(Step::See(text)),
            (_, Some(file), _) => steps.push_back(Step::Write(file.into(), text)),
            _ => (),
        }
        prose.clear();
    }
    steps
}

#[test]
fn the_guide_can_be_followed_from_nothing() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(root, folder.path().join("tidemill")).unwrap();
    let guide = fs::read_to_string(root.join("crates/tidemill/docs/writing-operators.md")).unwrap();
    let mut here = folder.path().to_owned();
    let mut printed = String::new();
    let (mut written, mut run, mut seen) = (0, 0, 0);
    for step in steps(&guide) {
        match step {
            Step::Write(file, text) => {
                fs::create_dir_all(here.join(&file).parent().unwrap()).unwrap();
                fs::write(here.join(file), text).unwrap();
                written += 1;
            }
            Step::Run(commands) => {
                // Where the commands end up is where the next ones begin.
                let output = Command::new("sh")
                    .args(["-ec", &format!("{commands}pwd >\"$HERE\"")])
                    .current_dir(&here)
                    .env("HERE", folder.path().join("here"))
                    // With what the project is built from, and nothing from outside.
                    .env("CARGO_NET_OFFLINE", "true")
                    .env("CARGO_TARGET_DIR", root.join("target/guide"))
                    .output()
                    .unwrap();
                printed = String::from_utf8_lossy(&output.stdout).into_owned();
                assert!(output.status.success(), "{commands}{printed}{}", String::from_utf8_lossy(&output.stderr));
                here = fs::read_to_string(folder.path().join("here")).unwrap().trim_end().into();
                if !here.join("Cargo.lock").exists() {
                    fs::copy(root.join("Cargo.lock"), here.join("Cargo.lock")).unwrap();
                }
                run += 1;
            }
            Step::See(lines) => {
                for line in lines.lines() {
                    assert!(printed.contains(line), "{line:?} was not printed, but {printed:?}");
                    seen += 1;
                }
            }
        }
    }
    assert!(written >= 5 && run >= 4 && seen >= 4, "the guide has changed its form: {written} {run} {seen}");
}
