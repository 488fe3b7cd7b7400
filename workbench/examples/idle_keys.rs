//! Memory stays flat over ten million keys that come once each: whatever operator keeps state of a key lets it go when
//! the key has been silent for long enough.
//!
//! `cargo run --release -p tidemill-workbench --example idle_keys [-- KEYS [FILTER…]]` runs every operator whose state
//! goes side by side over one stream: 10,000,000 users with one event each, a million a day. It prints resident memory
//! after every tenth of them, and fails if that has grown since the third, when the longest windows, of a day, had been
//! full for long. With FILTERs it runs the operators that have one in their names, also those whose state stays: then
//! it must fail.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use tidemill::report::{cpu_seconds, resident_kb};
use tidemill::time::{days, seconds};
use tidemill::{Millis, Result};
use tidemill_workbench::{Distinct, Operator, State, operators, run};

const A_DAY: u64 = 1_000_000;

/// How many bytes memory may grow by with each key that comes: what allocators do as they like, and less than a key.
const TOLERANCE: f64 = 2.0;

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let keys = arguments.first().and_then(|keys| keys.parse().ok()).unwrap_or(10 * A_DAY);
    let filters = arguments.get(1..).unwrap_or_default();
    let chosen = |operator: &&Operator| match filters {
        [] => operator.state == State::Goes,
        filters => filters.iter().any(|filter| operator.id().contains(filter.as_str())),
    };
    let chosen: Vec<&'static Operator> = operators().filter(chosen).collect();
    chosen.iter().for_each(|operator| println!("{}", operator.id()));

    println!("\n{:>12}{:>10}{:>14}{:>10}", "keys", "days", "resident MiB", "CPU s");
    let resident = Arc::new(Mutex::new(Vec::new()));
    let to_resident = Arc::clone(&resident);
    let span = (days(1) as f64 * keys as f64 / A_DAY as f64) as Millis;
    let source = Distinct::new(keys, span, keys.div_ceil(10), move |seen| {
        let kb = resident_kb();
        println!("{seen:>12}{:>10.1}{:>14.1}{:>10.1}", seen as f64 / A_DAY as f64, kb as f64 / 1024.0, cpu_seconds());
        to_resident.lock().unwrap_or_else(PoisonError::into_inner).push((seen, kb));
    });
    run(chosen, source, seconds(60))?;

    let resident = resident.lock().unwrap_or_else(PoisonError::into_inner);
    let [.., (last_keys, last)] = resident[..] else { return Ok(ExitCode::FAILURE) };
    let (first_keys, first) = resident[resident.len().min(3) - 1];
    let each = 1024.0 * (last as f64 - first as f64) / (last_keys - first_keys).max(1) as f64;
    let flat = each < TOLERANCE;
    println!(
        "\nmemory {}: {each:+.2} bytes for each key since the first {first_keys}",
        if flat { "is flat" } else { "GROWS" }
    );
    Ok(if flat { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
