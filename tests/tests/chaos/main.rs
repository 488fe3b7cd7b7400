//! A program that is killed again and again, wherever it is, and started again on another number of workers, writes what it
//! writes when left alone.

use rustix::process::{Pid, Signal, kill_process};
use std::fmt::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How often it is killed; `make chaos` asks for more.
fn kills() -> u64 {
    std::env::var("TIDEMILL_KILLS").ok().map_or(10, |kills| kills.parse().expect("TIDEMILL_KILLS is a number"))
}

/// Numbers that look random, the same in each run: xorshift64*.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }
}

/// Clicks in two files and orders in one, out of order by up to 20 ms, and a few of them late.
fn events(folder: &Path) {
    let mut dice = Dice(7);
    for (name, rows) in [("clicks/a", 120_000), ("clicks/b", 90_000), ("orders/a", 100_000)] {
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

fn start(events: &Path, out: &Path, more: &[&str]) -> Child {
    std::fs::create_dir_all(out).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_orders"));
    program.args([events, out]).args(more).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for its end, which must be a good one, and gives what it has written.
fn end(child: Child, out: &Path) -> Vec<Vec<u8>> {
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success(), "{}: {}", done.status, String::from_utf8_lossy(&done.stderr));
    written(out)
}

fn written(out: &Path) -> Vec<Vec<u8>> {
    ["led.jsonl", "sessions.jsonl", "users.jsonl"].map(|name| std::fs::read(out.join(name)).unwrap()).to_vec()
}

/// Waits until the checkpoints' folder has changed so many times. Says whether it did before the program was done.
fn until_it_has(changes: u64, child: &mut Child, folder: &Path) -> bool {
    let deadline = Instant::now() + Duration::from_secs(120);
    let names = || {
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<_> = files.map(|file| file.file_name()).collect();
        names.sort();
        names
    };
    let (mut last, mut seen) = (names(), 0);
    while seen < changes {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        assert!(Instant::now() < deadline, "it has neither ended nor made {changes} changes of its checkpoints");
        let now = names();
        seen += u64::from(now != last);
        last = now;
        std::thread::yield_now();
    }
    true
}

fn dice() -> Dice {
    Dice(std::env::var("TIDEMILL_SEED").map_or(1, |seed| seed.parse().expect("TIDEMILL_SEED is a number")))
}

#[test]
fn nothing_is_lost_and_nothing_comes_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (input, alone) = (folder.path().join("in"), folder.path().join("alone"));
    events(&input);
    let expected = end(start(&input, &alone, &[]), &alone);
    assert!(expected.iter().all(|file| file.len() > 1_000));

    let mut dice =
        Dice(std::env::var("TIDEMILL_SEED").map_or(1, |seed| seed.parse().expect("TIDEMILL_SEED is a number")));
    let (mut killed, mut round) = (0, 0);
    while killed < kills() {
        round += 1;
        let (out, checkpoints) =
            (folder.path().join(format!("out {round}")), folder.path().join(format!("kept {round}")));
        let kept = checkpoints.to_str().unwrap();
        let flags =
            |workers: &'static str| ["--checkpoint-dir", kept, "--checkpoint-interval", "1", "--workers", workers];
        // Each start gets a few checkpoints further, until one comes to the end.
        for _ in 0..4 {
            let workers = ["1", "2", "3", "4"][dice.below(4) as usize];
            let mut child = start(&input, &out, &flags(workers));
            if until_it_has(1 + dice.below(40), &mut child, &checkpoints) {
                child.kill().unwrap();
                killed += 1;
            }
            child.wait().unwrap();
        }
        let got = end(start(&input, &out, &flags("2")), &out);
        assert!(got == expected, "round {round}, after {killed} kills: the output is another");
    }
    println!(
        "{killed} kills in {round} rounds: the same {} bytes each time",
        expected.iter().map(Vec::len).sum::<usize>()
    );
}

/// The processes of a launch.
fn processes(launch: &Child) -> Vec<Pid> {
    let pid = launch.id();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

#[test]
fn nor_is_it_when_one_of_three_processes_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (input, alone) = (folder.path().join("in"), folder.path().join("alone"));
    events(&input);
    let expected = end(start(&input, &alone, &[]), &alone);

    let (mut dice, mut killed, mut round) = (dice(), 0, 0);
    while killed < kills() {
        round += 1;
        let (out, kept) = (folder.path().join(format!("out {round}")), folder.path().join(format!("kept {round}")));
        std::fs::create_dir_all(&out).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut launch = Command::new(env!("CARGO_BIN_EXE_launcher"));
        launch.args(["--processes", "3", "--restarts", "1000", "--back-off", "1", "--", env!("CARGO_BIN_EXE_orders")]);
        launch.args([&input, &out]).arg("--checkpoint-dir").arg(&kept).args(["--checkpoint-interval", "1"]);
        let mut launch = launch.stdin(Stdio::null()).stderr(log).spawn().unwrap();
        while killed < kills() && until_it_has(1 + dice.below(20), &mut launch, &kept) {
            let running = processes(&launch);
            // A process that has just ended by itself is no longer there to be killed.
            if let Some(victim) = running.get(dice.below(3) as usize)
                && kill_process(*victim, Signal::KILL).is_ok()
            {
                killed += 1;
            }
        }
        let log = || std::fs::read_to_string(folder.path().join("log")).unwrap();
        assert!(launch.wait().unwrap().success(), "{}", log());
        assert!(written(&out) == expected, "round {round}, after {killed} kills: the output is another\n{}", log());
    }
    println!("{killed} kills of one of three processes in {round} rounds: the same output each time");
}

#[test]
fn what_is_asked_of_checkpoints_and_cannot_be_had_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out, kept) = (folder.path().join("in"), folder.path().join("out"), folder.path().join("kept"));
    events(&input);
    let kept = kept.to_str().unwrap();
    let refused = |more: &[&str]| {
        let done = start(&input, &out, &[&["--checkpoint-dir", kept], more].concat()).wait_with_output().unwrap();
        (done.status.code().unwrap(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let (code, said) = refused(&["--restore", "latest"]);
    assert!(code == 74 && said.contains("there is no checkpoint to restore"), "{code}: {said}");
    let (code, said) = refused(&["--restore", "newest"]);
    assert!(code == 2 && said.contains("give `latest`, `none` or a checkpoint's number"), "{code}: {said}");
    end(start(&input, &out, &["--checkpoint-dir", kept]), &out);
    let (code, said) = refused(&["--restore", "99"]);
    assert!(code == 74 && said.contains("checkpoint 99 does not exist"), "{code}: {said}");
    std::fs::write(input.join("clicks/c.csv"), "at,user,item\n").unwrap();
    let (code, said) = refused(&["--restore", "latest"]);
    assert!(
        code == 66 && said.contains("has 3 partitions now, and had 2 when the checkpoint was made"),
        "{code}: {said}"
    );
    std::fs::remove_file(input.join("clicks/c.csv")).unwrap();
    let manifests = std::fs::read_dir(kept).unwrap().flatten().filter(|file| {
        let name = file.file_name();
        name.to_string_lossy().starts_with("manifest-")
    });
    manifests.for_each(|file| std::fs::write(file.path(), "{").unwrap());
    let (code, said) = refused(&[]);
    assert!(code == 74 && said.contains("is damaged") && said.contains("no whole checkpoint"), "{code}: {said}");
}
