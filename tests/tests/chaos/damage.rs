//! Checkpoints that are damaged, or are not what was asked for.

use crate::support::{Dice, Place, Running, at_once, checkpoints, kills, names, report};
use std::path::{Path, PathBuf};

/// What happens to a checkpoint.
#[derive(Clone, Copy, Debug)]
enum Damage {
    ManifestCut,
    ManifestFlipped,
    PartCut,
    PartFlipped,
    PartMissing,
}

const DAMAGES: [(Damage, &str); 5] = [
    (Damage::ManifestCut, "newest manifest cut short"),
    (Damage::ManifestFlipped, "a byte of the newest manifest changed"),
    (Damage::PartCut, "a part of the newest cut short"),
    (Damage::PartFlipped, "a byte of a part of the newest changed"),
    (Damage::PartMissing, "a part of the newest missing"),
];

impl Damage {
    /// Does it to checkpoint `id`, and gives the name of the file.
    fn to(self, folder: &Path, id: u64, dice: &mut Dice) -> String {
        // What was compacted after it has its number too, and belongs to the next one.
        let of_it = |kind: &str, rest: &str| {
            let begin = format!("{kind}-{id:020}{rest}");
            names(folder).into_iter().find(|name| name.starts_with(&begin) && !name.contains('#')).unwrap()
        };
        let name = match self {
            Damage::ManifestCut | Damage::ManifestFlipped => of_it("manifest", ".json"),
            Damage::PartCut | Damage::PartFlipped | Damage::PartMissing => of_it("part", "-worker-"),
        };
        let path = folder.join(&name);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = dice.below(bytes.len() as u64) as usize;
        match self {
            Damage::ManifestCut | Damage::PartCut => bytes.truncate(at),
            Damage::ManifestFlipped | Damage::PartFlipped => bytes[at] ^= 1 << dice.below(8),
            Damage::PartMissing => {
                std::fs::remove_file(path).unwrap();
                return name;
            }
        }
        std::fs::write(path, bytes).unwrap();
        name
    }
}

/// Kills the job after some checkpoints. Where they are, and the newest.
fn interrupted(place: &Place, round: &str, dice: &mut Dice) -> (PathBuf, u64) {
    let kept = place.at(&format!("kept {round}"));
    let mut job = place.start(&place.checkpoints(&format!("kept {round}")), &format!("out {round}"));
    let some = 3 + dice.below(2);
    at_once("some checkpoints", || checkpoints(&kept).last().is_some_and(|id| *id >= some) || job.has_ended());
    job.child.kill().unwrap();
    assert!(!job.end().success(), "it ended before it could be killed");
    let newest = *checkpoints(&kept).last().unwrap();
    (kept, newest)
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_is_used() {
    let place = Place::new();
    let mut dice = Dice::thrown();
    let rounds = kills(10).div_ceil(10);
    for (damage, name) in DAMAGES {
        for round in 0..rounds {
            let round = format!("{damage:?} {round}");
            let (kept, newest) = interrupted(&place, &round, &mut dice);
            let file = damage.to(&kept, newest, &mut dice);
            let (flags, out) = (place.checkpoints(&format!("kept {round}")), format!("out {round}"));
            let mut job = if dice.below(2) == 0 { place.start(&flags, &out) } else { place.launch(&[], &flags, &out) };
            job.ends_well();
            let said = job.said();
            let passed = format!("checkpoint {newest} is passed over");
            assert!(said.contains(&passed) && said.contains(&file), "{round}: {file}\n{said}");
            place.check(&out, &job);
        }
        report("checkpoint damaged", name, rounds, "named, the one before used, output equal");
    }
    for (damage, _) in DAMAGES {
        let round = format!("all {damage:?}");
        let (kept, _) = interrupted(&place, &round, &mut dice);
        for id in checkpoints(&kept) {
            damage.to(&kept, id, &mut dice);
        }
        let flags = place.checkpoints(&format!("kept {round}"));
        let mut job = place.start(&flags, &format!("out {round}"));
        job.ends_with(74, &["there is no whole checkpoint to restore", "is passed over"]);
        let mut launch = place.launch(&["--restarts", "1"], &flags, &format!("out {round}"));
        launch.ends_with(74, &["there is no whole checkpoint to restore"]);
        // Said, and then meant.
        let mut anew = place.start(&[flags, vec!["--restore".into(), "none".into()]].concat(), &format!("out {round}"));
        anew.ends_well();
        place.check(&format!("out {round}"), &anew);
    }
    report("checkpoint damaged", "all of them, each in these ways", 5, "exit code 74; --restore none: output equal");
}

#[test]
fn what_is_asked_of_checkpoints_and_cannot_be_had_is_said() {
    let place = Place::new();
    let flags =
        |more: &[&str]| [place.checkpoints("kept"), more.iter().map(|&word| word.to_owned()).collect()].concat();
    let refused = |more: &[&str], code, words: &[&str]| place.start(&flags(more), "out").ends_with(code, words);
    refused(&["--restore", "latest"], 74, &["there is no checkpoint to restore"]);
    refused(&["--restore", "newest"], 2, &["give `latest`, `none` or a checkpoint's number"]);
    place.start(&flags(&[]), "out").ends_well();
    refused(&["--restore", "99"], 74, &["checkpoint 99 does not exist"]);
    let third = place.at("in/clicks/c.csv");
    std::fs::write(&third, "at,user,item\n").unwrap();
    refused(&["--restore", "latest"], 66, &["has 3 partitions now, and had 2 when the checkpoint was made"]);
    std::fs::remove_file(third).unwrap();
}

#[test]
fn processes_that_would_begin_with_different_checkpoints_do_not() {
    let place = Place::new();
    let (_, newest) = interrupted(&place, "apart", &mut Dice::thrown());
    let flags = |process: usize| {
        let mut flags = place.checkpoints("kept apart");
        if process == 2 {
            flags.extend(["--restore".to_owned(), (newest - 1).to_string()]);
        }
        flags
    };
    let mut apart = place.by_hand("apart", "out apart", flags);
    let (mut codes, mut said) = (Vec::new(), String::new());
    for process in &mut apart {
        codes.push(process.end().code().unwrap());
        said += &process.said();
    }
    assert!(codes == [75; 3], "{codes:?}: {said}");
    assert!(said.contains(&format!("begins after checkpoint {} of", newest - 1)), "{said}");
    let mut together = place.by_hand("together", "out apart", |_| place.checkpoints("kept apart"));
    together.iter_mut().for_each(Running::ends_well);
    place.check("out apart", &together[0]);
    report("checkpoint", "processes begin with different ones", 1, "refused (75), then output equal");
}
