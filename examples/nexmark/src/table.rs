//! Checks and times all queries, and writes the benchmark's table.

use anyhow::ensure;
use nexmark::check::Check;
use nexmark::queries::ALL;
use nexmark::run::run;
use nexmark::source::Nexmark;
use std::io::Write;
use tidemill::Config;

/// Checks every query, and prints a line for each. Fails in the end if any of them answers wrongly.
pub fn check() -> anyhow::Result<()> {
    let check = Check::standard();
    let mut failed = 0;
    for query in ALL {
        match (query.check)(&check) {
            Ok(rows) => println!("{:3}  {:32}  ok, {} rows", query.name, query.title, grouped(rows)),
            Err(error) => {
                failed += 1;
                println!("{:3}  {:32}  WRONG: {error:#}", query.name, query.title);
            }
        }
    }
    ensure!(failed == 0, "{failed} queries answer wrongly");
    Ok(())
}

/// Checks every query, runs it over `events`, and writes the table to `out`, row by row.
pub fn all(events: Nexmark, config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
    let check = Check::standard();
    let mut failed = vec![];
    writeln!(out, "| query | what it is | events/s of CPU time | events/s | rows out | checked |")?;
    writeln!(out, "|---|---|--:|--:|--:|---|")?;
    for query in ALL {
        let checked = match (query.check)(&check) {
            Ok(rows) => format!("yes, {} rows", grouped(rows)),
            Err(error) => {
                failed.push(format!("{}: {error:#}", query.name));
                "NO".to_owned()
            }
        };
        let took = run(&query, events, None, config.clone())?;
        let (cpu, wall, rows) = (took.events_per_cpu_s(), took.events_per_s(), took.rows);
        let [cpu, wall, rows] = [round(cpu), round(wall), rows].map(grouped);
        writeln!(out, "| {} | {} | {cpu} | {wall} | {rows} | {checked} |", query.name, query.title)?;
        out.flush()?;
    }
    ensure!(failed.is_empty(), "some queries answer wrongly:\n{}", failed.join("\n"));
    Ok(())
}

/// Three digits are all that a measurement is good for.
fn round(number: f64) -> u64 {
    let unit = 10f64.powi((number.max(1.0).log10() as i32 - 2).max(0));
    ((number / unit).round() * unit) as u64
}

/// A number with a comma after every three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_rounded() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.4, 12.6, 999.4, 1_234_567.0].map(round), [0, 13, 999, 1_230_000]);
    }
}
