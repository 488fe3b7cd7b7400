//! Processes that are stopped for long enough to look dead, and wake up again.

use crate::support::{Dice, Place, Running, kills, report, until, until_it_has};
use rustix::process::Signal;

/// Two seconds of silence, the least there may be.
const SOON: [&str; 2] = ["--heartbeat", "2"];

#[test]
fn a_process_that_is_stopped_is_lost_and_all_start_again() {
    let place = Place::new();
    let (mut dice, mut stopped, mut woken, mut round) = (Dice::thrown(), 0, 0, 0);
    let wanted = kills(10).div_ceil(10);
    while stopped + woken < 2 * wanted {
        round += 1;
        let (out, kept) = (format!("out {round}"), format!("kept {round}"));
        let flags = [place.checkpoints(&kept), SOON.map(str::to_owned).to_vec()].concat();
        let mut launch = place.launch(&["--grace", "1"], &flags, &out);
        assert!(until_it_has(5 + dice.below(40), &mut launch, &place.at(&kept)), "{}", launch.said());
        let Some(victim) = launch.process(round % 3) else { continue };
        victim.signal(Signal::STOP);
        let lost = format!("process {} was lost: nothing was heard of it for 2 s", victim.index);
        until("the others' loss", || launch.said().matches(&lost).count() >= 2);
        if round % 2 == 0 {
            // It wakes up while the others are gone, and before the launcher kills it.
            victim.signal(Signal::CONT);
        }
        launch.ends_well();
        assert!(launch.said().contains("starting all again"), "{}", launch.said());
        place.check(&out, &launch);
        *(if round % 2 == 0 { &mut woken } else { &mut stopped }) += 1;
    }
    report("SIGSTOP, one of 3 processes", "until it looks dead, for good", stopped, "restarted, output equal");
    report("SIGSTOP, one of 3 processes", "SIGCONT once the others have given it up", woken, "restarted, output equal");
}

#[test]
fn a_process_that_wakes_up_late_spoils_nothing() {
    let place = Place::new();
    let mut dice = Dice::thrown();
    let rounds = kills(10).div_ceil(10);
    for round in 0..rounds {
        first_wakes_up(&place, &mut dice, round);
        another_wakes_up(&place, &mut dice, round);
    }
    report(
        "SIGSTOP, by hand, process 0",
        "SIGCONT after the next start",
        rounds,
        "refused by the lock (74), then output equal",
    );
    report("SIGSTOP, by hand, process 1", "SIGCONT while the next start runs", rounds, "ends with 75, output equal");
}

/// The flags of a process that soon gives up one that is silent, and waits for one that is not there yet.
fn patient(place: &Place, kept: &str) -> Vec<String> {
    [place.checkpoints(kept), [SOON, ["--connect-timeout", "20"]].concat().iter().map(ToString::to_string).collect()]
        .concat()
}

/// Process 0 writes the sinks and the manifests: as long as it lives, nobody takes its place.
fn first_wakes_up(place: &Place, dice: &mut Dice, round: u64) {
    let (out, kept) = (format!("first {round}"), format!("kept first {round}"));
    let flags = patient(place, &kept);
    let [mut first, mut second, mut third] = place.by_hand(&format!("{out} a"), &out, |_| flags.clone());
    assert!(until_it_has(5 + dice.below(40), &mut first, &place.at(&kept)), "{}", first.said());
    first.signal(Signal::STOP);
    for other in [&mut second, &mut third] {
        other.ends_with(75, &["process 0 was lost: nothing was heard of it for 2 s"]);
    }
    let mut next = place.by_hand(&format!("{out} b"), &out, |_| flags.clone());
    next[0].ends_with(74, &["is locked by a running job"]);
    first.signal(Signal::CONT);
    first.ends_with(75, &[]);
    drop(next);
    let mut last = place.by_hand(&format!("{out} c"), &out, |_| flags.clone());
    last.iter_mut().for_each(Running::ends_well);
    place.check(&out, &last[0]);
}

/// Another process writes parts of checkpoints, which the next start writes too.
fn another_wakes_up(place: &Place, dice: &mut Dice, round: u64) {
    let (out, kept) = (format!("another {round}"), format!("kept another {round}"));
    let flags = patient(place, &kept);
    let [mut first, mut second, mut third] = place.by_hand(&format!("{out} a"), &out, |_| flags.clone());
    assert!(until_it_has(5 + dice.below(40), &mut first, &place.at(&kept)), "{}", first.said());
    second.signal(Signal::STOP);
    for other in [&mut first, &mut third] {
        other.ends_with(75, &["process 1 was lost: nothing was heard of it for 2 s"]);
    }
    let mut next = place.by_hand(&format!("{out} b"), &out, |_| flags.clone());
    assert!(until_it_has(1 + dice.below(5), &mut next[0], &place.at(&kept)), "{}", next[0].said());
    second.signal(Signal::CONT);
    second.ends_with(75, &[]);
    next.iter_mut().for_each(Running::ends_well);
    place.check(&out, &next[0]);
}
