//! From a file with bad lines, through a model that answers NaN, to files: the same bytes on any number of workers.

use serde::{Deserialize, Serialize};
use std::fs;
use tidemill::{Config, Timing};
use tidemill_files::{Csv, JsonLinesSink};
use tidemill_inference::{Infer, Model, ModelError, Pool, PoolConfig};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Payment {
    time: i64,
    card: u32,
    amount: f32,
}

/// The square root of the amount: NaN of a refund.
struct Root;

impl Model for Root {
    type In = f32;
    type Out = f32;

    fn predict(&mut self, amounts: &[f32]) -> Result<Vec<f32>, ModelError> {
        Ok(amounts.iter().map(|amount| amount.sqrt()).collect())
    }
}

#[test]
fn bad_lines_and_bad_answers_are_set_aside_and_the_rest_is_scored() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: String| dir.path().join(name);
    let mut text = String::from("time,card,amount\n");
    for i in 0..5_000 {
        match i % 1_000 {
            500 => text.push_str(&format!("{i},soon,1\n")),
            700 => text.push_str(&format!("{i},{},-4\n", i % 7)),
            _ => text.push_str(&format!("{i},{},{}\n", i % 7, i % 100)),
        }
    }
    fs::write(at("payments.csv".into()), text).unwrap();

    let mut first: Option<(String, Vec<String>)> = None;
    for workers in [1, 2, 4] {
        let (scores, dead) = (at(format!("scores-{workers}.jsonl")), at(format!("dead-{workers}.jsonl")));
        let payments = Csv::<Payment>::new(at("payments.csv".into()));
        let pool = Pool::new(PoolConfig { batch: 64, threads: 2, ..PoolConfig::default() }, || Ok(Root));
        let (to_scores, to_dead) = (scores.clone(), dead.clone());
        let report = tidemill::execute(Config { epoch_records: 300, ..Config::workers(workers) }, move |job| {
            job.dead_letters_to(JsonLinesSink::records(&to_dead)?);
            let timing = Timing::by(|payment: &Payment| payment.time);
            let payments = job.source("payments", payments.clone(), timing)?;
            let scored = payments.infer("root", &pool, |payment| payment.amount)?;
            scored.sink("scores", JsonLinesSink::records(&to_scores)?)
        })
        .unwrap();
        assert_eq!(report.dead(), 10);
        let written = fs::read_to_string(scores).unwrap();
        assert_eq!(written.lines().count(), 4_990);
        let mut letters: Vec<String> = fs::read_to_string(dead).unwrap().lines().map(str::to_owned).collect();
        letters.sort();
        assert!(letters.iter().any(|l| l.contains("payments.csv:502\"") && l.contains("card")), "{letters:?}");
        assert_eq!(letters.iter().filter(|l| l.contains("\"root\"")).count(), 5);
        let (same, also) = first.get_or_insert_with(|| (written.clone(), letters.clone()));
        assert!(*same == written && *also == letters, "{workers} workers");
    }
}
