//! `tidemill launch`: runs a graph's program as several processes, and starts all of them again when one fails.
//!
//! A job is restarted as a whole, from its last checkpoint if it has any: there is no state that outlives a lost process
//! in the others. Each start is a *generation*, with a number, ports and a secret of its own.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | the job has ended by itself, or by a signal if it is live |
//! | the job's | it failed, and may not be restarted (any more): the code of the process that failed first (75 for one that only lost another does not count where there is another) |
//! | 128 + signal | the process that failed first was killed by it |
//! | 2, 65, 78 | wrong flags, a wrong graph, processes that do not fit together: never restarted, for it would fail again |
//! | 66, 74 | no input, no checkpoint, checkpoints that another job holds: not restarted where the first start fails so at once |
//! | 71 | the program could not be started |
//!
//! Standard output of process 0 is this program's; what else the processes print goes to standard error, each line with the
//! number of its process in front. Standard input, if it is no terminal, is process 0's. SIGINT and SIGTERM are passed on:
//! the first ends the job at an epoch, the second at once. SIGUSR1 asks process 0 for a savepoint.
//!
//! After a failure the job goes on from its newest checkpoint, whatever `--restore` said for the first start.

use crate::generation::{Generation, Outcome};
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use std::cell::Cell;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The flags of `tidemill launch`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Processes.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub processes: u16,

    /// Worker threads of each process.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: u16,

    /// How many failures in a row are answered by another start; a job that ran for ten minutes begins to count anew.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub restarts: u32,

    /// How long to wait before the first restart; each next one waits twice as long, up to half a minute.
    #[arg(long, value_name = "MS", default_value_t = 500)]
    pub back_off: u64,

    /// How long processes may take to end when asked to, the last checkpoint included, before they are killed.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub grace: u64,

    /// Do not encrypt and authenticate the links between the processes.
    #[arg(long)]
    pub insecure: bool,

    /// Write this file when all processes have met, and remove it when they no longer run.
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,

    /// The program and its arguments; the engine's flags are added at the end.
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    pub program: Vec<OsString>,
}

/// The longest wait before a restart.
const MOST_BACK_OFF: Duration = Duration::from_secs(30);

/// A job that ran for so long has worked.
const WORKED: Duration = Duration::from_secs(600);

/// What would fail again: flags, the graph, processes that do not fit together.
const FOR_GOOD: [u8; 3] = [2, 65, 78];

/// What would fail again if it is so from the beginning: no input, no checkpoint.
const AT_ONCE: [u8; 2] = [66, 74];

/// From the beginning: longer than a job waits for another to let go of its checkpoints.
const SOON: Duration = Duration::from_secs(20);

/// Signals that have come.
#[derive(Default)]
pub(crate) struct Asked {
    latest: Arc<AtomicUsize>,
    any: Cell<bool>,
    savepoint: Arc<AtomicBool>,
}

/// Runs the program until it ends, or fails for good.
pub fn run(args: &Args) -> ExitCode {
    let asked = Asked::default();
    if let Err(error) = asked.listen() {
        eprintln!("[launch] error: signals cannot be handled: {error}");
        return ExitCode::from(71);
    }
    let mut failures = 0;
    let mut number = 0;
    loop {
        let began = Instant::now();
        number = next_generation(number);
        let again = failures > 0;
        let outcome = match Generation::start(args, number, again) {
            Ok(generation) => generation.watch(args, &asked),
            Err(error) => {
                eprintln!("[launch] error: {}: {error}", args.program[0].display());
                return ExitCode::from(71);
            }
        };
        let (code, what) = match outcome {
            Outcome::Ended => return ExitCode::SUCCESS,
            Outcome::Failed { code, what } => (code, what),
        };
        failures = if began.elapsed() > WORKED { 1 } else { failures + 1 };
        eprintln!("[launch] {what}");
        let at_once = !again && AT_ONCE.contains(&code) && began.elapsed() < SOON;
        if asked.any() || FOR_GOOD.contains(&code) || at_once {
            return ExitCode::from(code);
        }
        if failures > args.restarts {
            eprintln!(
                "[launch] error: it has failed {failures} times: not started again (--restarts {})",
                args.restarts
            );
            return ExitCode::from(code);
        }
        let wait = Duration::from_millis(args.back_off.saturating_mul(1 << (failures - 1).min(16))).min(MOST_BACK_OFF);
        eprintln!("[launch] starting all again in {} ms ({failures} of {})", wait.as_millis(), args.restarts);
        let until = Instant::now() + wait;
        while Instant::now() < until {
            if asked.any() {
                return ExitCode::from(code);
            }
            // Not in one go, for a signal ends the wait.
            std::thread::sleep(Duration::from_millis(10).min(until.saturating_duration_since(Instant::now())));
        }
    }
}

/// A number above `last`, and above those of other launches before.
fn next_generation(last: u64) -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    (since.as_millis() as u64).max(last + 1)
}

impl Asked {
    fn listen(&self) -> std::io::Result<()> {
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register_usize(signal, Arc::clone(&self.latest), signal as usize)?;
        }
        signal_hook::flag::register(SIGUSR1, Arc::clone(&self.savepoint))?;
        Ok(())
    }

    /// Whether a savepoint was asked for since the last call.
    pub fn savepoint(&self) -> bool {
        self.savepoint.swap(false, Ordering::SeqCst)
    }

    /// The signal that has come since the last call.
    pub fn take(&self) -> Option<i32> {
        let signal = Some(self.latest.swap(0, Ordering::SeqCst)).filter(|signal| *signal != 0);
        self.any.set(self.any.get() || signal.is_some());
        signal.map(|signal| signal as i32)
    }

    /// Whether one has come at all.
    pub fn any(&self) -> bool {
        self.take();
        self.any.get()
    }
}
