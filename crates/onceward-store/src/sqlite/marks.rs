//! Which effect was last let through for what it means (P5): a table beside the records.

use onceward_core::{
    actor::LookupId,
    record::Epoch,
    twin::{Holder, Mark, TwinId},
};
use rusqlite::OptionalExtension;

use super::{
    ledger::{count, from_count, from_time, time},
    transaction::Transaction,
};

pub(super) fn find(transaction: &Transaction<'_>, id: TwinId) -> rusqlite::Result<Option<Mark>> {
    transaction
        .connection
        .prepare_cached("SELECT holder, epoch, since_ms, until_ms FROM marks WHERE id = ?1")?
        // One that cannot be read stops nobody (port); an error would undo what others asked for in the same transaction.
        .query_row([id.as_bytes()], |row| Ok(read(row).ok()))
        .optional()
        .map(Option::flatten)
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Mark> {
    let holder = Holder { id: LookupId::from_bytes(row.get(0)?), epoch: Epoch(count(row, 1)?) };
    Ok(Mark { holder, since: time(row, 2)?, until: time(row, 3)? })
}

pub(super) fn put(transaction: &mut Transaction<'_>, id: TwinId, mark: Mark) -> rusqlite::Result<()> {
    transaction.wrote = true;
    transaction
        .connection
        .prepare_cached("INSERT OR REPLACE INTO marks VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute((
            id.as_bytes(),
            mark.holder.id.as_bytes(),
            from_count(mark.holder.epoch.0),
            from_time(mark.since),
            from_time(mark.until),
        ))
        .map(drop)
}

/// Forgets up to `marks_max` marks whose window has passed, the oldest first; says how many, and whether more are left.
pub(super) fn forget(transaction: &mut Transaction<'_>, marks_max: usize) -> rusqlite::Result<(u64, bool)> {
    let (now, limit) = (from_time(transaction.now), i64::try_from(marks_max).unwrap_or(i64::MAX));
    let gone = transaction
        .connection
        .prepare_cached(
            "DELETE FROM marks
             WHERE id IN (SELECT id FROM marks WHERE until_ms <= ?1 ORDER BY until_ms LIMIT ?2)",
        )?
        .execute((now, limit))?;
    transaction.wrote |= gone > 0;
    let more = transaction
        .connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM marks WHERE until_ms <= ?1)")?
        .query_row([now], |row| row.get(0))?;
    Ok((gone as u64, more))
}
