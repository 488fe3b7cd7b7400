//! The graph against the features by definition, and the program against itself on other numbers of workers.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::LazyLock;

use fraud::features::{Features, WINDOW_INPUT_NAMES};
use fraud::input::Payments;
use fraud::transaction::{Transaction, write_csv};
use fraud::{batch, generate, graph};
use tidemill::time::days;
use tidemill::{Config, Events, Memory, Timing, Update};
use tidemill_torch::{Architecture, Description, Kind, Network};

/// Forty days of payments, so that all windows have something to leave.
static PAYMENTS: LazyLock<Vec<Transaction>> =
    LazyLock::new(|| generate::transactions().into_iter().filter(|payment| payment.day() < 40).collect());

fn final_features(workers: usize, delay: u64) -> Vec<Features> {
    let (kept, payments) = (Memory::new(), Payments::of(PAYMENTS.clone()));
    let sink = kept.clone();
    tidemill::execute(Config::workers(workers), move |job| {
        let payments = payments.stream(job, "payments", 0)?;
        graph::final_features(payments, delay)?.sink("features", sink.clone())
    })
    .unwrap();
    kept.values()
}

#[test]
fn final_features_are_those_by_definition_on_any_number_of_workers() {
    let expected = batch::features(&PAYMENTS);
    for workers in [1, 2, 4] {
        assert!(final_features(workers, 7) == expected, "{workers} workers");
    }
    assert!(final_features(2, 1) == batch::features_delayed(&PAYMENTS, 86_400), "labels after a day");
}

#[test]
fn without_a_delay_a_payments_own_label_is_not_known() {
    let features = final_features(1, 0);
    let expected = batch::features_delayed(&PAYMENTS, 0);
    let differ = features.iter().zip(&expected).filter(|(ours, theirs)| ours != theirs).count();
    // Only where a terminal has two payments in one second: by definition the second sees the first's label.
    let pairs = |payments: &[Transaction]| {
        let mut seen: Vec<_> = payments.iter().map(|payment| (payment.terminal, payment.sec)).collect();
        seen.sort_unstable();
        seen.windows(2).filter(|pair| pair[0] == pair[1]).count()
    };
    assert_eq!(differ, pairs(&PAYMENTS));
}

/// The changes of the rows kept for `keep` days, with payments arriving as in `source`, up to two days late, and labels
/// known after `delay` days.
fn current(source: Vec<Transaction>, delay: u64, keep: u64, workers: usize) -> Memory<Update<Features>> {
    let (kept, payments, labels) = (Memory::new(), Events::new(source), Payments::of(PAYMENTS.clone()));
    let sink = kept.clone();
    tidemill::execute(Config::workers(workers), move |job| {
        let labels = labels.labels(job, "labels", days(delay as i64), 0)?;
        let timing = Timing::by(Transaction::time_ms).disorder(days(2));
        let payments = job.source("payments", payments.clone(), timing)?;
        let payments = payments.map(|row| Update { row, diff: 1 });
        let labels = labels.map(|row| Update { row, diff: 1 });
        graph::current_features(payments, labels, delay, keep)?.sink("features", sink.clone())
    })
    .unwrap();
    kept
}

#[test]
fn features_at_once_become_the_final_ones_on_any_number_of_workers() {
    let expected = batch::features(&PAYMENTS);
    let mut first: Option<Vec<_>> = None;
    for workers in [1, 2, 4] {
        let kept = current(PAYMENTS.clone(), 7, 1000, workers);
        assert!(kept.rows().into_iter().eq(expected.iter().map(|row| (*row, 1))), "{workers} workers");
        let changes = kept.take();
        assert!(*first.get_or_insert_with(|| changes.clone()) == changes, "{workers} workers");
    }
}

#[test]
fn features_at_once_are_the_final_ones_with_fresh_labels_too() {
    for delay in [0, 1] {
        let expected = final_features(1, delay);
        let rows = current(PAYMENTS.clone(), delay, 1000, 2).rows();
        assert!(rows.into_iter().eq(expected.iter().map(|row| (*row, 1))), "labels after {delay} days");
    }
}

