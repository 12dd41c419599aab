//! The connections to the server: few, kept, checked, and given up whenever it is not certain in which state they are.
//!
//! The driver's own pool is not used: it reads on where a conversation was broken off and takes such a connection back, while the server
//! may still have a transaction open on it that the next one would commit.
//!
//! # Cancel safety
//! A script that was sent is carried out and its answers are read, whether anybody waits for them or not. Its connection keeps its place
//! until then: so however many give up waiting, the server has no more sessions of this process than there are places.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use mysql_async::{Conn, Opts};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout, timeout_at},
};

use super::{
    Strictness,
    open_error::Unfit,
    script::{Broken, Said, Script, run},
    server::Settings,
};
use crate::port::StoreError;

/// What a new connection is told before anything else. Times are in UTC, of which no hour comes twice;
/// a value that does not fit is an error, never cut; nobody waits longer for a row's or a table's lock, or a slow reader, than an operation
/// lasts; and MySQL, which alone reads that comment, gives no estimates of yesterday.
const SESSION: &str = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION',
    SESSION time_zone = '+00:00', SESSION autocommit = 1, SESSION innodb_lock_wait_timeout = 1,
    SESSION lock_wait_timeout = 1, SESSION net_write_timeout = 10, SESSION sql_auto_is_null = 0, SESSION unique_checks = 1
    /*!80000, SESSION information_schema_stats_expiry = 0 */";

/// Rows are locked where they are found, and no gaps between them, so that sorted ids are enough against deadlocks.
const ISOLATION: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";

/// How long a connection may lie idle before it is tried with a ping: a server that went away meanwhile is noticed before anything of an
/// operation is sent.
const IDLE_TIME_MAX: Duration = Duration::from_secs(1);

/// How long a connection may take to stand: the time of a few round trips and a name's resolution.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a connection may leave a script unanswered before it is given up. Whoever asked has given up waiting long before: this is
/// for a server that went away without a word, whose connections would keep their places.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a connection's end may take.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(1);

/// What has to be true of a server whenever a connection to it is made: it may be another one, or another thing, than it was before.
#[derive(Clone)]
pub(super) struct Demands {
    pub(super) strictness: Strictness,
    /// What `max_allowed_packet` has to be at least.
    pub(super) packet_bytes_min: usize,
    /// The statement that reads under which secret the records there were made, and what it has to find; `None` until that is written.
    pub(super) secret: Option<(String, [u8; 32])>,
}

/// Up to so many connections for one use.
#[derive(Clone)]
pub(super) struct Connections(Arc<Kept>);

struct Kept {
    opts: Opts,
    demands: Demands,
    places: Arc<Semaphore>,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    conn: Conn,
    since: Instant,
}

/// A connection for one conversation. Dropped before its end, it is closed, and the server takes back what was not committed.
pub(super) struct Lent {
    owner: Connections,
    conn: Conn,
    _place: OwnedSemaphorePermit,
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
    #[error("the server may not hold the store: {}; {}", .0.finding, .0.mend)]
    Unfit(Unfit),
    #[error("the server takes packets of {found} bytes only")]
    Packet { found: usize },
    #[error("the records there are another deployment's, or say no more whose they are")]
    OtherSecret,
}

/// What became of a script that was not carried out as a whole.
pub(super) struct Failed {
    pub(super) error: StoreError,
    /// Whether our own guard stopped it.
    pub(super) by_guard: bool,
}

impl fmt::Debug for Connections {
    /// Without the driver's options: they hold the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let free = self.0.places.available_permits();
        f.debug_struct("Connections").field("free", &free).finish_non_exhaustive()
    }
}

impl Connections {
    pub(super) fn new(opts: Opts, demands: Demands, connections_max: usize) -> Self {
        let places = Arc::new(Semaphore::new(connections_max));
        Self(Arc::new(Kept { opts, demands, places, idle: Mutex::default() }))
    }

    /// Waits for a place, then takes a connection that is known to live, or makes one.
    pub(super) async fn lend(&self) -> Result<Lent, StoreError> {
        let place = Arc::clone(&self.0.places).acquire_owned().await;
        let place = place.map_err(|error| unavailable(CLOSED, error))?;
        while let Some(Idle { mut conn, since }) = self.take() {
            if since.elapsed() < IDLE_TIME_MAX || ping(&mut conn).await {
                return Ok(Lent { owner: self.clone(), conn, _place: place });
            }
        }
        let owner = self.clone();
        // By itself, so that it has its place until it stands or is given up.
        let connecting = tokio::spawn(async move {
            let (conn, _) = owner.connect().await?;
            Ok(Lent { owner, conn, _place: place })
        });
        let connected = connecting.await.map_err(|error| unavailable(CLOSED, error))?;
        connected.map_err(|error: NoConnection| unavailable("the server cannot be used", error))
    }

    /// Makes the first connection, and says what the server says of itself.
    pub(super) async fn first(&self) -> Result<Settings, NoConnection> {
        let (conn, settings) = self.connect().await?;
        self.keep(conn);
        Ok(settings)
    }

