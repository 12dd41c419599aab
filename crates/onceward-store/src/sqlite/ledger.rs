//! The store's one row about itself: counts, epochs, the clock's latest, and what earlier runs may have lost.

use onceward_core::{record::Epoch, time::Timestamp};
use rusqlite::{Connection, OptionalExtension, types::Type};

use crate::{epoch::Epochs, step::Census};

/// SQLite counts to 2^63: the end of time is cut to its own, some 292 million years away.
pub(super) fn from_time(time: Timestamp) -> i64 {
    from_count(time.as_ms())
}

pub(super) fn from_count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A column of a row that is never negative.
pub(super) fn count(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, Box::new(error)))
}

pub(super) fn time(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    count(row, column).map(Timestamp::from_ms)
}

/// The row as the last commit left it.
#[derive(Clone, Debug)]
pub(super) struct Books {
    pub(super) secret_check: Vec<u8>,
    pub(super) runs: u64,
    /// The machine's boot in which a run began that did not end in order.
    pub(super) boot: Option<String>,
    pub(super) durability: Option<String>,
    pub(super) clock: Timestamp,
    pub(super) taken_until: Epoch,
    pub(super) barrier: Option<Timestamp>,
    pub(super) census: Census,
}

impl Books {
    /// `None` where the row is gone, which no commit of ours does.
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Option<Self>> {
        let mut row = connection.prepare_cached(
            "SELECT secret_check, runs, boot, durability, clock_ms, epoch_end, barrier_ms,
                    absent, claimed, done, in_doubt, tombstone
             FROM store",
        )?;
        row.query_one([], |row| {
            Ok(Self {
                secret_check: row.get(0)?,
                runs: count(row, 1)?,
                boot: row.get(2)?,
                durability: row.get(3)?,
                clock: time(row, 4)?,
                taken_until: Epoch(count(row, 5)?),
                barrier: row.get::<_, Option<i64>>(6)?.map(|_| time(row, 6)).transpose()?,
                census: Census([
                    count(row, 7)?,
                    count(row, 8)?,
                    count(row, 9)?,
                    count(row, 10)?,
                    count(row, 11)?,
                ]),
            })
        })
        .optional()
    }
}

/// What the writer knows without reading.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ledger {
    pub(super) census: Census,
    pub(super) epochs: Epochs,
    pub(super) barrier: Option<Timestamp>,
}

impl Ledger {
    /// Written by every transaction that writes, and so before any epoch of a new block is acknowledged (L14).
    pub(super) fn save(&self, connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
        let Census([absent, claimed, done, in_doubt, tombstone]) = self.census;
        connection
            .prepare_cached(
                "UPDATE store SET clock_ms = ?1, epoch_end = ?2, barrier_ms = ?3,
                     absent = ?4, claimed = ?5, done = ?6, in_doubt = ?7, tombstone = ?8",
            )?
            .execute((
                from_time(now),
                from_count(self.epochs.taken_until().0),
                self.barrier.map(from_time),
                from_count(absent),
                from_count(claimed),
                from_count(done),
                from_count(in_doubt),
                from_count(tombstone),
            ))
            .map(drop)
    }
}
