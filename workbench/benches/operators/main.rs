//! Events per CPU second of every operator: 200,000 events of 10,000 users, out of order by up to a minute, from memory
//! through a graph with one worker. Starting the job is part of it.
//!
//! `cargo bench -p tidemill-workbench --bench operators [-- FILTER]`; with `-- --test` each runs once.

mod cpu;

use cpu::CpuTime;
use criterion::{Criterion, SamplingMode, Throughput};
use std::time::Duration;
use tidemill::{Events, Result};
use tidemill_workbench::{DISORDER, EVENTS, events, operators, run};

fn main() -> Result<()> {
    let mut criterion = Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .nresamples(1_000)
        .configure_from_args();
    for operator in operators() {
        // Made once for all iterations; a job's copy of it shares the memory.
        let input = Events::new(events(operator.span));
        let disorder = if operator.late { 0 } else { DISORDER };
        let mut failure = None;
        let mut group = criterion.benchmark_group(operator.family);
        group.throughput(Throughput::Elements(EVENTS)).sampling_mode(SamplingMode::Flat);
        group.bench_function(operator.name, |bencher| {
            bencher.iter(|| failure = run(vec![operator], input.clone(), disorder).err().or(failure.take()));
        });
        group.finish();
        failure.map_or(Ok(()), Err)?;
    }
    criterion.final_summary();
    Ok(())
}
