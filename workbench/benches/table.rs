//! A table of all operators: events per CPU second, as `--bench operators` measured them last, and the heap that a key
//! takes while its state is live, measured here: 100,000 users with one event each in less than a minute of event time,
//! less what the same job takes without the operator.
//!
//! `cargo bench -p tidemill-workbench --bench table [-- FILTER]`; with `-- --test` it measures few users.

use peak_alloc::PeakAlloc;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tidemill::Result;
use tidemill::time::seconds;
use tidemill_workbench::{Distinct, EVENTS, Operator, State, operators, run};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// What is allocated when all of `keys` have come, and everything that was to be done with them is done.
fn allocated(operator: &'static Operator, keys: u64) -> Result<usize> {
    let found = Arc::new(AtomicUsize::new(0));
    let finds = Arc::clone(&found);
    let source = Distinct::new(keys, seconds(50), keys, move |_| finds.store(HEAP.current_usage(), Ordering::SeqCst));
    let before = HEAP.current_usage();
    run(vec![operator], source, 0)?;
    Ok(found.load(Ordering::SeqCst).saturating_sub(before))
}

/// Nanoseconds of CPU time that Criterion found an iteration to take, if it has looked.
fn measured(id: &str) -> Option<f64> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?;
    let estimates = std::fs::read(target.join("criterion").join(id).join("new/estimates.json")).ok()?;
    serde_json::from_slice::<serde_json::Value>(&estimates).ok()?["median"]["point_estimate"].as_f64()
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    // `cargo bench` adds `--bench`, `cargo test --benches` nothing.
    let test = arguments.iter().any(|argument| argument == "--test" || argument == "--list")
        || !arguments.iter().any(|argument| argument == "--bench");
    let keys = if test { 1_000 } else { 100_000 };

    let nothing = operators().find(|operator| operator.state == State::None);
    let base = nothing.map_or(Ok(0), |nothing| allocated(nothing, keys))?;
    println!("\n{:48}{:>20}{:>16}", "operator", "events/CPU second", "bytes per key");
    for operator in operators() {
        let id = operator.id();
        if filter.is_some_and(|filter| !id.contains(filter.as_str())) {
            continue;
        }
        let rate = measured(&id).map_or("-".to_owned(), |ns| thousands(EVENTS as f64 * 1e9 / ns));
        let bytes = match operator.state {
            State::None => "-".to_owned(),
            _ => thousands(allocated(operator, keys)?.saturating_sub(base) as f64 / keys as f64),
        };
        println!("{id:48}{rate:>20}{bytes:>16}");
    }
    Ok(())
}

/// A number in whole, its thousands apart.
fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}
