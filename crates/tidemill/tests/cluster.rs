//! What must hold of several processes that run one job. Here they are threads of one, each with its own sockets and
//! workers; `tests/tests/cluster.rs` has real ones, to kill.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tidemill::*;

const SECRET: &str = "what only these processes know";

/// Addresses that nobody else uses now.
fn hosts(count: usize) -> Vec<String> {
    let taken: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    taken.iter().map(|port| port.local_addr().unwrap().to_string()).collect()
}

/// Process `process` of those at `hosts`, with a secret.
fn member(process: usize, hosts: &[String]) -> Cluster {
    Cluster { secret: Some(Secret::new(SECRET).unwrap()), ..Cluster::new(process, hosts.to_vec()) }
}

/// Everything that is logged in this program.
fn log() -> &'static Arc<Mutex<Vec<u8>>> {
    static LOG: OnceLock<Arc<Mutex<Vec<u8>>>> = OnceLock::new();
    LOG.get_or_init(|| {
        let log = Arc::new(Mutex::new(Vec::new()));
        let to_log = Arc::clone(&log);
        let writer = move || To(Arc::clone(&to_log));
        let all = tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).with_ansi(false).with_writer(writer);
        all.init();
        log
    })
}

struct To(Arc<Mutex<Vec<u8>>>);

impl Write for To {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Waits until `condition` holds; fails after a minute.
fn wait(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} never came");
        std::thread::yield_now();
    }
}

fn wait_for_log(text: &str) {
    wait(text, || String::from_utf8_lossy(&log().lock().unwrap()).contains(text));
}

type Event = (Millis, String);

/// Three partitions of events with words in them.
fn events(count: i64) -> Events<Event> {
    let partition = |p: i64| (0..count).map(move |i| (i, format!("a word to look for {}", (i * 7 + p) % 50))).collect();
    Events::partitioned((0..3).map(partition).collect())
}

/// Counts words per key; everything crosses between processes.
struct Words;

impl Maintain for Words {
    type Key = String;
    type In = Event;
    type State = u64;
    type Row = (String, u64);

    fn update(&self, _: &String, count: &mut u64, events: &mut Vec<Record<Event>>) {
        *count += events.len() as u64;
    }

    fn rows(&self, word: &String, count: &u64, rows: &mut Vec<(String, u64)>) {
        rows.push((word.clone(), *count));
    }
}

type Rows = Memory<Update<(String, u64)>>;

/// Runs one process's part of a job in a thread.
fn start(cluster: Option<Cluster>, workers: usize, name: &str, rows: &Rows) -> JoinHandle<Result<Report>> {
    let (name, rows) = (name.to_owned(), rows.clone());
    let config = Config { cluster, epoch_records: 50, ..Config::workers(workers) };
    std::thread::spawn(move || {
        execute(config, move |job| {
            let events = job.source(&name, events(1_000), Timing::by(|event: &Event| event.0))?;
            events.key_by(|event| event.1.clone()).maintain("words", Words)?.sink("out", rows.clone())
        })
    })
}

#[test]
fn processes_together_give_what_one_gives_and_all_the_same_report() {
    let expected = Rows::new();
    start(None, 1, "events", &expected).join().unwrap().unwrap();
    let expected = expected.take();
    assert_eq!(expected.iter().map(|(_, update)| update.diff).sum::<isize>(), 50);
    // A name longer than a frame: words between processes may be.
    let long = "e".repeat(200_000);
    for (processes, workers, name) in [(2, 1, "events"), (3, 2, "events"), (2, 1, &long)] {
        let (hosts, rows) = (hosts(processes), Rows::new());
        let parts: Vec<_> =
            (0..processes).map(|process| start(Some(member(process, &hosts)), workers, name, &rows)).collect();
        let reports: Vec<Report> = parts.into_iter().map(|part| part.join().unwrap().unwrap()).collect();
        assert_eq!(rows.take(), expected, "{processes} processes of {workers} workers");
        for report in &reports {
            assert_eq!((report.records, report.processes, report.workers), (3_000, processes, processes * workers));
            assert_eq!(report.operator("words").unwrap().records_in, 3_000);
            assert_eq!(format!("{report:?}"), format!("{:?}", reports[0]));
        }
    }
}

/// A client that says `bytes` and tells what it heard.
fn stranger(host: &str, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(host).unwrap();
    // Who is refused early hangs up on the rest.
    let _ = socket.write_all(bytes);
    let _ = socket.shutdown(Shutdown::Write);
    let mut heard = Vec::new();
    let _ = socket.read_to_end(&mut heard);
    heard
}

