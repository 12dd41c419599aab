//! The embedded store: one SQLite file.
//!
//! One thread writes. It takes what waits in its queue, up to 512 operations, into one transaction, commits, and answers after the
//! commit's sync: the cost of a sync is shared by all who wait for it. Reads run beside it, on connections that cannot write. The
//! write-ahead log is filled with zeros at opening, so that commits overwrite blocks that are already there, and is checkpointed by
//! the writer itself; a second thread for that was measured slower.
//!
//! # What the file promises, and what it cannot
//! Under [`Durability::Power`] an acknowledged operation survives the loss of power, as far as the disk keeps what it says it synced.
//! Under [`Durability::Process`] it survives the process; if the machine itself went down, the next opening raises the history
//! barrier (T5). A record whose bytes decayed is refused (L8). A decayed *index* entry can hide a record, though, until `verify`
//! finds it: SQLite's pages carry no checksums. A file that was deleted or replaced by an older copy is noticed by its lock file,
//! where that was left beside it; after any other restoration of a backup, call [`Store::raise_barrier`].

mod ledger;
mod marks;
mod open_error;
mod place;
mod question;
mod reader;
mod schema;
mod session;
mod transaction;
mod verify;
mod writer;

use std::{path::Path, sync::Arc, thread::JoinHandle};

use onceward_core::{
    actor::{KeyTag, LookupId},
    record::{Attempt, Event},
    time::Timestamp,
};
use tokio::sync::mpsc;

pub use self::{
    open_error::OpenError,
    verify::{Stats, VerifyReport},
};
use self::{
    place::Place,
    question::{Append, Asked, Probe, Question, Queued, Raise, Sweep, Told, Trim},
    reader::Readers,
    writer::{QUEUE_OPS_MAX, Writer},
};
use crate::{
    port::{
        AuditCursor, AuditLog, Claim, Clock, EntryFilter, Health, Marked, Page, PageCursor, Reply,
        Resolution, Settle, Store, StoreError, StoreFuture, Stored, StoredAudit, Swept, Twin,
    },
    tally::Tally,
};

/// What an acknowledged operation survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The loss of power: each commit is synced to the disk.
    Power,
    /// The death of the process: commits are left to the system to write.
    Process,
}

impl Durability {
    /// The name in configurations and in [`Health`].
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Power => "power",
            Self::Process => "process",
        }
    }
}

/// How a file is opened.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// What an acknowledged operation survives. Default: the loss of power.
    pub durability: Durability,
    /// A value derived from the deployment's secret: a file made under another one is refused, since nothing in it would be found.
    pub secret_check: [u8; 32],
    /// Where the time comes from. Default: the system's clock, never behind what the file holds (L9).
    pub clock: Option<Arc<dyn Clock>>,
    /// Pages of 4 KiB that the log gathers before they go to the database. Default: 8,000, measured as best; the log's 37 MB are
    /// written once, at opening. 0: only when the file is closed, and nothing is written ahead.
    pub log_pages: u32,
}

impl SqliteOptions {
    /// The defaults, under a secret with this check value.
    #[must_use]
    pub fn new(secret_check: [u8; 32]) -> Self {
        Self { durability: Durability::Power, secret_check, clock: None, log_pages: 8_000 }
    }
}

/// Records in one SQLite file.
///
/// Dropping it waits for what is queued and closes the file; a process that dies without doing so loses nothing that it acknowledged,
/// and its claims are in doubt at the next opening (L10).
#[derive(Debug)]
pub struct Sqlite {
    place: Place,
    durability: Durability,
    tally: Arc<Tally>,
    /// `None` once dropped.
    readers: Option<Readers>,
    /// `None` where it was opened for reading only.
    writer: Option<WriterThread>,
}

#[derive(Debug)]
struct WriterThread {
    queue: mpsc::Sender<Box<dyn Queued>>,
    thread: JoinHandle<()>,
}

impl Sqlite {
    /// Opens the file at `path` for writing, or creates it, readable by its owner only.
    ///
    /// Blocks for as long as the disk takes: some 0.1 to 0.3 s, for most of which the log is primed.
    ///
    /// # Errors
    /// Whatever is not certainly a sound store of this deployment, and this process's alone, is refused with a diagnosis and left as it
    /// is.
    pub fn open(path: &Path, options: SqliteOptions) -> Result<Self, OpenError> {
        let durability = options.durability;
        let writer = session::begin(path, options)?;
        let (place, tally) = (writer.place.clone(), Arc::clone(&writer.tally));
        let readers = Readers::open(&place)?;
        let writer = WriterThread::start(writer).map_err(place.io("start a thread for"))?;
        Ok(Self { place, durability, tally, readers: Some(readers), writer: Some(writer) })
    }

    /// Opens the file at `path` to look at it, also while another process writes to it. Operations that write answer `Unavailable`.
    ///
    /// # Errors
    /// As [`open`](Self::open), but for the lock.
    pub fn open_read_only(path: &Path, secret_check: [u8; 32]) -> Result<Self, OpenError> {
        let place = Place::resolve(path)?;
        if !place.inspect()? {
            let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
            return Err(place.io("find")(missing));
        }
        let connection = schema::open_reader(&place)?;
        let books = session::read_books(&connection, &place, &secret_check)?;
        let durability = match books.durability.as_deref() {
            Some("process") => Durability::Process,
            Some(_) | None => Durability::Power,
        };
        let readers = Readers::open(&place)?;
        Ok(Self { place, durability, tally: Arc::default(), readers: Some(readers), writer: None })
    }

