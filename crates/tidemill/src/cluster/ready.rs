//! Says to whoever started this process that its cluster is complete.

use crate::error::{Error, Result};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

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
