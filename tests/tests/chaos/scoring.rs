//! The fraud example under fire: alerts in a file and in PostgreSQL, each once.

use crate::support::{Dice, Running, kills, launcher, report, until, until_it_has};
use fraud::features::WINDOW_INPUT_NAMES;
use fraud::{generate, transaction::write_csv};
use postgres::{Client, NoTls};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tidemill_torch::{Architecture, Description, Kind, Network};

/// Days of payments: as many as are scored in a few seconds.
const DAYS: u32 = 20;

/// A server of this test's own, which `scripts/postgres.sh` stops when its input ends.
struct Server {
    url: String,
    _script: Child,
}

impl Server {
    fn start() -> Server {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/postgres.sh");
        let mut command = Command::new("bash");
        let command = command.arg(script).arg("run").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut script = command.spawn().expect("bash, to start a server");
        let mut lines = BufReader::new(script.stdout.take().expect("piped")).lines();
        let mut line = || lines.next().expect("no PostgreSQL server: the script says above what to do").unwrap();
        let (url, _folder) = (line(), line());
        Server { url, _script: script }
    }

    fn client(&self) -> Client {
        Client::connect(&self.url, NoTls).unwrap()
    }
}

/// Payments, a model, and what is made of them when nothing happens.
struct Shop {
    folder: tempfile::TempDir,
    server: Server,
    expected: Vec<u8>,
}

