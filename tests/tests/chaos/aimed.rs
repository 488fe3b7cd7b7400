//! Kills at moments that chance seldom hits, each proven by what the dead process has left.

use crate::support::{Dice, Place, Process, Running, at_once, checkpoints, id_of, kills, names, report};
use std::path::PathBuf;
use tidemill_checkpoint::Store;

/// When one of three processes is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// A checkpoint has some of its parts.
    Parts,
    /// Its manifest is being written: `object_store` writes `NAME#1` and then links it.
    Manifest,
    /// A sink has written more than the last checkpoint knows of.
    Commit,
    /// The processes have met again and read their state.
    Restore,
}

/// The moments, and what they are called in the report. A restore follows the kill before it.
const MOMENTS: [(Moment, &str); 4] = [
    (Moment::Parts, "some parts written, and no manifest"),
    (Moment::Manifest, "within the write of a manifest"),
    (Moment::Commit, "a sink committed beyond the checkpoint"),
    (Moment::Restore, "within a restore, before all are ready"),
];

/// The job's sink that writes most, and its file.
const SINK: (&str, &str) = ("led to: file", "led.jsonl");

/// A job of three processes under fire.
struct Target {
    launch: Running,
    kept: PathBuf,
    file: PathBuf,
    /// The last generation that was hit, and how much had been said by then.
    hit: u64,
    said: usize,
}

impl Target {
    fn start(place: &Place, round: u64) -> Target {
        let (out, kept) = (format!("out {round}"), format!("kept {round}"));
        let flags = [place.checkpoints(&kept), vec!["--log".into(), "info".into()]].concat();
        let launch = place.launch(&[], &flags, &out);
        Target { launch, kept: place.at(&kept), file: place.at(&out).join(SINK.1), hit: 0, said: 0 }
    }

    /// Kills a process of the next generation at `moment`. Whether that was hit; `None` once the job has ended.
    fn shoot(&mut self, moment: Moment, dice: &mut Dice) -> Option<bool> {
        // Manifests and sinks are process 0's.
        let index = if moment == Moment::Restore { dice.below(3) } else { 0 };
        let mut victim = None;
        at_once("a process to kill", || {
            victim = self.launch.process(index).filter(|process| process.generation > self.hit);
            victim.is_some() || self.launch.has_ended()
        });
        let victim = victim?;
        let (last, length) = (self.last_id(), self.length());
        let met = format!("process {index} of 3 has met all others");
        at_once("a moment to kill at", || {
            victim.is_dead()
                || match moment {
                    Moment::Parts => self.parts_after(last),
                    Moment::Manifest => self.unfinished_manifest(),
                    Moment::Commit => victim.ready.exists() && self.length() > length,
                    Moment::Restore => victim.ready.exists() || self.launch.said_after(self.said).contains(&met),
                }
        });
        if !victim.kill() {
            return Some(false);
        }
        (self.hit, self.said) = (victim.generation, self.launch.said().len());
        Some(self.proof(moment, last, &victim))
    }

    /// Whether what the dead has left shows that it died at that moment.
    fn proof(&self, moment: Moment, last: u64, victim: &Process) -> bool {
        match moment {
            Moment::Parts => self.parts_after(last),
            Moment::Manifest => self.unfinished_manifest(),
            Moment::Commit => self.length() > self.saved_length(),
            Moment::Restore => !victim.ready.exists() && !checkpoints(&self.kept).is_empty(),
        }
    }

    fn last_id(&self) -> u64 {
        names(&self.kept).iter().filter_map(|name| id_of(name)).max().unwrap_or(0)
    }

    /// Whether there are parts of a checkpoint after `last`, and no manifest.
    fn parts_after(&self, last: u64) -> bool {
        let id = self.last_id();
        let whole = |name: &String| name.starts_with("part-") && !name.contains('#') && id_of(name) == Some(id);
        id > last && !checkpoints(&self.kept).contains(&id) && names(&self.kept).iter().any(whole)
    }

    /// Whether the newest checkpoint has the beginning of a manifest and no manifest.
    fn unfinished_manifest(&self) -> bool {
        let names = names(&self.kept);
        let begun = names.iter().filter(|name| name.starts_with("manifest-") && name.contains('#'));
        begun.filter_map(|name| id_of(name)).any(|id| id > checkpoints(&self.kept).last().copied().unwrap_or(0))
    }

    fn length(&self) -> u64 {
        std::fs::metadata(&self.file).map_or(0, |file| file.len())
    }

    /// What the newest checkpoint says of the sink's file; all behind it is cut off by a restart.
    fn saved_length(&self) -> u64 {
        let newest = Store::open(self.kept.to_str().unwrap()).unwrap().latest().unwrap().manifest;
        let sinks = newest.map_or_else(Vec::new, |newest| newest.sinks);
        let saved = sinks.into_iter().find(|sink| sink.name == SINK.0);
        saved.map_or(0, |saved| u64::from_le_bytes(saved.state.try_into().unwrap()))
    }
}

#[test]
fn nor_is_it_when_a_checkpoint_a_commit_or_a_restore_is_hit() {
    let place = Place::new();
    let wanted = kills(8).div_ceil(4);
    let (mut dice, mut hits, mut missed, mut round) = (Dice::thrown(), [0; 4], 0, 0);
    while hits.iter().any(|hits| *hits < wanted) {
        round += 1;
        let mut target = Target::start(&place, round);
        'round: while hits.iter().any(|hits| *hits < wanted) {
            for (at, (moment, _)) in MOMENTS.into_iter().enumerate() {
                match target.shoot(moment, &mut dice) {
                    Some(true) => hits[at] += 1,
                    Some(false) => missed += 1,
                    None => break 'round,
                }
            }
            assert!(missed < 200 + 20 * wanted, "the moments cannot be hit: {hits:?}");
        }
        target.launch.ends_well();
        place.check(&format!("out {round}"), &target.launch);
    }
    for ((_, name), hits) in MOMENTS.iter().zip(hits) {
        report("SIGKILL, join, one of 3 processes", name, hits, "output equal");
    }
    report("SIGKILL, join, one of 3 processes", "aimed at these, and a moment beside", missed, "output equal");
}