    /// Looks at every page and every record. Takes a second per some 500 MB, beside full load.
    ///
    /// # Errors
    /// `Unavailable` where the file could not be read to its end.
    pub async fn verify(&self) -> Result<VerifyReport, StoreError> {
        self.readers()?.read(verify::verify).await
    }

    /// What the file says of itself.
    ///
    /// # Errors
    /// `Unavailable` where the file could not be read.
    pub async fn stats(&self) -> Result<Stats, StoreError> {
        let bytes = self.place.bytes();
        self.readers()?.read(move |connection| verify::stats(connection, bytes)).await
    }

    fn readers(&self) -> Result<&Readers, StoreError> {
        self.readers.as_ref().ok_or(StoreError::Unavailable { reason: "the store is closed", source: None })
    }

    async fn ask<Q: Question>(&self, question: Q) -> Result<Q::Answer, StoreError> {
        let unavailable = |reason| StoreError::Unavailable { reason, source: None };
        let writer = self.writer.as_ref().ok_or(unavailable("the file was opened for reading only"))?;
        let (asked, answer) = Asked::new(question);
        writer.queue.try_send(Box::new(asked)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy { limit: "queue_ops_max" },
            mpsc::error::TrySendError::Closed(_) => unavailable("the thread that writes has ended"),
        })?;
        answer.await.unwrap_or_else(|error| {
            let reason = "the thread that writes ended in mid-operation";
            Err(StoreError::Unknown { reason, source: Some(Box::new(error)) })
        })
    }
}

impl WriterThread {
    fn start(writer: Writer) -> std::io::Result<Self> {
        let (queue, operations) = mpsc::channel(QUEUE_OPS_MAX);
        let thread = std::thread::Builder::new().name("store-writer".to_owned());
        let thread = thread.spawn(move || writer.run(operations))?;
        Ok(Self { queue, thread })
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        // Readers first: SQLite puts the log away with the last connection, and only one that writes can do that.
        if let Some(readers) = self.readers.take() {
            readers.join();
        }
        if let Some(WriterThread { queue, thread }) = self.writer.take() {
            drop(queue);
            // A writer that panicked has answered nobody since, and its claims are doubted at the next opening.
            drop(thread.join());
        }
    }
}

impl Store for Sqlite {
    fn claim(&self, claim: Claim) -> StoreFuture<'_, Reply> {
        Box::pin(self.ask(claim))
    }

    fn renew(&self, id: LookupId, attempt: Attempt) -> StoreFuture<'_, Reply> {
        Box::pin(self.ask(Told { id, event: Event::Renewed { attempt } }))
    }

    fn settle(&self, id: LookupId, attempt: Attempt, settle: Settle) -> StoreFuture<'_, Reply> {
        Box::pin(self.ask(Told { id, event: settle.event(attempt) }))
    }

    fn get(&self, id: LookupId) -> StoreFuture<'_, Option<Stored>> {
        Box::pin(async move { self.readers()?.read(move |connection| reader::get(connection, id)).await })
    }

    fn resolve(&self, resolution: Resolution) -> StoreFuture<'_, Reply> {
        Box::pin(self.ask(resolution))
    }

    fn mark_twin(&self, twin: Twin) -> StoreFuture<'_, Marked> {
        Box::pin(self.ask(twin))
    }

    fn scan(
        &self,
        filter: EntryFilter,
        after: Option<PageCursor>,
        entries_max: usize,
    ) -> StoreFuture<'_, Page> {
        Box::pin(async move {
            let page = move |connection: &_| reader::scan(connection, &filter, after, entries_max);
            self.readers()?.read(page).await
        })
    }

    fn sweep(&self, records_max: usize) -> StoreFuture<'_, Swept> {
        Box::pin(self.ask(Sweep { records_max }))
    }

    fn health(&self) -> StoreFuture<'_, Health> {
        Box::pin(async move {
            let (census, history_barrier) = self.ask(Probe).await?;
            Ok(Health {
                kind: "sqlite",
                durability: self.durability.as_str(),
                records: census.0,
                bytes: self.place.bytes(),
                history_barrier,
                tally: Arc::clone(&self.tally),
                link: None,
            })
        })
    }

    fn raise_barrier(&self, to: Option<Timestamp>) -> StoreFuture<'_, Timestamp> {
        Box::pin(self.ask(Raise { to }))
    }
}

impl AuditLog for Sqlite {
    fn append(&self, lines: Vec<StoredAudit>) -> StoreFuture<'_, ()> {
        Box::pin(self.ask(Append(lines)))
    }

    fn read(
        &self,
        after: AuditCursor,
        key: Option<KeyTag>,
        lines_max: usize,
    ) -> StoreFuture<'_, Vec<(AuditCursor, StoredAudit)>> {
        Box::pin(async move {
            let lines = move |connection: &_| reader::audit(connection, after, key, lines_max);
            self.readers()?.read(lines).await
        })
    }

    fn trim(&self, before: Timestamp, lines_max: usize) -> StoreFuture<'_, u64> {
        Box::pin(self.ask(Trim { before, lines_max }))
    }
}