impl Shop {
    fn open() -> Shop {
        let mut shop = Shop { folder: tempfile::tempdir().unwrap(), server: Server::start(), expected: Vec::new() };
        let payments: Vec<_> = generate::transactions().into_iter().filter(|payment| payment.day() < DAYS).collect();
        write_csv(&payments, File::create(shop.at("payments.csv")).unwrap()).unwrap();
        // It need not be trained to rank payments.
        let network = Kind::Mlp { hidden: 16, layers: 1, dropout: 0.0 };
        let architecture = Architecture { sequence: 1, features: WINDOW_INPUT_NAMES.len(), network };
        Network::new(Description::new(architecture, WINDOW_INPUT_NAMES), 1).unwrap().save(shop.at("net")).unwrap();
        let mut alone = Command::new(env!("CARGO_BIN_EXE_scoring"));
        shop.flags("alone", &mut alone);
        Running::start(&mut alone, shop.at("alone.log")).ends_well();
        shop.expected = std::fs::read(shop.at("alone.jsonl")).unwrap();
        assert!(shop.expected.len() > 100_000);
        shop
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Has alerts go to a file of that name, and to a schema.
    fn flags(&self, name: &str, command: &mut Command) {
        self.server.client().batch_execute(&format!("CREATE SCHEMA {name}")).unwrap();
        command.args(["run", "--padded", "--input"]).arg(self.at("payments.csv")).arg("--model").arg(self.at("net"));
        command.arg("--alerts").arg(self.at(&format!("{name}.jsonl")));
        command.args(["--postgres", &format!("{}?options=-csearch_path%3D{name}", self.server.url)]);
    }

    fn launch(&self, name: &str, launch: &[&str], interval: &str) -> Running {
        let mut command = launcher(launch);
        command.arg(env!("CARGO_BIN_EXE_scoring"));
        self.flags(name, &mut command);
        command.arg("--checkpoint-dir").arg(self.at(name)).args(["--checkpoint-interval", interval]);
        Running::start(&mut command, self.at(&format!("{name}.log")))
    }

    /// Bytes of alerts.
    fn size(&self, name: &str) -> u64 {
        std::fs::metadata(self.at(&format!("{name}.jsonl"))).map_or(0, |file| file.len())
    }

    /// The file has the same bytes, and the table the same rows, each once.
    fn check(&self, name: &str, job: &mut Running) -> i64 {
        job.ends_well();
        assert!(std::fs::read(self.at(&format!("{name}.jsonl"))).unwrap() == self.expected, "{name}: {}", job.said());
        let columns = "day, rank, customer, score, time, terminal, cents, reasons, tidemill_epoch";
        let mut client = self.server.client();
        let mut count =
            |sql: &str| -> i64 { client.query_one(&format!("SELECT count(*) FROM {sql}"), &[]).unwrap().get(0) };
        let (rows, expected) = (count(&format!("{name}.alerts")), count("alone.alerts"));
        let twice = count(&format!("(SELECT FROM {name}.alerts GROUP BY day, rank HAVING count(*) > 1) _"));
        let except = |one: &str, other: &str| {
            format!("(SELECT {columns} FROM {one}.alerts EXCEPT ALL SELECT {columns} FROM {other}.alerts) _")
        };
        let (more, fewer) = (count(&except(name, "alone")), count(&except("alone", name)));
        assert_eq!((rows, twice, more, fewer), (expected, 0, 0, 0), "{name}: rows, twice, too many, missing");
        rows
    }
}

/// Holds the table when a transaction of the sink is about to change it, and kills its process. Whether that
/// came to pass before the job had ended.
fn kill_in_transaction(shop: &Shop, name: &str, launch: &mut Running) -> bool {
    let (mut holds, mut looks) = (shop.server.client(), shop.server.client());
    let mut there = false;
    until("the table of alerts", || {
        there = looks.query_one(&format!("SELECT to_regclass('{name}.alerts') IS NOT NULL"), &[]).unwrap().get(0);
        there || launch.has_ended()
    });
    if !there {
        return false;
    }
    let mut held = holds.transaction().unwrap();
    held.batch_execute(&format!("LOCK TABLE {name}.alerts IN SHARE MODE")).unwrap();
    // A start that has no checkpoint to go on from deletes what an earlier one has committed.
    let waits = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ '^(COPY|DELETE)'";
    let mut waiting = false;
    until("a transaction that waits for the table", || {
        waiting = looks.query_one(waits, &[]).unwrap().get(0);
        waiting || launch.has_ended()
    });
    waiting && launch.process(0).is_some_and(|victim| victim.kill())
}

/// Kills a process of a job that is launched as users do it, once, and waits for an alert that had not been there: how often
/// in so many jobs, and how long that took at most.
fn kill_and_wait(shop: &Shop, dice: &mut Dice, jobs: u64) -> (u64, Duration) {
    let (mut killed, mut longest) = (0, Duration::ZERO);
    for job in 1..=jobs {
        let name = format!("waited_{job}");
        let mut launch = shop.launch(&name, &["--back-off", "500"], "1000");
        if until_it_has(2, &mut launch, &shop.at(&name)) {
            let before = shop.size(&name);
            if launch.process(dice.below(3)).is_some_and(|victim| victim.kill()) {
                let since = Instant::now();
                until("an alert after a failure", || shop.size(&name) > before || launch.has_ended());
                (killed, longest) = (killed + 1, longest.max(since.elapsed()));
            }
        }
        shop.check(&name, &mut launch);
    }
    (killed, longest)
}

#[test]
fn each_alert_comes_once_whatever_is_killed() {
    let shop = Shop::open();
    let (mut dice, mut killed, mut within, mut round, mut rows) = (Dice::thrown(), 0, 0, 0, 0);
    let (random, aimed) = (kills(10), kills(10).div_ceil(10));
    while killed < random || within < aimed {
        round += 1;
        let name = format!("round_{round}");
        let mut launch = shop.launch(&name, &[], "20");
        loop {
            if within < aimed && kill_in_transaction(&shop, &name, &mut launch) {
                within += 1;
            }
            if killed >= random || !until_it_has(1 + dice.below(30), &mut launch, &shop.at(&name)) {
                break;
            }
            killed += u64::from(launch.process(dice.below(3)).is_some_and(|victim| victim.kill()));
        }
        rows = shop.check(&name, &mut launch);
    }
    let outcome = format!("file equal; {rows} rows in PostgreSQL, each once");
    report("SIGKILL, fraud, one of 3 processes", "at random", killed, &outcome);
    report("SIGKILL, fraud, one of 3 processes", "within the sink's transaction", within, &outcome);
    let (killed, longest) = kill_and_wait(&shop, &mut dice, aimed);
    let outcome = format!("file equal; the next alert after {:.1} s at most", longest.as_secs_f64());
    report("SIGKILL, fraud, launched as usual", "at random", killed, &outcome);
}
