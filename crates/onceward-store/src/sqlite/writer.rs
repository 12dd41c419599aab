//! The one thread that writes: it gathers what waits into one transaction, commits, and only then answers.

use std::sync::Arc;

use onceward_core::{actor::LookupId, record::Event};
use rusqlite::Connection;
use tokio::sync::mpsc;

use super::{
    ledger::{Books, Ledger},
    place::{Lock, Place},
    question::Queued,
    transaction::Transaction,
};
use crate::{clock::StoreTime, port::StoreError, step::Kind, tally::Tally};

/// Operations that wait for the writer; more are refused (S1). Some 0.2 s of work, and far more than the tasks that any one process runs
/// against a store.
pub(super) const QUEUE_OPS_MAX: usize = 8_192;

/// Operations in one transaction: one sync for all, measured as best at 256 tasks and harmless below.
const BATCH_OPS_MAX: usize = 512;

/// Claims of dead processes that are doubted in one transaction when a file is opened.
const RECOVERY_RECORDS: usize = 1_000;

/// How many times over its checkpoint the log may grow before the writer waits for readers to let it start anew.
const LOG_OVERGROWN: u64 = 8;

/// Owns the connection that writes, and the lock for as long as it may.
///
/// Order of life: made by `session::begin`, [`recover`](Self::recover)ed before it answers anybody, [`run`](Self::run) on a thread of its
/// own until its queue closes.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) place: Place,
    pub(super) lock: Lock,
    pub(super) ledger: Ledger,
    pub(super) time: Arc<StoreTime>,
    pub(super) tally: Arc<Tally>,
    /// Bytes that the log should not exceed.
    pub(super) log_bytes: u64,
    /// A transaction did not end as it should: what the ledger says is read again before the next one.
    pub(super) suspect: bool,
}

/// Why a transaction did not happen, or why nobody knows whether it did.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    reason: &'static str,
    certain: bool,
    source: Arc<rusqlite::Error>,
}

impl Failure {
    /// Nothing was committed.
    fn certain(reason: &'static str) -> impl Fn(rusqlite::Error) -> Self {
        move |source| Self { reason, certain: true, source: Arc::new(source) }
    }

    pub(super) fn error(&self) -> StoreError {
        let Self { reason, certain, source } = self.clone();
        let source: Option<Box<dyn std::error::Error + Send + Sync>> = Some(Box::new(source));
        if certain {
            StoreError::Unavailable { reason, source }
        } else {
            StoreError::Unknown { reason, source }
        }
    }
}

impl Writer {
    /// Doubts, or lets lapse, what processes held that are gone (L10). Nobody holds a claim yet in this run, so all of them are meant.
    pub(super) fn recover(&mut self) -> Result<(), Failure> {
        let claimed = || {
            let mut ids = self.connection.prepare("SELECT id FROM records WHERE state = ?1")?;
            let ids = ids.query_map([Kind::Claimed as i64], |row| row.get(0).map(LookupId::from_bytes))?;
            ids.collect::<rusqlite::Result<Vec<_>>>()
        };
        let claimed = claimed().map_err(Failure::certain("the claims of earlier runs could not be read"))?;
        for ids in claimed.chunks(RECOVERY_RECORDS) {
            let doubt = |transaction: &mut Transaction<'_>| {
                ids.iter().try_for_each(|id| {
                    let found = transaction.find(*id)?;
                    transaction.apply(*id, found, Event::HolderGone, None).map(drop)
                })
            };
            self.transact(doubt)?;
        }
        Ok(())
    }

    /// Answers until nobody can ask any more, then closes the file in order.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Box<dyn Queued>>) {
        let mut batch = Vec::with_capacity(BATCH_OPS_MAX);
        while queue.blocking_recv_many(&mut batch, BATCH_OPS_MAX) > 0 {
            let ended = self.transact(|transaction| batch.iter_mut().try_for_each(|op| op.run(transaction)));
            for op in batch.drain(..) {
                op.answer(ended.as_ref().map(drop));
            }
            self.shorten_log();
        }
        self.close();
    }

    /// Runs `work` in one transaction that is durable when this returns.
    fn transact(
        &mut self,
        work: impl FnOnce(&mut Transaction<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), Failure> {
        self.mend()?;
        let before = self.ledger;
        let Self { connection, ledger, .. } = self;
        connection
            .prepare_cached("BEGIN IMMEDIATE")
            .and_then(|mut begin| begin.execute([]))
            .map_err(Failure::certain("the file could not be written to"))?;
        let now = self.time.now();
        let mut transaction = Transaction { connection, ledger, now, wrote: false, lost: Vec::new() };
        let done = work(&mut transaction).and_then(|()| {
            if transaction.wrote { transaction.ledger.save(transaction.connection, now) } else { Ok(()) }
        });
        let lost = transaction.lost;
        if let Err(source) = done {
            // Rolled back by `mend`, before the next transaction: until COMMIT nothing of it can become durable.
            self.suspect = true;
            self.ledger = Ledger { epochs: self.ledger.epochs, ..before };
            return Err(Failure::certain("the transaction failed and was rolled back")(source));
        }
        let committed = self.connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
        committed.map_err(|source| {
            // The commit's frames may or may not have reached the log: a crash now could bring them to light.
            self.suspect = true;
            let reason = "the commit failed, and may have reached the disk";
            Failure { reason, certain: false, source: Arc::new(source) }
        })?;
        lost.into_iter().for_each(|loss| self.tally.count(loss));
        self.tally.set_in_doubt(self.ledger.census.in_doubt());
        Ok(())
    }

    /// After a failure: ends what is left of the transaction and takes the counts from the file again.
    ///
    /// Epochs stay as they are, since they never go back (L14).
    fn mend(&mut self) -> Result<(), Failure> {
        if !self.suspect {
            return Ok(());
        }
        let read = || {
            if !self.connection.is_autocommit() {
                self.connection.execute_batch("ROLLBACK")?;
            }
            Books::read(&self.connection)?.ok_or(rusqlite::Error::QueryReturnedNoRows)
        };
        let books =
            read().map_err(Failure::certain("the file has not recovered from a failed transaction"))?;
        self.ledger.census = books.census;
        self.ledger.barrier = books.barrier;
        self.suspect = false;
        Ok(())
    }

    /// Starts the log anew where readers kept the checkpoints from it, so that it does not grow without end.
    fn shorten_log(&self) {
        if self.log_bytes == 0 || self.place.log_bytes() <= self.log_bytes * LOG_OVERGROWN {
            return;
        }
        // It fails while a reader is at work, after the busy timeout; then the next batch tries again.
        drop(self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())));
    }

    /// Notes that this run ended in order. What fails here is found at the next opening, as after a crash.
    fn close(mut self) {
        if self.mend().is_ok() {
            drop(self.connection.execute("UPDATE store SET boot = NULL", []));
        }
        drop(self.connection.close());
        drop(self.lock);
    }
}