#[test]
fn whoever_is_not_of_the_cluster_is_refused_and_told_why_and_keeps_nobody_waiting() {
    log();
    let (hosts, rows) = (hosts(2), Rows::new());
    let first = start(Some(Cluster { generation: 5, ..member(0, &hosts) }), 1, "events", &rows);
    wait("the listening socket", || TcpStream::connect(&hosts[0]).is_ok());
    // Some say nothing for as long as they may.
    let silent: Vec<_> = (0..20).map(|_| TcpStream::connect(&hosts[0]).unwrap()).collect();
    assert_eq!(stranger(&hosts[0], b"GET / HTTP/1.1\r\n\r\n"), b"");
    assert_eq!(stranger(&hosts[0], &[0xff; 100_000]), b"");
    assert_eq!(stranger(&hosts[0], b"TIDEMILL\x07\x01"), b"TIDEMILL\x01", "another version");
    assert_eq!(stranger(&hosts[0], b"TIDEMILL\x01\x00"), b"TIDEMILL\x02", "no secret");
    assert_eq!(stranger(&hosts[0], b"TIDEMILL\x01\x01\x00\x10sixteen bytes..."), b"TIDEMILL\x03", "not the secret");
    assert_eq!(stranger(&hosts[0], b"TIDEMILL\x01\x01\xff\xff"), b"", "a message of any length");
    wait_for_log("it does not speak Tidemill's protocol");
    wait_for_log("said nothing in time, or hung up");
    wait_for_log("speaks another version of the protocol");

    let good = || Cluster { generation: 5, ..member(1, &hosts) };
    let other = Secret::new("what others think they know");
    let cases = [
        (Cluster { secret: Some(other.unwrap()), ..good() }, 1, "the secrets differ"),
        (Cluster { secret: None, ..good() }, 1, "one side has a secret and the other has none"),
        (Cluster { build: Some("odd".into()), ..good() }, 1, "the builds differ, odd and "),
        (good(), 2, "one has 2 processes of 2 workers, the other 2 of 1"),
        (Cluster { generation: 4, ..good() }, 1, "it is of generation 4, not 5"),
    ];
    for (cluster, workers, why) in cases {
        let error = start(Some(cluster), workers, "events", &rows).join().unwrap().unwrap_err();
        assert!(matches!(&error, Error::Mismatch(text) if text.contains(why)), "{why}: {error}");
        assert_eq!(error.exit_code(), 78);
        wait_for_log(why);
    }
    // One that is ahead may find its peer restarted, so it waits.
    let ahead = Cluster { generation: 6, patience: Duration::from_millis(300), ..good() };
    let error = start(Some(ahead), 1, "events", &rows).join().unwrap().unwrap_err();
    assert!(matches!(error, Error::Lost { process: 0, .. }), "{error}");
    wait_for_log("it is of generation 6, not 5");

    assert!(!first.is_finished());
    start(Some(good()), 1, "events", &rows).join().unwrap().unwrap();
    first.join().unwrap().unwrap();
    assert_eq!(rows.rows().len(), 50);
    drop(silent);
}

#[test]
fn a_process_that_does_not_come_is_named() {
    let hosts = hosts(2);
    let alone = Cluster { patience: Duration::from_millis(200), ..member(0, &hosts) };
    let error = start(Some(alone), 1, "events", &Rows::new()).join().unwrap().unwrap_err();
    assert!(matches!(error, Error::Lost { process: 1, .. }), "{error}");
    assert_eq!(error.exit_code(), 75);
}

#[test]
fn processes_with_different_graphs_stop_before_they_begin() {
    let (hosts, rows) = (hosts(2), Rows::new());
    let parts = [(0, "events"), (1, "incidents")].map(|(p, name)| start(Some(member(p, &hosts)), 1, name, &rows));
    let errors = parts.map(|part| part.join().unwrap().unwrap_err());
    assert!(rows.is_empty());
    for error in &errors {
        let text = error.to_string();
        assert!(text.contains("events: source") && text.contains("incidents: source"), "{text}");
    }
    assert!(errors.iter().any(|error| matches!(error, Error::Mismatch(_))), "{errors:?}");
}

#[test]
fn a_panic_in_one_process_ends_all_and_they_say_why() {
    let hosts = hosts(3);
    let parts: Vec<_> = (0..3)
        .map(|process| {
            let config = Config { cluster: Some(member(process, &hosts)), epoch_records: 10, ..Config::workers(2) };
            std::thread::spawn(move || {
                execute(config, |job| {
                    let events = job.source("events", events(1_000), Timing::by(|event: &Event| event.0))?;
                    // Partition 2 is read by worker 2, of process 1.
                    let events = events.try_map("careful", |(at, word)| {
                        assert!((*at, word.as_str()) != (500, "a word to look for 2"), "not that word");
                        Ok::<_, Reject>((*at, word.clone()))
                    })?;
                    events.key_by(|event| event.1.clone()).maintain("words", Words)?.sink("out", Rows::new())
                })
            })
        })
        .collect();
    let mut kinds = BTreeMap::new();
    for (process, part) in parts.into_iter().enumerate() {
        let error = part.join().unwrap().unwrap_err();
        assert!(error.to_string().contains("operator `careful` panicked on worker 2: not that word"), "{error}");
        kinds.insert(process, error.exit_code());
    }
    assert_eq!(kinds, BTreeMap::from([(0, 75), (1, 70), (2, 75)]));
}

