//! What only reads, on connections of its own: a long listing keeps no claim waiting.

use std::{
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

use onceward_core::{
    actor::{KeyTag, LookupId},
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::{mpsc, oneshot};

use super::{
    ledger::{count, from_count, time},
    open_error::OpenError,
    place::Place,
    schema,
};
use crate::{
    codec,
    port::{AuditCursor, Entry, EntryFilter, Page, PageCursor, StoreError, Stored, StoredAudit},
    step::Kind,
};

/// Threads and connections that read: a second one, so that a `verify` or a long page does not hold up the rest.
const READERS: usize = 2;

/// Reads that wait; more are refused (S1).
const QUEUE_READS_MAX: usize = 1_024;

/// Records that one page of a listing looks at before it answers with what it found.
const PAGE_VISITS_MAX: usize = 10_000;

type Read = Box<dyn FnOnce(&Connection) + Send>;

/// The threads that read.
#[derive(Debug)]
pub(super) struct Readers {
    queue: mpsc::Sender<Read>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    pub(super) fn open(place: &Place) -> Result<Self, OpenError> {
        let (queue, reads) = mpsc::channel::<Read>(QUEUE_READS_MAX);
        let reads = Arc::new(Mutex::new(reads));
        let mut threads = Vec::new();
        for _ in 0..READERS {
            let (connection, reads) = (schema::open_reader(place)?, Arc::clone(&reads));
            let thread = std::thread::Builder::new().name("store-reader".to_owned());
            let thread = thread.spawn(move || {
                while let Some(read) = next(&reads) {
                    read(&connection);
                }
            });
            threads.push(thread.map_err(place.io("start a thread for"))?);
        }
        Ok(Self { queue, threads })
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (asker, answer) = oneshot::channel();
        // An asker that went away is not missed.
        let read = Box::new(move |connection: &Connection| drop(asker.send(read(connection))));
        self.queue.try_send(read).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy { limit: "queue_reads_max" },
            mpsc::error::TrySendError::Closed(_) => ended(None),
        })?;
        let answer = answer.await.map_err(|error| ended(Some(Box::new(error))))?;
        answer.map_err(|error| StoreError::Unavailable {
            reason: "the file could not be read",
            source: Some(Box::new(error)),
        })
    }

    /// Waits until every reader has closed its connection.
    pub(super) fn join(self) {
        drop(self.queue);
        // A reader that panicked has closed its connection in unwinding.
        self.threads.into_iter().for_each(|thread| drop(thread.join()));
    }
}

fn ended(source: Option<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::Unavailable { reason: "the threads that read have ended", source }
}

/// The lock is held while waiting: one reader waits for work, the others for the lock.
fn next(reads: &Mutex<mpsc::Receiver<Read>>) -> Option<Read> {
    reads.lock().ok()?.blocking_recv()
}

pub(super) fn get(connection: &Connection, id: LookupId) -> rusqlite::Result<Option<Stored>> {
    connection
        .prepare_cached("SELECT head, outcome FROM records WHERE id = ?1")?
        .query_row([id.as_bytes()], |row| {
            Ok(match codec::decode(id, row.get_ref(0)?.as_blob()?, row.get(1)?) {
                Ok((record, label)) => Stored::Record(Box::new(record), label),
                Err(codec::Unreadable) => Stored::Corrupt,
            })
        })
        .optional()
}

/// One statement reads a page, and so one view of the file.
pub(super) fn scan(
    connection: &Connection,
    filter: &EntryFilter,
    after: Option<PageCursor>,
    entries_max: usize,
) -> rusqlite::Result<Page> {
    let before = from_count(after.map_or(u64::MAX, |PageCursor(place)| place));
    let mut page = Page { entries: Vec::new(), corrupt: 0, next: None };
    // Each of these is a range of one index, walked backwards; what the filter says beyond that is looked for in the records.
    let mut statement;
    let mut rows = if let Some(key) = filter.key {
        statement = connection.prepare_cached(
            "SELECT place, id, head FROM records WHERE key = ?1 AND place < ?2 ORDER BY place DESC",
        )?;
        statement.query((key.as_bytes(), before))?
    } else if filter.in_doubt_only {
        statement = connection.prepare_cached(
            "SELECT place, id, head FROM records
             WHERE state = ?1 AND due_ms IS NULL AND place < ?2 ORDER BY place DESC",
        )?;
        statement.query((Kind::InDoubt as i64, before))?
    } else {
        statement = connection
            .prepare_cached("SELECT place, id, head FROM records WHERE place < ?1 ORDER BY place DESC")?;
        statement.query([before])?
    };
    let (mut visits, mut last) = (0, 0);
    while let Some(row) = rows.next()? {
        if page.entries.len() >= entries_max || visits >= PAGE_VISITS_MAX {
            page.next = Some(PageCursor(last));
            break;
        }
        visits += 1;
        last = count(row, 0)?;
        let id = LookupId::from_bytes(row.get(1)?);
        match codec::decode_head(id, row.get_ref(2)?.as_blob()?) {
            Ok((record, label)) if filter.admits(&record.state, label.actor, label.key) => {
                page.entries.push(Entry { id, label, record });
            }
            Ok(_) => {}
            Err(codec::Unreadable) => page.corrupt += 1,
        }
    }
    Ok(page)
}

pub(super) fn audit(
    connection: &Connection,
    after: AuditCursor,
    key: Option<KeyTag>,
    lines_max: usize,
) -> rusqlite::Result<Vec<(AuditCursor, StoredAudit)>> {
    let (after, limit) = (from_count(after.0), from_count(lines_max as u64));
    let mut statement;
    let mut rows = if let Some(key) = key {
        statement = connection.prepare_cached(
            "SELECT place, at_ms, key, json FROM audit WHERE key = ?3 AND place > ?1 ORDER BY place LIMIT ?2",
        )?;
        statement.query((after, limit, key.as_bytes()))?
    } else {
        statement = connection.prepare_cached(
            "SELECT place, at_ms, key, json FROM audit WHERE place > ?1 ORDER BY place LIMIT ?2",
        )?;
        statement.query((after, limit))?
    };
    let mut lines = Vec::new();
    while let Some(row) = rows.next()? {
        let at: Timestamp = time(row, 1)?;
        let key = row.get::<_, Option<[u8; 8]>>(2)?.map(KeyTag::from_bytes);
        lines.push((AuditCursor(count(row, 0)?), StoredAudit { at, key, json: row.get(3)? }));
    }
    Ok(lines)
}
