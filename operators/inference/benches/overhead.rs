//! What `infer` itself costs: a model that does nothing, so all that is measured is batching,
//! channels, waking, quantising and order.
//!
//! `cargo bench -p tidemill-inference [-- RECORDS]` prints records per CPU second of the whole
//! process, CPU nanoseconds per record beyond the same graph without `infer`, and wall time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tidemill::report::cpu_seconds;
use tidemill::{Config, Error, Events, Job, Result, Stream, Timing};
use tidemill_inference::{Infer, Model, ModelError, Pool, PoolConfig};

type Event = (i64, [f32; 15]);

/// Answers the first feature.
struct Nothing;

impl Model for Nothing {
    type In = [f32; 15];
    type Out = f32;
    fn predict(&mut self, rows: &[[f32; 15]]) -> Result<Vec<f32>, ModelError> {
        Ok(rows.iter().map(|row| row[0]).collect())
    }
}

struct Cost {
    cpu: f64,
    wall: f64,
}

fn measure(
    events: &Events<Event>,
    workers: usize,
    graph: impl for<'s> Fn(&Job<'s>, Stream<'s, Event>) -> Result<()> + Send + Sync + 'static,
) -> Result<Cost> {
    let events = events.clone();
    let (cpu, wall) = (cpu_seconds(), Instant::now());
    tidemill::execute(Config::workers(workers), move |job| {
        let timing = Timing::by(|event: &Event| event.0);
        graph(job, job.source("events", events.clone(), timing)?)
    })?;
    Ok(Cost { cpu: cpu_seconds() - cpu, wall: wall.elapsed().as_secs_f64() })
}

/// Takes 5 ms for a batch, whatever is in it; counts its calls.
struct Starting(Arc<AtomicUsize>);

impl Model for Starting {
    type In = f32;
    type Out = f32;
    fn predict(&mut self, rows: &[f32]) -> Result<Vec<f32>, ModelError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        // The time that a slow model takes.
        std::thread::sleep(Duration::from_millis(5));
        Ok(rows.to_vec())
    }
}

/// Epochs of five records every 2 ms, and a model that is slow to start on a batch.
fn small_epochs() -> Result<()> {
    println!("\n5000 records in epochs of 5, one every 2 ms, a model that takes 5 ms a batch");
    println!("across epochs  calls  p50 ms  p99 ms  wall s  CPU s");
    for across_epochs in [false, true] {
        let calls = Arc::default();
        let asked = Arc::clone(&calls);
        let pool = PoolConfig { across_epochs, ..PoolConfig::default() };
        let pool = Pool::new(pool, move || Ok(Starting(Arc::clone(&asked))));
        let config = Config { epoch_ms: Some(2), epoch_records: 5, ..Config::workers(1) };
        let cpu = cpu_seconds();
        let report = tidemill::execute(config, move |job| {
            let numbers = job.source("numbers", Events::new((0..5000).collect()), Timing::by(|n| *n))?;
            numbers.infer("infer", &pool, |&n| n as f32)?.for_each(|_| {});
            Ok(())
        })?;
        let (calls, latency) = (calls.load(Ordering::Relaxed), report.epoch_latency);
        let (p50, p99, wall, cpu) = (latency.p50_ms, latency.p99_ms, report.wall_s, cpu_seconds() - cpu);
        println!("{across_epochs:>13}  {calls:>5}  {p50:>6.1}  {p99:>6.1}  {wall:>6.2}  {cpu:>5.2}");
    }
    Ok(())
}

fn main() -> Result<(), Error> {
    // `cargo bench` adds `--bench`, and `cargo test --benches` nothing at all.
    let records = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(100_000);
    let partitions = (0..2).map(|p| (0..records / 2).map(move |i| (i, [(i % 100) as f32 / 100.0 + p as f32; 15])));
    let events = Events::partitioned(partitions.map(Iterator::collect).collect());

    println!("{records} records of 15 features, a model that does nothing");
    println!("workers  threads  batch  records/CPU s  ns/record of infer  wall s");
    for workers in [1, 2] {
        let plain = measure(&events, workers, |_, events| {
            events.for_each(|record| _ = std::hint::black_box(record));
            Ok(())
        })?;
        let rate = records as f64 / plain.cpu;
        println!("{workers:>7}        (without)  {rate:>13.0}  {:>18}  {:>6.2}", "", plain.wall);
        for (threads, batch) in [(1, 1), (1, 32), (1, 256), (2, 32), (2, 256)] {
            let config = PoolConfig { threads, batch, ..PoolConfig::default() };
            let pool = Pool::new(config, || Ok(Nothing));
            let cost = measure(&events, workers, move |_, events| {
                let scored = events.infer("infer", &pool, |event| event.1)?;
                scored.for_each(|record| _ = std::hint::black_box(record));
                Ok(())
            })?;
            let rate = records as f64 / cost.cpu;
            let each = (cost.cpu - plain.cpu) * 1e9 / records as f64;
            println!("{workers:>7}  {threads:>7}  {batch:>5}  {rate:>13.0}  {each:>18.0}  {:>6.2}", cost.wall);
        }
    }
    small_epochs()
}
