//! The audit log: a table whose places are given out under one lock, so that they are seen in their order.

use onceward_core::{actor::KeyTag, time::Timestamp};

use super::{Mysql, exchange::audit_values, script::Script};
use crate::port::{AuditCursor, StoreError, StoredAudit};

/// Bytes of an audit line in a script beside its text, which takes two digits a byte.
const LINE_BYTES: usize = 128;

impl Mysql {
    /// Whoever has the lock of `audit_head` holds it until its commit, so a line that is not to be seen yet has a place behind all that are:
    /// a reader that goes on from the last one it saw misses none.
    pub(super) async fn append_lines(&self, lines: Vec<StoredAudit>) -> Result<(), StoreError> {
        if lines.is_empty() {
            return Ok(());
        }
        let bytes: usize = lines.iter().map(|line| LINE_BYTES + 2 * line.json.len()).sum();
        if bytes + LINE_BYTES > self.packet_bytes_max {
            let reason = "the audit lines are larger than the server's max_allowed_packet takes";
            return Err(StoreError::Unavailable { reason, source: None });
        }
        let mut script = Script::of("START TRANSACTION");
        script.begin(&self.tables.fill("UPDATE {audit_head} SET last = LAST_INSERT_ID(last + "));
        script.number(lines.len()).add(") WHERE place = 1");
        script.begin(&self.tables.fill("INSERT INTO {audit} (place, at_ms, key_tag, json) VALUES "));
        for (number, line) in lines.iter().enumerate() {
            script.add(if number > 0 { ", (" } else { "(" });
            script.add("LAST_INSERT_ID() - ").number(lines.len() - 1 - number).add(", ");
            audit_values(&mut script, line);
            script.add(")");
        }
        script.say("COMMIT");
        self.asking.write(script).await.map(drop)
    }

    pub(super) async fn read_lines(
        &self,
        after: AuditCursor,
        key: Option<KeyTag>,
        lines_max: usize,
    ) -> Result<Vec<(AuditCursor, StoredAudit)>, StoreError> {
        let mut script = Script::default();
        self.books.guard(&mut script, None);
        let index = if key.is_some() { "by_key" } else { "PRIMARY" };
        let read =
            script.begin(&self.tables.fill("SELECT place, at_ms, key_tag, json FROM {audit} FORCE INDEX ("));
        script.add(index).add(") WHERE place > ").number(after.0);
        if let Some(key) = key {
            script.add(" AND key_tag = ").bytes(key.as_bytes());
        }
        script.add(" ORDER BY place LIMIT ").number(lines_max);
        let mut said = self.asking.read(script).await?;
        let rows: Vec<(u64, u64, Option<Vec<u8>>, String)> = said.rows(read)?;
        let lines = rows.into_iter().map(|(place, at_ms, key, json)| {
            let key = key.and_then(|key| <[u8; 8]>::try_from(key).ok()).map(KeyTag::from_bytes);
            (AuditCursor(place), StoredAudit { at: Timestamp::from_ms(at_ms), key, json })
        });
        Ok(lines.collect())
    }

    /// Looks at the first lines only: lines are appended in the order of time, or nearly so.
    pub(super) async fn trim_lines(&self, before: Timestamp, lines_max: usize) -> Result<u64, StoreError> {
        let mut script = Script::default();
        script.begin(&self.tables.fill("DELETE a FROM (SELECT place FROM {audit} ORDER BY place LIMIT "));
        script
            .number(lines_max)
            .add(&self.tables.fill(") AS first STRAIGHT_JOIN {audit} a ON a.place = first.place"));
        script.add(" WHERE a.at_ms < ").number(before.as_ms());
        Ok(self.asking.write(script).await?.affected(0))
    }
}
