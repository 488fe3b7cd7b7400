//! The connection: made when it is needed, and made again when it is lost.

use crate::error::{Error, words};
use postgres::config::{Config, Host};
use postgres::{Client, NoTls};
use std::time::{Duration, Instant};

/// A server, and a connection to it while there is one.
pub(crate) struct Link {
    config: Config,
    /// How to call the server: user, host, port and database.
    pub server: String,
    /// How long a lost connection is tried again.
    pub patience: Duration,
    session: Option<Session>,
}

/// A connection.
pub(crate) struct Session {
    pub client: Client,
    /// Whether it has its staging table.
    pub staged: bool,
}

impl Link {
    /// Reads the address; nothing is connected.
    pub fn new(url: &str) -> Result<Self, Error> {
        let mut config: Config = url.parse().map_err(|_| Error::Address)?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(Error::Address);
        }
        if config.get_password().is_none()
            && let Ok(password) = std::env::var("PGPASSWORD")
        {
            config.password(password);
        }
        // A server that is gone without a word must not hold the job for ever.
        config.connect_timeout(*config.get_connect_timeout().unwrap_or(&Duration::from_secs(10)));
        config.tcp_user_timeout(*config.get_tcp_user_timeout().unwrap_or(&Duration::from_secs(30)));
        if config.get_application_name().is_none() {
            config.application_name("tidemill");
        }
        let server = show(&config);
        Ok(Link { config, server, patience: Duration::from_secs(60), session: None })
    }

    /// Does `work`; if the connection is lost or the server is busy, again on a new connection, until it is done or patience
    /// ends. So `work` must look first whether it has been done: a commit may have come through unheard.
    pub fn run<R>(&mut self, mut work: impl FnMut(&mut Session) -> Result<R, Error>) -> Result<R, Error> {
        let mut failing: Option<Instant> = None;
        let mut pause = Duration::from_millis(20);
        loop {
            let error = match self.session().and_then(&mut work) {
                Err(error) if error.passes() => error,
                done => return done,
            };
            self.session = None;
            let Error::Server(error) = error else { return Err(error) };
            let reason = words(&error);
            if failing.is_none() {
                tracing::warn!(server = self.server, "PostgreSQL cannot be reached, trying again: {reason}");
            }
            let since = failing.get_or_insert_with(Instant::now);
            if since.elapsed() + pause > self.patience {
                let seconds = since.elapsed().as_secs();
                return Err(Error::Unreachable { server: self.server.clone(), seconds, reason });
            }
            // A server that comes back is not there at once; the sink's worker waits, and the sources with it.
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// Lets the connection go.
    pub fn close(&mut self) {
        self.session = None;
    }

    fn session(&mut self) -> Result<&mut Session, Error> {
        if self.session.as_ref().is_none_or(|session| session.client.is_closed()) {
            self.session = None;
            let client = self.connect()?;
            return Ok(self.session.insert(Session { client, staged: false }));
        }
        self.session.as_mut().ok_or(Error::Address)
    }

    fn connect(&self) -> Result<Client, Error> {
        let mut client = self.config.connect(NoTls).map_err(|error| match Error::from(error) {
            // It answers, and will not have us: a wrong password, no such database, only with TLS.
            Error::Server(error) if !Error::passing(&error) => {
                Error::Refused { server: self.server.clone(), reason: words(&error) }
            }
            other => other,
        })?;
        client.batch_execute(SETTINGS)?;
        Ok(client)
    }
}

/// A commit must be on the disk; what a lost connection has left behind must not hold its locks for long.
const SETTINGS: &str = "
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
    SET lock_timeout = '10s';
    SET idle_in_transaction_session_timeout = '60s';
";

/// The server in words, without its password.
fn show(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => config.get_hostaddrs().first().map(ToString::to_string).unwrap_or_default(),
    };
    let port = config.get_ports().first().unwrap_or(&5432);
    let user = config.get_user().unwrap_or("?");
    format!("{user}@{host}:{port}/{}", config.get_dbname().unwrap_or(user))
}
