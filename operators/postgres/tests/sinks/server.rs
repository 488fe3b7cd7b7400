//! A server for all tests of this program, made by `scripts/postgres.sh`, which stops it when the program ends, however it
//! does: it holds the other end of a pipe.

use postgres::{Client, NoTls};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) struct Server {
    pub url: String,
    dir: String,
    /// The script, which ends with its input.
    _script: Child,
}

fn script() -> Command {
    let mut command = Command::new("bash");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/postgres.sh"));
    command
}

impl Server {
    pub fn start() -> Server {
        let mut script =
            script().arg("run").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("bash, to start a server");
        let mut lines = BufReader::new(script.stdout.take().expect("piped")).lines();
        let mut line = || lines.next().expect("no PostgreSQL server: the script says above what to do").expect("UTF-8");
        Server { url: line(), dir: line(), _script: script }
    }

    pub fn down(&self) {
        assert!(script().args(["stop", &self.dir]).status().expect("bash").success());
    }

    pub fn up(&self) {
        assert!(script().args(["start", &self.dir]).stdout(Stdio::null()).status().expect("bash").success());
    }

    /// The address without user and password.
    pub fn host(&self) -> &str {
        self.url.split(['@', '/']).nth(3).expect("an address")
    }

    pub fn password(&self) -> &str {
        self.url.split([':', '@']).nth(2).expect("an address")
    }
}

/// The server of this program.
pub(crate) fn url() -> &'static str {
    static SERVER: OnceLock<Server> = OnceLock::new();
    &SERVER.get_or_init(Server::start).url
}

pub(crate) fn client() -> Client {
    Client::connect(url(), NoTls).expect("the server")
}

pub(crate) fn sql(text: &str) {
    client().batch_execute(text).unwrap();
}

/// A name that no other test has.
pub(crate) fn table() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// All rows, as the server writes them, sorted.
pub(crate) fn rows(table: &str) -> Vec<String> {
    let rows = client().query(&format!("SELECT t::text FROM {table} t ORDER BY 1"), &[]).unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}
