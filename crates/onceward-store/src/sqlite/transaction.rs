//! What an operation does inside the writer's transaction.

use onceward_core::{
    actor::{Label, LookupId},
    record::{Event, Record},
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension};

use super::ledger::{Ledger, from_time};
use crate::{
    codec::{self, Row},
    port::{Reply, StoredAudit},
    step::{Change, Kind, Loss, Step},
};

/// An open transaction at one point in time.
#[derive(Debug)]
pub(super) struct Transaction<'a> {
    pub(super) connection: &'a Connection,
    pub(super) ledger: &'a mut Ledger,
    /// The present of every decision in this transaction.
    pub(super) now: Timestamp,
    /// Whether there is anything to commit: what only reads costs no sync.
    pub(super) wrote: bool,
    /// Claims that it ends so, to be counted once it is committed.
    pub(super) lost: Vec<Loss>,
}

/// What is stored under an id.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for one operation, and most operations find a record"
)]
pub(super) enum Found {
    Nothing,
    Record {
        place: i64,
        record: Record,
        label: Label,
    },
    /// It stays as it is, for whoever can make sense of it (L8).
    Unreadable {
        place: i64,
    },
}

/// What an event did.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) reply: Reply,
    pub(super) before: Option<Kind>,
    pub(super) after: Option<Kind>,
}

impl Transaction<'_> {
    pub(super) fn find(&self, id: LookupId) -> rusqlite::Result<Found> {
        let row = self
            .connection
            .prepare_cached("SELECT place, head, outcome FROM records WHERE id = ?1")?
            .query_row([id.as_bytes()], |row| {
                let place = row.get(0)?;
                Ok(match codec::decode(id, row.get_ref(1)?.as_blob()?, row.get(2)?) {
                    Ok((record, label)) => Found::Record { place, record, label },
                    Err(codec::Unreadable) => Found::Unreadable { place },
                })
            })
            .optional()?;
        Ok(row.unwrap_or(Found::Nothing))
    }

    /// Runs one event on what was found and writes back what comes out. `label` is what a record made by this event shows.
    pub(super) fn apply(
        &mut self,
        id: LookupId,
        found: Found,
        event: Event,
        label: Option<&Label>,
    ) -> rusqlite::Result<Applied> {
        let (place, found) = match found {
            Found::Unreadable { .. } => {
                return Ok(Applied { reply: Reply::Corrupt, before: None, after: None });
            }
            Found::Record { place, record, label } => (Some(place), Some((record, label))),
            Found::Nothing => (None, None),
        };
        let Step { reply, change, before, after, lost } = Step::of(found, event, label, self.now);
        self.lost.extend(lost);
        if !matches!(change, Change::Keep) {
            self.ledger.census.moved(before, after);
            self.wrote = true;
        }
        match (place, change) {
            (Some(place), Change::Forget) => self.delete(place)?,
            (Some(place), Change::Put(record, label)) => self.update(id, place, record, &label)?,
            (None, Change::Put(record, label)) => self.insert(id, record, &label)?,
            (None, Change::Forget) | (_, Change::Keep) => {}
        }
        Ok(Applied { reply, before, after })
    }

    fn insert(&self, id: LookupId, record: Record, label: &Label) -> rusqlite::Result<()> {
        let (kind, due_at) = (Kind::of(&record.state), record.due_at());
        let Row { head, outcome } = codec::encode(id, record, label);
        self.connection
            .prepare_cached(
                "INSERT INTO records (id, state, due_ms, key, actor, head, outcome)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute((
                id.as_bytes(),
                kind as i64,
                due_at.map(from_time),
                label.key.as_bytes(),
                label.actor.as_bytes(),
                head,
                outcome,
            ))
            .map(drop)
    }

    fn update(&self, id: LookupId, place: i64, record: Record, label: &Label) -> rusqlite::Result<()> {
        let (kind, due_at) = (Kind::of(&record.state), record.due_at());
        let Row { head, outcome } = codec::encode(id, record, label);
        self.connection
            .prepare_cached(
                "UPDATE records SET state = ?2, due_ms = ?3, head = ?4, outcome = ?5 WHERE place = ?1",
            )?
            .execute((place, kind as i64, due_at.map(from_time), head, outcome))
            .map(drop)
    }

    fn delete(&self, place: i64) -> rusqlite::Result<()> {
        self.connection.prepare_cached("DELETE FROM records WHERE place = ?1")?.execute([place]).map(drop)
    }

    /// Takes an unreadable record out of the sweep's way; it stays where it is and is refused (L8).
    pub(super) fn quarantine(&mut self, place: i64) -> rusqlite::Result<()> {
        self.wrote = true;
        self.connection
            .prepare_cached("UPDATE records SET due_ms = NULL WHERE place = ?1")?
            .execute([place])
            .map(drop)
    }

    pub(super) fn append(&mut self, line: &StoredAudit) -> rusqlite::Result<()> {
        self.wrote = true;
        self.connection
            .prepare_cached("INSERT INTO audit (at_ms, key, json) VALUES (?1, ?2, ?3)")?
            .execute((from_time(line.at), line.key.as_ref().map(|key| key.as_bytes()), &line.json))
            .map(drop)
    }
}
