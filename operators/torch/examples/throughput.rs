//! How many rows a second each network scores on one thread: `cargo run --release -p tidemill-torch --example throughput`.

use std::time::{Duration, Instant};

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
    Ok(())
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
