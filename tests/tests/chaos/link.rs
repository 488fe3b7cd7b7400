//! A link between two machines that is cut: here two network namespaces, and a pair of interfaces between them.

use crate::namespaces::{Holder, done, unshare};
use crate::support::{Dice, Place, Running, kills, report, skip, until_it_has};
use rustix::process::Signal;
use std::path::Path;
use std::process::Command;

const ADDRESSES: [&str; 2] = ["10.123.45.1", "10.123.45.2"];
const PORT: u16 = 2101;

/// Two machines, one might say.
struct Machines {
    both: [Holder; 2],
}

impl Machines {
    fn new() -> Result<Machines, String> {
        let lo = "ip link set lo up";
        let west = Holder::new(unshare(&["--net"]), lo, Path::new("/"))?;
        // Of the same user namespace, so that both ends of the pair are in the first one's power.
        let mut unshare = west.inside(&[], "unshare");
        unshare.arg("--net");
        let east = Holder::new(unshare, lo, Path::new("/"))?;
        let machines = Machines { both: [west, east] };
        let east = machines.both[1].pid().to_string();
        machines.ip(0, &["link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", &east])?;
        for (machine, address) in ADDRESSES.iter().enumerate() {
            machines.ip(machine, &["address", "add", &format!("{address}/24"), "dev", "wire"])?;
            machines.ip(machine, &["link", "set", "wire", "up"])?;
        }
        Ok(machines)
    }

    fn ip(&self, machine: usize, words: &[&str]) -> Result<(), String> {
        let mut command = self.both[machine].inside(&["--net"], "ip");
        command.args(words);
        done(command)
    }

    /// Starts the job on both.
    fn start(&self, place: &Place, start: &str, out: &str, kept: &str) -> [Running; 2] {
        let hosts = place.at("hosts");
        std::fs::write(&hosts, ADDRESSES.map(|address| format!("{address}:{PORT}")).join("\n")).unwrap();
        std::fs::create_dir_all(place.at(out)).unwrap();
        [0, 1].map(|process| {
            let mut command: Command = self.both[process].inside(&["--net"], env!("CARGO_BIN_EXE_orders"));
            command.args([place.at("in"), place.at(out)]).args(place.checkpoints(kept));
            command.args(["--process", &process.to_string(), "--heartbeat", "2", "--hosts"]).arg(&hosts);
            command.env("TIDEMILL_SECRET", "a secret of these two machines");
            Running::start(&mut command, place.at(&format!("{start} {process}.log")))
        })
    }
}

#[test]
fn a_link_that_is_cut_ends_both_sides_and_they_go_on_when_it_is_back() {
    let machines = match Machines::new() {
        Ok(machines) => machines,
        Err(reason) => return skip("link cut", &format!("no namespaces with a link between them here: {reason}")),
    };
    let place = Place::new();
    let (mut dice, rounds) = (Dice::thrown(), kills(10).div_ceil(10));
    for round in 0..rounds {
        let (out, kept) = (format!("out {round}"), format!("kept {round}"));
        let mut both = machines.start(&place, &format!("{round} a"), &out, &kept);
        assert!(until_it_has(5 + dice.below(30), &mut both[0], &place.at(&kept)), "{}", both[0].said());
        let side = dice.below(2) as usize;
        // They pause meanwhile, or might be done before the link is down.
        both.iter().for_each(|job| job.signal(Signal::STOP));
        machines.ip(side, &["link", "set", "wire", "down"]).unwrap();
        both.iter().for_each(|job| job.signal(Signal::CONT));
        for (process, job) in both.iter_mut().enumerate() {
            job.ends_with(75, &[&format!("process {} was lost: ", 1 - process)]);
        }
        machines.ip(side, &["link", "set", "wire", "up"]).unwrap();
        let mut both = machines.start(&place, &format!("{round} b"), &out, &kept);
        both.iter_mut().for_each(Running::ends_well);
        place.check(&out, &both[0]);
    }
    report("link between 2 processes cut", "at random", rounds, "both end with 75, then output equal");
}
