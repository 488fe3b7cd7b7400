//! SIGINT and SIGTERM: the first one ends a job cleanly, a second one the process, and without a job they do as always.
//! SIGUSR1 asks a job for a savepoint.

use crate::error::{Error, Result};
use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::flag::{register, register_conditional_default};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Jobs of this process that signals end.
static JOBS: AtomicUsize = AtomicUsize::new(0);

/// Whether a signal ends the process: set while no job runs that signals end, and by the first signal to one.
fn deadly() -> Result<Arc<AtomicBool>> {
    static DEADLY: Mutex<Option<Arc<AtomicBool>>> = Mutex::new(None);
    let mut known = DEADLY.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(deadly) = &*known {
        return Ok(Arc::clone(deadly));
    }
    let deadly = Arc::new(AtomicBool::new(true));
    // Before any other, so that a signal is judged by what was so when it came.
    for signal in [SIGINT, SIGTERM] {
        register_conditional_default(signal, Arc::clone(&deadly)).map_err(failed)?;
    }
    Ok(Arc::clone(known.insert(deadly)))
}

fn failed(error: std::io::Error) -> Error {
    Error::Start(format!("signals cannot be handled: {error}"))
}

/// Has signals end a job, for as long as this lives.
pub(crate) struct Signals(Vec<SigId>);

impl Signals {
    /// Has a signal set `stop`, or `savepoint`.
    pub fn to(stop: &Arc<AtomicBool>, savepoint: &Arc<AtomicBool>) -> Result<Self> {
        let deadly = deadly()?;
        let mut signals = Signals(Vec::new());
        JOBS.fetch_add(1, Ordering::SeqCst);
        for signal in [SIGINT, SIGTERM] {
            signals.0.push(register(signal, Arc::clone(stop)).map_err(failed)?);
            signals.0.push(register(signal, Arc::clone(&deadly)).map_err(failed)?);
        }
        signals.0.push(register(SIGUSR1, Arc::clone(savepoint)).map_err(failed)?);
        deadly.store(false, Ordering::SeqCst);
        Ok(signals)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        if JOBS.fetch_sub(1, Ordering::SeqCst) == 1
            && let Ok(deadly) = deadly()
        {
            deadly.store(true, Ordering::SeqCst);
        }
        self.0.drain(..).for_each(|id| _ = signal_hook::low_level::unregister(id));
    }
}
