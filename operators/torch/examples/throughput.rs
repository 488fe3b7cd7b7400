//! How many rows a second each network scores on one thread: `cargo run --release -p tidemill-torch --example throughput`.

use std::time::{Duration, Instant};

use tidemill_torch::sasrec::{self, SasRec};
use tidemill_torch::{Architecture, Description, Error, Kind, Network, Random, one_thread_each};

const SEQUENCE: usize = 20;
const FEATURES: usize = 15;
const BATCHES: [usize; 5] = [1, 8, 32, 128, 512];

fn main() -> Result<(), Error> {
    one_thread_each();
    print!("{:26}", "rows/s at batch");
    BATCHES.iter().for_each(|batch| print!("{batch:>10}"));
    println!();
    for (name, sequence, kind) in [
        ("logistic", 1, Kind::Logistic),
        ("mlp 500", 1, Kind::Mlp { hidden: 500, layers: 1, dropout: 0.0 }),
        ("lstm 100, 5 steps", 5, Kind::Lstm { hidden: 100, head: 500, dropout: 0.0, outputs: 2 }),
        ("lstm 128 x 2, 20 steps", SEQUENCE, Kind::StackedLstm { hidden: 128, layers: 2, dropout: 0.0 }),
        (
            "transformer 64, 20 steps",
            SEQUENCE,
            Kind::Transformer { width: 64, heads: 4, layers: 2, feed_forward: 128, dropout: 0.0 },
        ),
    ] {
        let architecture = Architecture { sequence, features: FEATURES, network: kind };
        let names = (0..FEATURES).map(|number| format!("x{number}"));
        let network = Network::new(Description::new(architecture, names), 1)?;
        print!("{name:26}");
        for batch in BATCHES {
            print!("{:>10.0}", rate(&network, batch)?);
        }
        println!();
    }
    for feed_forward in [64, 256] {
        print!("{:26}", format!("sasrec 64 x 2, {feed_forward} between"));
        for batch in BATCHES {
            print!("{:>10.0}", sasrec_rate(batch, feed_forward)?);
        }
        println!("  (top 10 of 50,000 items after 50)");
    }
    Ok(())
}

/// Users a second whose next 10 of 50,000 items SASRec tells from their last 50, as [`rate`].
fn sasrec_rate(batch: usize, feed_forward: usize) -> Result<f64, Error> {
    let (items, length) = (50_000, 50);
    let network = SasRec::new(
        sasrec::Description {
            items,
            width: 64,
            heads: 2,
            blocks: 2,
            feed_forward,
            length,
            dropout: 0.0,
            temperature: None,
            scaled: true,
            training: serde_json::Value::Null,
        },
        1,
    )?;
    let mut random = Random::new(1);
    let histories: Vec<Vec<u32>> =
        (0..batch).map(|_| (0..length).map(|_| random.below(items) as u32 + 1).collect()).collect();
    let histories: Vec<&[u32]> = histories.iter().map(Vec::as_slice).collect();
    let (begin, mut best) = (Instant::now(), Duration::MAX);
    while begin.elapsed() < Duration::from_millis(1_000) {
        let start = Instant::now();
        network.top(&histories, 10)?;
        best = best.min(start.elapsed());
    }
    Ok(batch as f64 / best.as_secs_f64())
}

/// Rows a second in the fastest of the calls of half a second, so that a busy machine does not count.
fn rate(network: &Network, batch: usize) -> Result<f64, Error> {
    let mut random = Random::new(1);
    let input: Vec<f32> = (0..batch * network.architecture().row()).map(|_| random.uniform(1.0)).collect();
    let (begin, mut best) = (Instant::now(), Duration::MAX);
    while begin.elapsed() < Duration::from_millis(500) {
        let start = Instant::now();
        network.score(&input)?;
        best = best.min(start.elapsed());
    }
    Ok(batch as f64 / best.as_secs_f64())
}
