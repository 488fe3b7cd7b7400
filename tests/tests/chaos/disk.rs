//! Disks that are full: for checkpoints, and for what sinks write.

use crate::namespaces::{Holder, unshare};
use crate::support::{Place, Running, checkpoints, launcher, report, skip, written};
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

/// Bytes of the disk.
const SIZE: u64 = 128 << 20;

/// A small disk that only those see who are in its namespace.
struct Disk {
    holder: Holder,
    folder: PathBuf,
}

impl Disk {
    fn mount(place: &Place, name: &str) -> Result<Disk, String> {
        let folder = place.at(name);
        std::fs::create_dir_all(&folder).unwrap();
        let holder =
            Holder::new(unshare(&["--mount"]), &format!("mount -t tmpfs -o size={SIZE} none \"$0\""), &folder)?;
        Ok(Disk { holder, folder })
    }

    /// A file on it, as it is seen from outside.
    fn at(&self, name: &str) -> PathBuf {
        self.holder.path(&self.folder.join(name))
    }

    /// Fills it up but for so many bytes.
    fn leave(&self, bytes: u64) {
        let mut ballast = File::create(self.at("ballast")).unwrap();
        let block = vec![0; 4096];
        while ballast.write_all(&block).is_ok() {}
        let length = ballast.metadata().unwrap().len();
        ballast.set_len(length - bytes).unwrap();
    }

    fn make_room(&self) {
        std::fs::remove_file(self.at("ballast")).unwrap();
    }

    /// Starts the job with the disk in sight: its output in `out`, its checkpoints in `kept`.
    fn start(&self, place: &Place, launch: bool, out: &PathBuf, kept: &PathBuf) -> Running {
        let program = env!("CARGO_BIN_EXE_orders");
        let mut command = if launch {
            let launcher = launcher(&["--restarts", "1"]);
            let mut command = self.holder.inside(&["--mount"], launcher.get_program().to_str().unwrap());
            command.args(launcher.get_args()).arg(program);
            command
        } else {
            self.holder.inside(&["--mount"], program)
        };
        command.arg(place.at("in")).arg(out).arg("--checkpoint-dir").arg(kept).args(["--checkpoint-interval", "1"]);
        Running::start(&mut command, place.at("log"))
    }
}

#[test]
fn a_full_disk_stops_the_job_and_it_goes_on_when_there_is_room() {
    let place = Place::new();
    let mut rounds = 0;
    for launch in [false, true] {
        let disk = match Disk::mount(&place, if launch { "disk 2" } else { "disk 1" }) {
            Ok(disk) => disk,
            Err(reason) => return skip("full disk", &format!("no disk can be mounted here: {reason}")),
        };
        let (kept, out) = (disk.folder.join("kept"), place.at(&format!("out {launch}")));
        std::fs::create_dir_all(&out).unwrap();
        disk.leave(300 << 10);
        disk.start(&place, launch, &out, &kept).ends_with(74, &["checkpoints: ", "No space left on device"]);
        assert!(!checkpoints(&disk.at("kept")).is_empty(), "it stopped before there was anything to go on from");
        disk.make_room();
        let mut job = disk.start(&place, launch, &out, &kept);
        job.ends_well();
        assert!(written(&out) == place.expected, "{}", job.said());
        rounds += 1;
    }
    report("full disk for checkpoints", "one process, and a launch of 3", rounds, "exit code 74, then output equal");
    let disk = Disk::mount(&place, "disk 3").unwrap();
    let (kept, out) = (place.at("kept"), disk.folder.join("out"));
    std::fs::create_dir_all(disk.at("out")).unwrap();
    let size = place.expected.iter().map(Vec::len).sum::<usize>() as u64;
    for launch in [false, true] {
        disk.leave(size / 2);
        let words = ["cannot be written, for the disk is full", "free some space and run again"];
        disk.start(&place, launch, &out, &kept).ends_with(73, &words);
        assert!(!checkpoints(&kept).is_empty(), "it stopped before there was anything to go on from");
        disk.make_room();
        let mut job = disk.start(&place, launch, &out, &kept);
        job.ends_well();
        assert!(written(&disk.at("out")) == place.expected, "{}", job.said());
        std::fs::remove_dir_all(&kept).unwrap();
        std::fs::remove_dir_all(disk.at("out")).unwrap();
        std::fs::create_dir_all(disk.at("out")).unwrap();
    }
    report("full disk for sinks' files", "one process, and a launch of 3", 2, "exit code 73, then output equal");
}
