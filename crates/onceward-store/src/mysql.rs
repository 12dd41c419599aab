//! MySQL and MariaDB: rows in InnoDB, a transaction a batch, one packet a transaction.
//!
//! # What the server promises, and what it cannot
//! A strict store takes a server only where an acknowledged transaction survives the loss of its power, and looks at it on each new
//! connection. What a transaction left behind answers nobody before it would survive, either: see `exchange`. A fail-over to another
//! server is noticed by its name in the claim's own transaction, and raises the history barrier (T5): asynchronous replicas lack
//! what their primary acknowledged last, and semi-synchronous ones may. A database that was set back under a running server is noticed
//! by every process that saw it further; one that was set back while no process of the deployment ran is not, nor is an old
//! primary that goes on taking writes beside the new one: whoever fails over has to fence it.

mod address;
mod audit;
mod books;
mod connections;
mod exchange;
mod open_error;
mod rows;
mod schema;
mod script;
mod server;
mod survey;

use std::{fmt, sync::Arc};

use onceward_core::{
    actor::{KeyTag, LookupId},
    time::Timestamp,
};

pub use self::open_error::MysqlError;
use self::{
    address::Address,
    books::Books,
    connections::{Connections, Demands, NoConnection},
    open_error::Unfit,
    schema::Tables,
    server::Settings,
};
use crate::{
    port::{AuditCursor, Clock, EntryFilter, PageCursor, StoreError, StoreFuture, StoredAudit},
    shared::{
        Shared, SharedOptions,
        backend::{Backend, ClockReading, Gathering, Listed, Mark, StoredRow, Survey, Swap, Swapped},
    },
};

/// Swaps in one transaction at the most: beyond, a commit's sync is no longer what they wait for.
const SWAPS_MAX: usize = 256;

/// Transactions under way at once: the server syncs them together, and prepares the next ones meanwhile.
const EXCHANGES_MAX: usize = 4;

/// Connections for everything else, so that a long listing keeps no claim waiting.
const ASKING_MAX: usize = 3;

/// Connections while a store is opened: one that looks at the tables, and one that makes them.
const OPENING_MAX: usize = 2;

/// How far a server is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strictness {
    /// Only one whose acknowledged commits survive the loss of power.
    Strict,
    /// Also one that promises less.
    Lenient,
}

/// How a MySQL or MariaDB database is opened.
#[derive(Clone)]
pub struct MysqlOptions {
    /// `mysql://user:password@host:3306/database`, with `ssl-mode`, `ssl-ca`, `ssl-cert` and `ssl-key` as MySQL's own clients have them.
    /// Beyond loopback the server's certificate is verified unless `ssl-mode` says otherwise.
    pub url: String,
    /// A value derived from the deployment's secret: tables made under another one are refused, since nothing in them would be found.
    pub secret_check: [u8; 32],
    /// Whether a server whose acknowledged commits do not survive the loss of power is refused. Default: yes. Where it is not,
    /// [`crate::Health`] says what they survive, and whenever the server is started again, the history barrier is raised (T5).
    pub strict: bool,
    /// What the tables' names begin with: up to 32 of a-z, 0-9 and the underscore. Default: `onceward_`.
    pub table_prefix: String,
    /// Bytes of the largest outcome that is to be kept; the server's `max_allowed_packet` has to take twice that. Default: 2 MiB, above
    /// the bodies that are kept by default.
    pub outcome_bytes_max: usize,
    /// Where the time comes from. Default: the database server's clock.
    pub clock: Option<Arc<dyn Clock>>,
}

impl fmt::Debug for MysqlOptions {
    /// Without the URL, which holds the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MysqlOptions")
            .field("table_prefix", &self.table_prefix)
            .field("strict", &self.strict)
            .field("outcome_bytes_max", &self.outcome_bytes_max)
            .finish_non_exhaustive()
    }
}

