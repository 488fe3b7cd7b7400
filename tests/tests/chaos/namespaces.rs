//! Namespaces in which a test may mount a disk or cut a link, without being root outside. They go with the test.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A process that does nothing but hold namespaces, until its input ends.
pub struct Holder(Child);

impl Holder {
    /// Runs `script` in the new namespaces that `unshare` makes; why not, where this machine does not permit it.
    pub fn new(mut unshare: Command, script: &str, argument: &Path) -> Result<Holder, String> {
        unshare.args(["sh", "-c", &format!("{script} && echo ready && exec cat")]).arg(argument);
        unshare.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = unshare.spawn().map_err(|error| format!("{:?}: {error}", unshare.get_program()))?;
        let mut line = String::new();
        let out = child.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut line).map_err(|error| error.to_string())?;
        if line == "ready\n" {
            return Ok(Holder(child));
        }
        let mut why = String::new();
        let _ = child.stderr.take().expect("piped").read_to_string(&mut why);
        let _ = child.wait();
        Err(why.trim().replace('\n', "; "))
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Runs `program` in them, as the process that is started.
    pub fn inside(&self, kinds: &[&str], program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.pid().to_string(), "--user", "--preserve-credentials"]).args(kinds);
        command.arg("--").arg(program);
        command
    }

    /// A file as it is seen inside.
    pub fn path(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.pid()));
        root.join(path.strip_prefix("/").expect("an absolute path"))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `unshare` with the flags of new namespaces.
pub fn unshare(kinds: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user"]).args(kinds);
    command
}

/// Does something that is soon done.
pub fn done(mut command: Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{:?}: {error}", command.get_program()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(said.trim().to_owned()) }
}
