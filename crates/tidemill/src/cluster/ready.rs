//! What there is between this process and whoever started it.

use crate::error::{Error, Result};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// Removes a ready file that an earlier process has left.
pub(crate) fn not_ready(file: Option<&Path>) -> Result<()> {
    let Some(path) = file else { return Ok(()) };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::Start(format!("--ready-file {}: {error}", path.display())))
        }
        _ => Ok(()),
    }
}

/// Writes the ready file, and tells systemd where it waits for that.
pub(crate) fn ready(file: Option<&Path>) -> Result<()> {
    if let Some(path) = file {
        let failed = |error| Error::Start(format!("--ready-file {}: {error}", path.display()));
        std::fs::write(path, "ready\n").map_err(failed)?;
    }
    if let Some(socket) = std::env::var_os("NOTIFY_SOCKET")
        && let Err(error) = UnixDatagram::unbound().and_then(|from| from.send_to(b"READY=1", &socket))
    {
        tracing::warn!("systemd could not be told that the job is ready: {error}");
    }
    Ok(())
}

/// Has a process of `tidemill launch` end when that is gone, as by a signal; it says who it is in `TIDEMILL_LAUNCHER`.
pub(crate) fn end_with_launcher() {
    let launcher = std::env::var("TIDEMILL_LAUNCHER").ok().and_then(|pid| pid.parse::<i32>().ok());
    let parent = || getppid().map(|pid| pid.as_raw_nonzero().get());
    if launcher.is_none() || launcher != parent() {
        return;
    }
    if let Err(error) = set_parent_process_death_signal(Some(Signal::TERM)) {
        tracing::warn!("this process will not end with its launcher: {error}");
    }
}