impl MysqlOptions {
    /// The defaults, for a database under a secret with this check value.
    #[must_use]
    pub fn new(url: impl Into<String>, secret_check: [u8; 32]) -> Self {
        Self {
            url: url.into(),
            secret_check,
            strict: true,
            table_prefix: "onceward_".to_owned(),
            outcome_bytes_max: 2 << 20,
            clock: None,
        }
    }

    /// Opens the store, and applies the migrations that are missing if the role may.
    ///
    /// Has to be called within a tokio runtime, which the store works on until it is dropped.
    ///
    /// # Errors
    /// Whatever is not certainly a sound store of this deployment is refused with a diagnosis.
    pub async fn open(self) -> Result<Shared, MysqlError> {
        let options = SharedOptions { clock: self.clock.clone(), ..SharedOptions::default() };
        let backend = Mysql::open(&self).await?;
        let place = backend.place.to_string();
        let shared = Shared::over(Arc::new(backend), options).await;
        shared.map_err(|source| MysqlError::Start { place, source })
    }

    /// Applies the migrations that are missing, and says how many those were. Of several processes one does it; those that are at work
    /// are not disturbed.
    ///
    /// # Errors
    /// When the database cannot be used, or the role may not change it.
    pub async fn migrate(&self) -> Result<usize, MysqlError> {
        let (place, tables) = (Address::parse(&self.url)?, Tables::with_prefix(&self.table_prefix)?);
        let demands = Demands { packet_bytes_min: 0, ..self.demands() };
        let connections = Connections::new(place.opts(), demands, 1);
        self.first(&connections, &place).await?;
        schema::migrate(&connections, &tables, &place).await
    }

    /// Everything that [`migrate`](Self::migrate) does in an empty database, as one script for a tool of one's own; with the rights that
    /// `role` (`'onceward'@'%'`) needs to use the store and no others, where a role is named.
    ///
    /// # Errors
    /// When the URL or the prefix cannot be used.
    pub fn migration_script(&self, role: Option<&str>) -> Result<String, MysqlError> {
        let (place, tables) = (Address::parse(&self.url)?, Tables::with_prefix(&self.table_prefix)?);
        Ok(tables.script(place.database(), role))
    }

    fn strictness(&self) -> Strictness {
        if self.strict { Strictness::Strict } else { Strictness::Lenient }
    }

    fn demands(&self) -> Demands {
        let packet_bytes_min = exchange::packet_bytes(self.outcome_bytes_max);
        Demands { strictness: self.strictness(), packet_bytes_min, secret: None }
    }

    /// Connects for the first time, and looks at the server.
    async fn first(&self, connections: &Connections, place: &Address) -> Result<Settings, MysqlError> {
        let place = place.to_string();
        connections.first().await.map_err(|error| match error {
            NoConnection::Unfit(Unfit { finding, mend }) => MysqlError::Unfit { place, finding, mend },
            NoConnection::Packet { found } => {
                let (needed, outcome_bytes_max) =
                    (exchange::packet_bytes(self.outcome_bytes_max), self.outcome_bytes_max);
                MysqlError::Packet { place, found, needed, outcome_bytes_max }
            }
            NoConnection::OtherSecret => MysqlError::OtherSecret { place },
            NoConnection::Refused(_) | NoConnection::Late | NoConnection::Session(_) => {
                MysqlError::Unreachable { place, source: Box::new(error) }
            }
        })
    }
}

/// An open database.
#[derive(Debug)]
struct Mysql {
    place: Address,
    tables: Tables,
    books: Books,
    exchanging: Connections,
    asking: Connections,
    packet_bytes_max: usize,
}

impl Mysql {
    async fn open(options: &MysqlOptions) -> Result<Self, MysqlError> {
        let (place, tables) = (Address::parse(&options.url)?, Tables::with_prefix(&options.table_prefix)?);
        let opening = Connections::new(place.opts(), options.demands(), OPENING_MAX);
        let settings = options.first(&opening, &place).await?;
        schema::prepare(&opening, &tables, &place).await?;
        let books = Books::new(tables.clone(), &settings, options.strictness());
        books.begin(&opening, &options.secret_check, &place).await?;
        let secret = Some((tables.fill(Books::SECRET_QUERY), options.secret_check));
        let demands = Demands { secret, ..options.demands() };
        let exchanging = Connections::new(place.opts(), demands.clone(), EXCHANGES_MAX);
        let asking = Connections::new(place.opts(), demands, ASKING_MAX);
        Ok(Self { place, tables, books, exchanging, asking, packet_bytes_max: settings.packet_bytes_max() })
    }
}

