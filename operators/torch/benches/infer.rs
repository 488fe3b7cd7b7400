//! What `infer` costs beside a plain loop over the same network: same rows, batch size and one inference thread.
//!
//! `cargo bench -p tidemill-torch --bench infer` prints rows per second of wall time for both, the better of several
//! rounds taken in turn, and their ratio. The graph's worker has a thread of its own, as it has in a program.

use std::sync::Arc;
use std::time::Instant;

use tidemill::{Config, Events, Timing};
use tidemill_inference::{Infer, Model, ModelError, Pool, PoolConfig};
use tidemill_torch::{Architecture, Description, Kind, Network, Random, one_thread_each};

const FEATURES: usize = 15;
const ROUNDS: usize = 11;

/// Rows that both score, over and over.
const TABLE: usize = 4096;

/// A network, and the rows that are asked for by number.
struct Scorer {
    network: Network,
    table: Arc<Vec<f32>>,
    rows: Vec<f32>,
}

impl Scorer {
    fn new(sequence: usize, kind: &Kind, table: &Arc<Vec<f32>>) -> Result<Self, ModelError> {
        one_thread_each();
        let architecture = Architecture { sequence, features: FEATURES, network: kind.clone() };
        let names = (0..FEATURES).map(|number| format!("x{number}"));
        let network = Network::new(Description::new(architecture, names), 1).map_err(ModelError::new)?;
        Ok(Scorer { network, table: Arc::clone(table), rows: Vec::new() })
    }
}

impl Model for Scorer {
    type In = u32;
    type Out = f32;

    fn predict(&mut self, numbers: &[u32]) -> Result<Vec<f32>, ModelError> {
        let width = self.network.architecture().row();
        self.rows.clear();
        for number in numbers {
            let start = (*number as usize % TABLE) * width;
            self.rows.extend_from_slice(&self.table[start..start + width]);
        }
        self.network.score(&self.rows).map_err(ModelError::new)
    }
}

/// Rows per second of a plain loop.
fn plain(model: &mut Scorer, numbers: &[u32], batch: usize) -> Result<f64, ModelError> {
    let start = Instant::now();
    for numbers in numbers.chunks(batch) {
        model.predict(numbers)?;
    }
    Ok(numbers.len() as f64 / start.elapsed().as_secs_f64())
}

/// Rows per second of a graph that does nothing else.
fn graph(pool: Pool<Scorer>, events: Events<u32>, rows: usize) -> tidemill::Result<f64> {
    let report = tidemill::execute(Config::workers(1), move |job| {
        let numbers = job.source("numbers", events.clone(), Timing::by(|_| 0))?;
        numbers.infer("scores", &pool, |number| *number)?.for_each(|_| ());
        Ok(())
    })?;
    Ok(rows as f64 / report.wall_s)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    one_thread_each();
    println!("{:28}{:>7}{:>14}{:>14}{:>10}", "network", "batch", "plain rows/s", "infer rows/s", "ratio");
    for (name, sequence, kind) in [
        ("mlp 500", 1, Kind::Mlp { hidden: 500, layers: 1, dropout: 0.0 }),
        ("lstm 128 x 2, 20 steps", 20, Kind::StackedLstm { hidden: 128, layers: 2, dropout: 0.0 }),
        (
            "transformer 64 x 2, 20 steps",
            20,
            Kind::Transformer { width: 64, heads: 4, layers: 2, feed_forward: 128, dropout: 0.0 },
        ),
    ] {
        let mut random = Random::new(1);
        let table: Arc<Vec<f32>> = Arc::new((0..TABLE * sequence * FEATURES).map(|_| random.uniform(1.0)).collect());
        for batch in [1, 32, 256] {
            let mut model = Scorer::new(sequence, &kind, &table)?;
            // The first rows are slow: they warm the caches up.
            let few: Vec<u32> = (0..TABLE as u32).collect();
            plain(&mut model, &few, batch)?;
            let speed = plain(&mut model, &few, batch)?;
            // About half a second each time.
            let rows = ((speed / 2.0) as usize).max(TABLE).next_multiple_of(TABLE);
            let numbers: Vec<u32> = (0..rows as u32).collect();
            let events = Events::new(numbers.clone());
            let (mut best, mut ratios) = ((0.0f64, 0.0f64), Vec::new());
            for _ in 0..ROUNDS {
                let (kind, table) = (kind.clone(), Arc::clone(&table));
                let config = PoolConfig { batch, threads: 1, ..PoolConfig::default() };
                let pool = Pool::new(config, move || Scorer::new(sequence, &kind, &table));
                let alone = plain(&mut model, &numbers, batch)?;
                let inside = graph(pool, events.clone(), rows)?;
                best = (best.0.max(alone), best.1.max(inside));
                ratios.push(inside / alone);
            }
            ratios.sort_by(f64::total_cmp);
            println!("{name:28}{batch:>7}{:>14.0}{:>14.0}{:>10.2}", best.0, best.1, ratios[ROUNDS / 2]);
        }
    }
    println!("(ratio: the median of {ROUNDS} rounds in turn)");
    Ok(())
}