#[test]
fn rows_are_retracted_when_they_have_had_their_time() {
    let kept = current(PAYMENTS.clone(), 7, 7, 2);
    let standing = kept.rows();
    assert!(standing.iter().all(|(row, times)| *times == 1 && row.sec > 30 * 86_400), "{} rows stand", standing.len());
    let changes = kept.take();
    let added: BTreeSet<Features> =
        changes.iter().filter(|(_, change)| change.diff > 0).map(|(_, change)| change.row).collect();
    let expected = batch::features(&PAYMENTS);
    assert!(expected.iter().all(|row| added.contains(row)), "each was right before it went");
}

#[test]
fn late_payments_correct_the_rows_they_touch() {
    let mut arrivals = PAYMENTS.clone();
    // Every hundredth payment arrives a day late.
    let late = |payment: &Transaction| u32::from((payment.customer + payment.terminal).is_multiple_of(100)) * 86_400;
    arrivals.sort_by_key(|payment| payment.sec + late(payment));
    let rows = current(arrivals, 7, 1000, 2).rows();
    let expected = batch::features(&PAYMENTS);
    assert!(rows.iter().all(|(_, times)| *times == 1));
    assert!(rows.into_iter().map(|(row, _)| row).eq(expected), "in the end as if all had come in order");
}

/// Runs the program.
fn fraud(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fraud")).args(arguments).output().unwrap()
}

/// An untrained network that sees the windows, saved.
fn network(path: &Path) {
    let kind = Kind::Mlp { hidden: 16, layers: 1, dropout: 0.0 };
    let architecture = Architecture { sequence: 1, features: WINDOW_INPUT_NAMES.len(), network: kind };
    Network::new(Description::new(architecture, WINDOW_INPUT_NAMES), 1).unwrap().save(path).unwrap();
}

#[test]
fn the_same_alerts_on_any_number_of_workers_and_threads() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    network(Path::new(&at("net")));
    let payments: Vec<Transaction> = PAYMENTS.iter().copied().filter(|payment| payment.day() < 12).collect();
    write_csv(&payments, fs::File::create(at("payments.csv")).unwrap()).unwrap();
    let mut first: Option<String> = None;
    for (workers, threads) in [("1", "1"), ("2", "2"), ("4", "1")] {
        let (input, model, alerts) = (at("payments.csv"), at("net"), at(&format!("alerts-{workers}")));
        let flags = ["run", "--input", &input, "--model", &model, "--alerts", &alerts, "--padded"];
        let output = fraud(&[&flags[..], &["--workers", workers, "--threads", threads]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let written = fs::read_to_string(alerts).unwrap();
        assert_eq!(written.lines().count(), 12 * 100);
        assert!(*first.get_or_insert_with(|| written.clone()) == written, "{workers} workers");
    }
}

#[test]
fn bad_lines_are_set_aside_and_a_model_that_is_not_there_is_a_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fs::write(at("payments.csv"), "1,2,3,400,0,0\n2,2,three,400,0,0\n3,2,3,100,0,0\n4,2,3").unwrap();
    let output = fraud(&["features", "--input", &at("payments.csv"), "--out", &at("features.csv")]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(
        fs::read_to_string(at("features.csv")).unwrap(),
        "1,2,3,400,1,400,1,400,1,400,0,0,0,0,0,0\n3,2,3,100,2,500,2,500,2,500,0,0,0,0,0,0\n"
    );
    assert!(said.contains("payments.csv:2") && said.contains("payments.csv:4"), "{said}");

    // Payments and labels both read the input, and standard input can be read once.
    network(Path::new(&at("net")));
    let output = fraud(&["run", "--input", "-", "--model", &at("net"), "--alerts", &at("alerts")]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(66));
    assert!(said.contains("standard input is read already"), "{said}");

    let flags = ["run", "--input", &at("payments.csv"), "--model", &at("nothing"), "--alerts", &at("alerts")];
    let output = fraud(&flags);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("nothing"), "{said}");
}