    async fn connect(&self) -> Result<(Conn, Settings), NoConnection> {
        let deadline = Instant::now() + CONNECT_TIME_MAX;
        let conn = timeout_at(deadline, Conn::new(self.0.opts.clone())).await;
        let mut conn = conn.map_err(|_elapsed| NoConnection::Late)?.map_err(refused)?;
        let entered = timeout_at(deadline, self.0.demands.enter(&mut conn)).await;
        match entered.unwrap_or(Err(NoConnection::Late)) {
            Ok(settings) => Ok((conn, settings)),
            Err(error) => {
                hang_up(conn).await;
                Err(error)
            }
        }
    }

    /// Sends a script and reads every answer.
    pub(super) async fn say(&self, script: Script) -> Result<Said, Failed> {
        let lent = self.lend().await.map_err(|error| Failed { error, by_guard: false })?;
        let told = tokio::spawn(lent.converse(script)).await;
        told.unwrap_or_else(|gone| {
            let error = StoreError::Unknown { reason: CLOSED, source: Some(Box::new(gone)) };
            Err(Failed { error, by_guard: false })
        })
    }

    /// Reads, which can be done any number of times: where no answer comes, nothing happened.
    pub(super) async fn read(&self, script: Script) -> Result<Said, StoreError> {
        self.say(script).await.map_err(|failed| match failed.error {
            StoreError::Unknown { reason, source } => StoreError::Unavailable { reason, source },
            error => error,
        })
    }

    /// Writes with one statement, or with a transaction that the script's last statement commits.
    pub(super) async fn write(&self, script: Script) -> Result<Said, StoreError> {
        self.say(script).await.map_err(|failed| failed.error)
    }

    fn keep(&self, conn: Conn) {
        // The list is whole at every instant, so a poisoned lock is still good.
        let mut idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(Idle { conn, since: Instant::now() });
    }

    fn take(&self) -> Option<Idle> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

/// Where the runtime ends under an operation.
const CLOSED: &str = "the store is closed";

impl Demands {
    /// Sets the session up, and makes sure that its server is one that may be used.
    async fn enter(&self, conn: &mut Conn) -> Result<Settings, NoConnection> {
        let mut script = Script::of(SESSION);
        script.say(ISOLATION);
        let read = script.begin(Settings::QUERY);
        let mut said = run(conn, &script).await.map_err(|broken| refused(broken.error))?;
        let rows = said.rows(read).map_err(|error| NoConnection::Session(error.to_string()))?;
        let settings = Settings::from_rows(rows);
        if let Some(finding) = settings.session_finding() {
            return Err(NoConnection::Session(finding));
        }
        let unfit = match settings.unfit(self.strictness) {
            None => follows(conn, &settings).await,
            unfit => unfit,
        };
        if let Some(unfit) = unfit {
            return Err(NoConnection::Unfit(unfit));
        }
        if settings.packet_bytes_max() < self.packet_bytes_min {
            return Err(NoConnection::Packet { found: settings.packet_bytes_max() });
        }
        if let Some((read, secret_check)) = &self.secret {
            let said = run(conn, &Script::of(read)).await;
            let found = said.map_err(|broken| refused(broken.error))?.row::<(Vec<u8>,)>(0);
            if !found.is_ok_and(|(found,)| found == secret_check) {
                return Err(NoConnection::OtherSecret);
            }
        }
        Ok(settings)
    }
}

/// Whether the server is a replica that takes writes. A role that may not ask is not refused for that: MySQL tells it only to those who
/// may read its `performance_schema`.
async fn follows(conn: &mut Conn, settings: &Settings) -> Option<Unfit> {
    let mut said = run(conn, &Script::of(settings.following_query())).await.ok()?;
    let (followed,): (u64,) = said.row(0).ok()?;
    let mend = "name the server that it follows, or end the replication";
    (followed > 0).then(|| Unfit { finding: "it follows another server".to_owned(), mend })
}

impl Lent {
    pub(super) async fn say(&mut self, script: &Script) -> Result<Said, Broken> {
        run(&mut self.conn, script).await
    }

    /// Ends a conversation of which every answer was read and no transaction is open.
    pub(super) fn give_back(self) {
        self.owner.keep(self.conn);
    }

    async fn converse(mut self, script: Script) -> Result<Said, Failed> {
        match timeout(ANSWER_TIME_MAX, self.say(&script)).await {
            Ok(Ok(said)) => {
                self.give_back();
                Ok(said)
            }
            Ok(Err(broken)) => {
                self.take_back().await;
                let by_guard = broken.is_guard();
                Err(Failed { error: broken.into_store_error(&script), by_guard })
            }
            Err(elapsed) => {
                hang_up(self.conn).await;
                let reason = "the server did not answer";
                let error = StoreError::Unknown { reason, source: Some(Box::new(elapsed)) };
                Err(Failed { error, by_guard: false })
            }
        }
    }

    /// Undoes what a broken script left open.
    async fn take_back(mut self) {
        match timeout(ANSWER_TIME_MAX, self.say(&Script::of("ROLLBACK"))).await {
            Ok(Ok(_)) => self.give_back(),
            Ok(Err(_)) | Err(_) => hang_up(self.conn).await,
        }
    }
}

/// Closes a connection, in whatever state it is. Dropped instead, the driver would read on for as long as the server owes it an answer.
async fn hang_up(conn: Conn) {
    drop(timeout(CLOSE_TIME_MAX, conn.disconnect()).await);
}

fn refused(error: mysql_async::Error) -> NoConnection {
    NoConnection::Refused(Box::new(error))
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