impl Backend for Mysql {
    fn kind(&self) -> &'static str {
        "mysql"
    }

    fn gathering(&self) -> Gathering {
        Gathering { swaps_max: SWAPS_MAX, exchanges_max: EXCHANGES_MAX }
    }

    fn exchange(&self, batch: Arc<[Swap]>, now: Timestamp) -> StoreFuture<'_, Vec<Swapped>> {
        Box::pin(async move { self.exchange_all(&batch, now).await })
    }

    fn fetch(&self, ids: Vec<LookupId>, with_outcomes: bool) -> StoreFuture<'_, Vec<Option<StoredRow>>> {
        Box::pin(self.fetch_rows(ids, with_outcomes))
    }

    fn due(&self, now: Timestamp, rows_max: usize) -> StoreFuture<'_, Vec<(LookupId, StoredRow)>> {
        Box::pin(self.due_rows(now, rows_max))
    }

    fn quarantine(&self, id: LookupId, mark: Mark) -> StoreFuture<'_, ()> {
        Box::pin(self.quarantine_row(id, mark))
    }

    fn list(
        &self,
        filter: EntryFilter,
        after: Option<PageCursor>,
        rows_max: usize,
    ) -> StoreFuture<'_, Listed> {
        Box::pin(self.list_rows(filter, after, rows_max))
    }

    fn clock(&self) -> StoreFuture<'_, ClockReading> {
        Box::pin(self.books.clock(&self.asking))
    }

    fn correct_clock(&self, seen_ms: i64, correction_ms: i64) -> StoreFuture<'_, bool> {
        Box::pin(self.books.correct_clock(&self.asking, seen_ms, correction_ms))
    }

    fn barrier(&self, now: Timestamp) -> StoreFuture<'_, Option<Timestamp>> {
        Box::pin(async move { Ok(self.books.settle(&self.asking, now).await?.barrier) })
    }

    fn raise_barrier(&self, to: Timestamp, now: Timestamp) -> StoreFuture<'_, Timestamp> {
        Box::pin(async move {
            self.books.settle(&self.asking, now).await?;
            self.books.raise(&self.asking, to).await
        })
    }

    fn survey(&self) -> StoreFuture<'_, Survey> {
        Box::pin(self.survey_all())
    }

    fn append(&self, lines: Vec<StoredAudit>) -> StoreFuture<'_, ()> {
        Box::pin(self.append_lines(lines))
    }

    fn read_audit(
        &self,
        after: AuditCursor,
        key: Option<KeyTag>,
        lines_max: usize,
    ) -> StoreFuture<'_, Vec<(AuditCursor, StoredAudit)>> {
        Box::pin(self.read_lines(after, key, lines_max))
    }

    fn trim_audit(&self, before: Timestamp, lines_max: usize) -> StoreFuture<'_, u64> {
        Box::pin(self.trim_lines(before, lines_max))
    }
}

/// An id as a row has it.
fn lookup_id(bytes: &[u8]) -> Result<LookupId, StoreError> {
    fixed(bytes).map(LookupId::from_bytes)
}

/// A mark as a row has it.
fn mark(bytes: &[u8]) -> Result<Mark, StoreError> {
    fixed(bytes).map(Mark)
}

fn fixed<const BYTES: usize>(bytes: &[u8]) -> Result<[u8; BYTES], StoreError> {
    <[u8; BYTES]>::try_from(bytes).map_err(|error| StoreError::Unavailable {
        reason: "a row has columns of another length",
        source: Some(Box::new(error)),
    })
}

#[cfg(test)]
mod tests;
