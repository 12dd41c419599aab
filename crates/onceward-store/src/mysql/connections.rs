//! The connections to the server: few, kept, checked, and given up whenever it is not certain in which state they are.
//!
//! The driver's own pool is not used: it reads on where a conversation was broken off and takes such a connection back, while the server
//! may still have a transaction open on it that the next one would commit.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use mysql_async::{Conn, Opts};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    script::{Broken, Said, Script, run},
    server::Settings,
};
use crate::port::StoreError;

/// What a new connection is told before anything else. Times are in UTC, of which no hour comes twice;
/// a value that does not fit is an error, never cut; nobody waits longer for a row's lock, or a slow reader, than an operation lasts; and
/// MySQL, which alone reads that comment, gives no estimates of yesterday.
const SESSION: &str = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION',
    SESSION time_zone = '+00:00', SESSION autocommit = 1, SESSION innodb_lock_wait_timeout = 1, SESSION net_write_timeout = 10,
    SESSION sql_auto_is_null = 0, SESSION unique_checks = 1
    /*!80000, SESSION information_schema_stats_expiry = 0 */";

/// Rows are locked where they are found, and no gaps between them, so that sorted ids are enough against deadlocks.
const ISOLATION: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";

/// How long a connection may lie idle before it is tried with a ping: a server that went away meanwhile is noticed before anything of an
/// operation is sent.
const IDLE_TIME_MAX: Duration = Duration::from_secs(1);

/// How long a connection may take to stand: the time of a few round trips and a name's resolution.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// Up to so many connections for one use.
pub(super) struct Connections {
    opts: Opts,
    places: Semaphore,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    conn: Conn,
    since: Instant,
}

/// A connection for one conversation. Dropped before its end, it is closed, and the server takes back what was not committed.
pub(super) struct Lent<'a> {
    owner: &'a Connections,
    conn: Conn,
    _place: SemaphorePermit<'a>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoConnection {
    #[error("no connection could be made")]
    Refused(#[source] Box<mysql_async::Error>),
    #[error("no connection within {} s", CONNECT_TIME_MAX.as_secs())]
    Late,
    #[error("the server did not take the session's settings: {0}")]
    Session(String),
}

impl fmt::Debug for Connections {
    /// Without the driver's options: they hold the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("free", &self.places.available_permits()).finish_non_exhaustive()
    }
}

impl Connections {
    pub(super) fn new(opts: Opts, connections_max: usize) -> Self {
        Self { opts, places: Semaphore::new(connections_max), idle: Mutex::default() }
    }

    /// Waits for a place, then takes a connection that is known to live, or makes one.
    pub(super) async fn lend(&self) -> Result<Lent<'_>, StoreError> {
        let place = self.places.acquire().await.map_err(|error| unavailable("the store is closed", error))?;
        while let Some(Idle { mut conn, since }) = self.take() {
            if since.elapsed() < IDLE_TIME_MAX || ping(&mut conn).await {
                return Ok(Lent { owner: self, conn, _place: place });
            }
        }
        let (conn, _) =
            self.connect().await.map_err(|error| unavailable("the server cannot be reached", error))?;
        Ok(Lent { owner: self, conn, _place: place })
    }

    /// Makes the first connection, and says what the server says of itself.
    pub(super) async fn first(&self) -> Result<Settings, NoConnection> {
        let (conn, settings) = self.connect().await?;
        self.keep(conn);
        Ok(settings)
    }

    async fn connect(&self) -> Result<(Conn, Settings), NoConnection> {
        let connecting = async {
            let refused = |error| NoConnection::Refused(Box::new(error));
            let mut conn = Conn::new(self.opts.clone()).await.map_err(refused)?;
            let mut script = Script::of(SESSION);
            script.say(ISOLATION);
            let read = script.begin(Settings::QUERY);
            let mut said = run(&mut conn, &script).await.map_err(|broken| refused(broken.error))?;
            let rows = said.rows(read).map_err(|error| NoConnection::Session(error.to_string()))?;
            let settings = Settings::from_rows(rows);
            if let Some(finding) = settings.session_finding() {
                return Err(NoConnection::Session(finding));
            }
            Ok((conn, settings))
        };
        tokio::time::timeout(CONNECT_TIME_MAX, connecting).await.unwrap_or(Err(NoConnection::Late))
    }

    /// Reads, which can be done any number of times: where no answer comes, nothing happened.
    pub(super) async fn read(&self, script: &Script) -> Result<Said, StoreError> {
        let mut lent = self.lend().await?;
        match lent.say(script).await {
            Ok(said) => {
                lent.give_back();
                Ok(said)
            }
            Err(broken) => Err(match lent.take_back(broken, script).await {
                StoreError::Unknown { reason, source } => StoreError::Unavailable { reason, source },
                error => error,
            }),
        }
    }

    /// Writes with one statement, or with a transaction that the script's last statement commits.
    pub(super) async fn write(&self, script: &Script) -> Result<Said, StoreError> {
        let mut lent = self.lend().await?;
        match lent.say(script).await {
            Ok(said) => {
                lent.give_back();
                Ok(said)
            }
            Err(broken) => Err(lent.take_back(broken, script).await),
        }
    }

    fn keep(&self, conn: Conn) {
        // The list is whole at every instant, so a poisoned lock is still good.
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(Idle { conn, since: Instant::now() });
    }

    fn take(&self) -> Option<Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

impl Lent<'_> {
    pub(super) async fn say(&mut self, script: &Script) -> Result<Said, Broken> {
        run(&mut self.conn, script).await
    }

    /// Ends a conversation of which every answer was read and no transaction is open.
    pub(super) fn give_back(self) {
        self.owner.keep(self.conn);
    }

    /// Undoes what a broken script left open, and says what became of the whole of it.
    pub(super) async fn take_back(mut self, broken: Broken, script: &Script) -> StoreError {
        let error = broken.into_store_error(script);
        if run(&mut self.conn, &Script::of("ROLLBACK")).await.is_ok() {
            self.give_back();
        }
        error
    }
}

async fn ping(conn: &mut Conn) -> bool {
    use mysql_async::prelude::Queryable as _;
    conn.ping().await.is_ok()
}

pub(super) fn unavailable(
    reason: &'static str,
    error: impl std::error::Error + Send + Sync + 'static,
) -> StoreError {
    StoreError::Unavailable { reason, source: Some(Box::new(error)) }
}
