//! Kills at random moments.

use crate::support::{Dice, Place, kills, report, until_it_has};
use rustix::process::Signal;

#[test]
fn nothing_is_lost_and_nothing_comes_twice() {
    let place = Place::new();
    let (mut dice, mut killed, mut round) = (Dice::thrown(), 0, 0);
    while killed < kills(10) {
        round += 1;
        let (out, kept) = (format!("out {round}"), format!("kept {round}"));
        let flags = |workers: &str| [place.checkpoints(&kept), vec!["--workers".into(), workers.into()]].concat();
        // Each start gets a few checkpoints further, until one comes to the end.
        for _ in 0..4 {
            let workers = ["1", "2", "3", "4"][dice.below(4) as usize];
            let mut job = place.start(&flags(workers), &out);
            if until_it_has(1 + dice.below(40), &mut job, &place.at(&kept)) {
                job.child.kill().unwrap();
                killed += 1;
            }
            job.end();
        }
        let mut job = place.start(&flags("2"), &out);
        job.ends_well();
        place.check(&out, &job);
    }
    report("SIGKILL, join, one process", "at random, on 1 to 4 workers", killed, "output equal");
}

#[test]
fn nor_is_it_when_one_of_three_processes_is_killed() {
    let place = Place::new();
    let (mut dice, mut killed, mut round) = (Dice::thrown(), 0, 0);
    while killed < kills(10) {
        round += 1;
        let (out, kept) = (format!("out {round}"), format!("kept {round}"));
        let mut launch = place.launch(&[], &place.checkpoints(&kept), &out);
        while killed < kills(10) && until_it_has(1 + dice.below(20), &mut launch, &place.at(&kept)) {
            // A process that has just ended by itself is no longer there to be killed.
            killed += u64::from(launch.process(dice.below(3)).is_some_and(|victim| victim.kill()));
        }
        launch.ends_well();
        place.check(&out, &launch);
    }
    report("SIGKILL, join, one of 3 processes", "at random", killed, "output equal");
}

#[test]
fn nor_is_it_when_the_launcher_is_killed_and_another_takes_over_at_once() {
    let place = Place::new();
    let (mut dice, mut killed) = (Dice::thrown(), 0);
    let wanted = kills(10).div_ceil(10);
    while killed < wanted {
        let (out, kept) = (format!("out {killed}"), format!("kept {killed}"));
        let mut first = place.launch(&[], &place.checkpoints(&kept), &out);
        assert!(until_it_has(1 + dice.below(20), &mut first, &place.at(&kept)), "{}", first.said());
        first.child.kill().unwrap();
        // The first one's processes end by themselves, and hold the checkpoints until then.
        let mut second = place.launch(&[], &place.checkpoints(&kept), &out);
        second.ends_well();
        place.check(&out, &second);
        killed += 1;
    }
    report("SIGKILL, join, the launcher", "at random, another started at once", killed, "output equal");
}

#[test]
fn nor_is_it_when_there_are_more_or_fewer_processes_after_that() {
    let place = Place::new();
    let (mut dice, mut changes) = (Dice::thrown(), 0);
    let wanted = kills(10).div_ceil(10);
    for round in 0..wanted {
        let (out, kept) = (format!("out {round}"), format!("kept {round}"));
        let launch = |processes| place.launch(&["--processes", processes], &place.checkpoints(&kept), &out);
        for processes in ["1", "3"] {
            let mut job = launch(processes);
            if !until_it_has(10 + dice.below(20), &mut job, &place.at(&kept)) {
                continue;
            }
            // Asked to end, with a checkpoint, or not asked.
            job.signal(if dice.below(2) == 0 { Signal::TERM } else { Signal::KILL });
            job.end();
            changes += 1;
        }
        let mut last = launch("2");
        last.ends_well();
        place.check(&out, &last);
    }
    assert!(changes >= wanted, "each job was at its end before it could be changed");
    report("1, then 3, then 2 processes", "SIGTERM or SIGKILL between them", changes, "output equal");
}
