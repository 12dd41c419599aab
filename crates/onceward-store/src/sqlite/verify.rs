//! Looking through a whole file: `onceward store verify` and `stats`.

use onceward_core::{actor::LookupId, time::Timestamp};
use rusqlite::Connection;

use super::ledger::{Books, count, from_time};
use crate::{
    codec,
    step::{Census, Kind},
};

/// Findings of SQLite's own check that a report lists; the first one says enough.
const FINDINGS_MAX: usize = 100;

/// What a look at every page and every record found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Records looked at.
    pub records: u64,
    /// What SQLite's `integrity_check` found; empty where all is well.
    pub findings: Vec<String>,
    /// Records that cannot be read (L8).
    pub unreadable: u64,
    /// Records whose columns say other than they do themselves: they are found, listed or swept wrongly.
    pub misfiled: u64,
    /// Whether the counts that the store keeps are those of its records.
    pub counts_agree: bool,
    /// Whether every epoch that a record holds lies below those still to be given out (L14).
    pub epochs_agree: bool,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let Self { records: _, findings, unreadable, misfiled, counts_agree, epochs_agree } = self;
        findings.is_empty() && *unreadable == 0 && *misfiled == 0 && *counts_agree && *epochs_agree
    }
}

/// What a file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Records held, by state: absent, claimed, done, in doubt, tombstone.
    pub records: [u64; 5],
    /// Lines of the audit log.
    pub audit_lines: u64,
    /// How often it was opened for writing.
    pub runs: u64,
    /// Bytes of the database and its log.
    pub bytes: u64,
    /// Bytes in the database that hold nothing and are used next.
    pub bytes_free: u64,
    /// Keys issued before this point and unknown are refused (T5).
    pub history_barrier: Option<Timestamp>,
}

pub(super) fn stats(connection: &Connection, bytes: u64) -> rusqlite::Result<Stats> {
    let books = Books::read(connection)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    let number = |sql: &str| connection.query_row(sql, [], |row| count(row, 0));
    Ok(Stats {
        records: books.census.0,
        audit_lines: number("SELECT count(*) FROM audit")?,
        runs: books.runs,
        bytes,
        bytes_free: number("PRAGMA freelist_count")? * number("PRAGMA page_size")?,
        history_barrier: books.barrier,
    })
}

/// One read transaction, so that counts and records are of one moment.
pub(super) fn verify(connection: &Connection) -> rusqlite::Result<VerifyReport> {
    let transaction = connection.unchecked_transaction()?;
    let mut report = VerifyReport::default();
    {
        let mut check = transaction.prepare(&format!("PRAGMA integrity_check({FINDINGS_MAX})"))?;
        let mut findings = check.query([])?;
        while let Some(row) = findings.next()? {
            report.findings.push(row.get(0)?);
        }
        report.findings.retain(|finding| finding != "ok");
    }
    let books = Books::read(&transaction)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    let (mut census, mut epoch_highest) = (Census::default(), 0);
    let mut statement =
        transaction.prepare("SELECT id, state, due_ms, key, actor, head, outcome FROM records")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        report.records += 1;
        let state: i64 = row.get(1)?;
        let kinds = [Kind::Absent, Kind::Claimed, Kind::Done, Kind::InDoubt, Kind::Tombstone];
        census.moved(None, kinds.into_iter().find(|kind| *kind as i64 == state));
        let id = LookupId::from_bytes(row.get(0)?);
        let Ok((record, label)) = codec::decode(id, row.get_ref(5)?.as_blob()?, row.get(6)?) else {
            report.unreadable += 1;
            continue;
        };
        epoch_highest = epoch_highest.max(record.epoch.0);
        let filed = (row.get::<_, Option<i64>>(2)?, row.get::<_, [u8; 8]>(3)?, row.get::<_, [u8; 8]>(4)?);
        let due = record.due_at().map(from_time);
        let right = (due, *label.key.as_bytes(), *label.actor.as_bytes());
        report.misfiled += u64::from(filed != right || Kind::of(&record.state) as i64 != state);
    }
    report.counts_agree = census == books.census;
    report.epochs_agree = epoch_highest < books.taken_until.0 || report.records == 0;
    Ok(report)
}
