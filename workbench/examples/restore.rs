//! How long ten million keys take to come back from a checkpoint, and how much memory that takes.
//!
//! `cargo run --release -p tidemill-workbench --example restore -- write DIR [KEYS]` keeps 40 bytes of state for each of
//! 10,000,000 users, and how many users have spent how much, a differential count derived from them; it ends with a
//! checkpoint. `… -- read DIR [KEYS]` goes on from it on two workers, prints how long each step took, and ends.

use serde::{Deserialize, Serialize};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tidemill::report::cpu_seconds;
use tidemill::time::days;
use tidemill::{
    Checkpointing, Config, Epoch, Maintain, Order, Record, Restore, Result, Sink, SinkError, Start, Timing, Update,
    execute,
};
use tidemill_workbench::{Distinct, Event};

/// What is kept of a user.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Habits {
    events: i64,
    cents: i64,
    smallest: i64,
    largest: i64,
    latest_ms: i64,
}

struct Spending;

impl Maintain for Spending {
    type Key = u32;
    type In = Event;
    type State = Habits;
    type Row = (u32, i64);

    const ORDER: Order = Order::Any;

    fn update(&self, _: &u32, habits: &mut Habits, events: &mut Vec<Record<Event>>) {
        for Record { time, value, .. } in events.drain(..) {
            let cents = value.cents;
            habits.smallest = if habits.events == 0 { cents } else { habits.smallest.min(cents) };
            habits.largest = habits.largest.max(cents);
            habits.latest_ms = habits.latest_ms.max(time);
            habits.events += 1;
            habits.cents += cents;
        }
    }

    fn rows(&self, user: &u32, habits: &Habits, rows: &mut Vec<(u32, i64)>) {
        rows.push((*user, habits.cents));
    }
}

/// When each step was done, and with how many seconds of CPU time.
type Steps = Arc<Mutex<Vec<(&'static str, Instant, f64)>>>;

fn done(steps: &Steps, step: &'static str) {
    steps.lock().unwrap_or_else(PoisonError::into_inner).push((step, Instant::now(), cpu_seconds()));
}

/// Notes when the rows that were true are there again, and how many users they count.
struct Counted {
    steps: Steps,
    users: Arc<Mutex<isize>>,
}

impl Counted {
    fn count(&self, rows: &mut Vec<Update<(i64, isize)>>) {
        let users: isize = rows.drain(..).map(|update| update.row.1 * update.diff).sum();
        *self.users.lock().unwrap_or_else(PoisonError::into_inner) += users;
    }
}

impl Sink for Counted {
    type Item = Update<(i64, isize)>;

    fn open(&mut self, _: &Start) -> Result<(), SinkError> {
        Ok(())
    }

    fn restored(&mut self, _: Epoch, rows: &mut Vec<Self::Item>) -> Result<(), SinkError> {
        self.count(rows);
        done(&self.steps, "rows said again, and counted by differential");
        Ok(())
    }

    fn write(&mut self, _: Epoch, rows: &mut Vec<Self::Item>) -> Result<(), SinkError> {
        self.count(rows);
        Ok(())
    }
}

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what @ ("write" | "read"), folder] = arguments.iter().map(String::as_str).take(2).collect::<Vec<_>>()[..]
    else {
        eprintln!("restore write DIR [KEYS], then: restore read DIR [KEYS]");
        return Ok(ExitCode::from(2));
    };
    let keys: u64 = arguments.get(2).and_then(|keys| keys.parse().ok()).unwrap_or(10_000_000);
    let restore = if what == "write" { Restore::None } else { Restore::Latest };
    let mut config = Config::workers(2);
    config.checkpoints = Some(Checkpointing { restore, ..Checkpointing::to(folder) });
    let (steps, users) = (Steps::default(), Arc::new(Mutex::new(0)));
    done(&steps, "");
    let (all, counted) = (Arc::clone(&steps), Arc::clone(&users));
    let report = execute(config, move |job| {
        done(&all, "parts read and checked");
        let events =
            job.source("events", Distinct::new(keys, days(10), keys, |_| ()), Timing::by(|e: &Event| e.time))?;
        let spending = events.key_by(|event| event.user).maintain("spending", Spending)?;
        done(&all, "state read back");
        let sums = spending.then(|rows| rows.map(|(_, cents)| cents / 100).count());
        sums.sink("count", Counted { steps: Arc::clone(&all), users: Arc::clone(&counted) })
    })?;
    done(&steps, "input at its end, another checkpoint");

    let mut steps = std::mem::take(&mut *steps.lock().unwrap_or_else(PoisonError::into_inner));
    // Of what each worker does, the last counts.
    steps.reverse();
    let mut named = Vec::new();
    steps.retain(|(step, ..)| {
        let first = !named.contains(step);
        named.push(*step);
        first
    });
    steps.reverse();
    println!("{:<50}{:>8}{:>8}", what, "s", "CPU s");
    for pair in steps.windows(2) {
        let [(_, from, cpu_from), (step, to, cpu_to)] = pair else { continue };
        println!("{step:<50}{:>8.1}{:>8.1}", (*to - *from).as_secs_f64(), cpu_to - cpu_from);
    }
    let users = *users.lock().unwrap_or_else(PoisonError::into_inner);
    println!("{users} users counted, peak memory {:.2} GiB", report.peak_kb as f64 / (1 << 20) as f64);
    Ok(if users == keys as isize { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