/// Passes on what process 1 and process 0 say to each other, as `change` has it of what goes to process 0.
fn between(to: &str, mut change: impl FnMut(&mut [u8]) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, to) = (listener.local_addr().unwrap().to_string(), to.to_owned());
    std::thread::spawn(move || {
        // The other side may not listen yet, in which case the dialer comes again.
        while let (Ok((mut dialer, _)), Ok(mut answerer)) = (listener.accept(), TcpStream::connect(&to)) {
            let (mut back, mut from) = (dialer.try_clone().unwrap(), answerer.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut back);
                let _ = back.shutdown(Shutdown::Both);
            });
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = dialer.read(&mut bytes) {
                change(&mut bytes[..n]);
                if answerer.write_all(&bytes[..n]).is_err() {
                    break;
                }
            }
            let _ = answerer.shutdown(Shutdown::Both);
        }
    });
    address
}

/// Runs two processes with somebody between them; whether they have a secret.
fn overheard(secret: bool, change: impl FnMut(&mut [u8]) + Send + 'static) -> [Result<Report>; 2] {
    let (hosts, rows) = (hosts(2), Rows::new());
    let keep = |cluster: Cluster| if secret { cluster } else { Cluster { secret: None, ..cluster } };
    let first = start(Some(keep(member(0, &hosts))), 1, "events", &rows);
    wait("the listening socket", || TcpStream::connect(&hosts[0]).is_ok());
    let past = [between(&hosts[0], change), hosts[1].clone()];
    let second = start(Some(keep(member(1, &past))), 1, "events", &rows);
    [first.join().unwrap(), second.join().unwrap()]
}

#[test]
fn who_listens_between_processes_hears_nothing_where_there_is_a_secret() {
    for secret in [true, false] {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let to_heard = Arc::clone(&heard);
        for outcome in overheard(secret, move |bytes| to_heard.lock().unwrap().extend_from_slice(bytes)) {
            outcome.unwrap();
        }
        let heard = String::from_utf8_lossy(&heard.lock().unwrap()).into_owned();
        assert!(heard.len() > 10_000);
        assert_eq!(heard.contains("a word to look for"), !secret);
        assert_eq!(heard.contains("words: maintain"), !secret);
    }
}

#[test]
fn a_bit_changed_on_its_way_ends_the_job() {
    let mut seen = 0;
    let outcomes = overheard(true, move |bytes| {
        // Past the handshake.
        if (seen..seen + bytes.len()).contains(&2_000) {
            bytes[2_000 - seen] ^= 1;
        }
        seen += bytes.len();
    });
    let error = outcomes[0].as_ref().unwrap_err().to_string();
    assert!(error.contains("changed on its way"), "{error}");
    assert!(outcomes[1].is_err());
}

#[test]
fn what_cannot_be_a_safe_cluster_is_refused() {
    let away = || vec!["127.0.0.1:2101".to_owned(), "192.0.2.1:2101".to_owned()];
    let refused = |cluster: Cluster, why: &str| {
        let error = start(Some(cluster), 1, "events", &Rows::new()).join().unwrap().unwrap_err();
        assert!(matches!(&error, Error::Usage(text) if text.contains(why)), "{error}");
    };
    refused(Cluster::new(0, away()), "192.0.2.1:2101 is not on this machine's loopback");
    let open = Cluster { listen: Some("0.0.0.0:0".into()), ..Cluster::new(0, hosts(2)) };
    refused(open, "0.0.0.0:0 is not on this machine's loopback");
    refused(Cluster { insecure: true, ..member(0, &away()) }, "there is a secret, and --insecure");
    refused(member(2, &hosts(2)), "--process 2: there are 2, and the first is 0");
    // Told to, it tries.
    let told = Cluster { insecure: true, patience: Duration::from_millis(100), ..Cluster::new(0, away()) };
    let told = Cluster { listen: Some("127.0.0.1:0".into()), ..told };
    let error = start(Some(told), 1, "events", &Rows::new()).join().unwrap().unwrap_err();
    assert!(matches!(error, Error::Lost { process: 1, .. }), "{error}");
    assert!(Secret::new("too short\n").is_err());
    assert_eq!(format!("{:?}", Secret::new(SECRET).unwrap()), "Secret(…)");
}
