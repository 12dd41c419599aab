//! One batch of swaps as one call of the function `exchange`, and its answer.
//!
//! What is found may stem from a commit that the standbys do not have: its wait for them was cancelled, or the server crashed meanwhile and
//! found it in its own log. So where commits wait for standbys, a batch that finds anything writes something itself, and its own commit is
//! behind all that it found. Without standbys a commit is on the disk before anybody sees it.

use std::collections::{HashMap, HashSet};

use onceward_core::{actor::LookupId, time::Timestamp};
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

use crate::{
    port::StoreError,
    shared::backend::{Expected, Mark, NewRow, Put, StoredRow, Swap, Swapped},
};

/// Calls the function; `{schema}` is replaced. Not all applied, or some only looked: then something was found.
pub(super) const STATEMENT: &str = "
SELECT swap_id, found_mark, found_head, found_outcome, swaps_applied, barrier, timeline, lsn, broke,
    CASE WHEN swap_id IS NULL AND (swaps_applied IS NOT NULL OR cardinality($25) > 0)
        AND current_setting('synchronous_standby_names') <> ''
    THEN pg_logical_emit_message(true, 'onceward', ''::text) END
FROM {schema}.exchange($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
    $22, $23, $24, $25, $26, $27, $28, $29, $30)";

/// How far a server's log was synced when it was last looked at, and on which timeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) timeline: i64,
    pub(super) lsn: i64,
}

/// Rows that are put where none is.
#[derive(Default)]
struct Inserts<'a> {
    ids: Vec<&'a [u8]>,
    barriers: Vec<Option<i64>>,
    rows: Rows<'a>,
    keys: Vec<&'a [u8]>,
    actors: Vec<&'a [u8]>,
}

/// What is put.
#[derive(Default)]
struct Rows<'a> {
    marks: Vec<&'a [u8]>,
    kinds: Vec<i16>,
    dues: Vec<Option<i64>>,
    heads: Vec<&'a [u8]>,
    outcomes: Vec<Option<&'a [u8]>>,
}

/// Rows that have to be there.
#[derive(Default)]
struct Present<'a> {
    ids: Vec<&'a [u8]>,
    marks: Vec<Option<&'a [u8]>>,
}

/// Audit lines of swaps.
#[derive(Default)]
struct Lines<'a> {
    ids: Vec<&'a [u8]>,
    at: Vec<i64>,
    keys: Vec<Option<&'a [u8]>>,
    texts: Vec<&'a str>,
}

/// A batch as the function takes it.
#[derive(Default)]
pub(super) struct Asked<'a> {
    now_ms: i64,
    grants: bool,
    inserts: Inserts<'a>,
    updates: Present<'a>,
    update_barriers: Vec<Option<i64>>,
    updated: Rows<'a>,
    deletes: Present<'a>,
    looks: Present<'a>,
    lines: Lines<'a>,
}

impl<'a> Rows<'a> {
    fn push(&mut self, row: &'a NewRow) {
        self.marks.push(&row.mark.0);
        self.kinds.push(row.kind as i16);
        self.dues.push(row.due_at.map(ms));
        self.heads.push(&row.head);
        self.outcomes.push(row.outcome.as_deref());
    }
}

impl<'a> Present<'a> {
    fn push(&mut self, id: &'a LookupId, mark: Option<&'a Mark>) {
        self.ids.push(id.as_bytes());
        self.marks.push(mark.map(|mark| mark.0.as_slice()));
    }
}

impl<'a> Asked<'a> {
    pub(super) fn new(batch: &'a [Swap], now: Timestamp) -> Self {
        let mut sorted: Vec<_> = batch.iter().collect();
        // Everybody locks rows in this order.
        sorted.sort_unstable_by_key(|swap| swap.id.as_bytes());
        let grants = batch.iter().any(|swap| swap.grant.is_some());
        let mut asked = Self { now_ms: ms(now), grants, ..Self::default() };
        for swap in sorted {
            asked.push(swap);
        }
        asked
    }

    fn push(&mut self, swap: &'a Swap) {
        let id = &swap.id;
        match (&swap.expected, &swap.put) {
            (Expected::Nothing, Put::Row(row)) => {
                self.inserts.ids.push(id.as_bytes());
                self.inserts.barriers.push(judged_by(swap));
                self.inserts.rows.push(row);
                self.inserts.keys.push(row.key.as_bytes());
                self.inserts.actors.push(row.actor.as_bytes());
            }
            (Expected::Row(mark), Put::Row(row)) => {
                self.updates.push(id, Some(mark));
                self.update_barriers.push(judged_by(swap));
                self.updated.push(row);
            }
            (Expected::Row(mark), Put::Nothing) => self.deletes.push(id, Some(mark)),
            (Expected::Row(mark), Put::Keep) => self.looks.push(id, Some(mark)),
            (Expected::Nothing, Put::Nothing | Put::Keep) => self.looks.push(id, None),
        }
        if let Some(line) = &swap.audit {
            self.lines.ids.push(id.as_bytes());
            self.lines.at.push(ms(line.at));
            self.lines.keys.push(line.key.as_ref().map(|key| key.as_bytes().as_slice()));
            self.lines.texts.push(&line.json);
        }
    }

    /// The statement's parameters.
    pub(super) fn parameters<'p>(
        &'p self,
        promotion_loses: &'p bool,
        seen: &'p Seen,
    ) -> [(&'p (dyn ToSql + Sync), Type); 30] {
        let Self { now_ms, grants, inserts, updates, update_barriers, updated, deletes, looks, lines } = self;
        [
            (now_ms, Type::INT8),
            (grants, Type::BOOL),
            (promotion_loses, Type::BOOL),
            (&seen.timeline, Type::INT8),
            (&seen.lsn, Type::INT8),
            (&inserts.ids, Type::BYTEA_ARRAY),
            (&inserts.barriers, Type::INT8_ARRAY),
            (&inserts.rows.marks, Type::BYTEA_ARRAY),
            (&inserts.rows.kinds, Type::INT2_ARRAY),
            (&inserts.rows.dues, Type::INT8_ARRAY),
            (&inserts.keys, Type::BYTEA_ARRAY),
            (&inserts.actors, Type::BYTEA_ARRAY),
            (&inserts.rows.heads, Type::BYTEA_ARRAY),
            (&inserts.rows.outcomes, Type::BYTEA_ARRAY),
            (&updates.ids, Type::BYTEA_ARRAY),
            (&updates.marks, Type::BYTEA_ARRAY),
            (update_barriers, Type::INT8_ARRAY),
            (&updated.marks, Type::BYTEA_ARRAY),
            (&updated.kinds, Type::INT2_ARRAY),
            (&updated.dues, Type::INT8_ARRAY),
            (&updated.heads, Type::BYTEA_ARRAY),
            (&updated.outcomes, Type::BYTEA_ARRAY),
            (&deletes.ids, Type::BYTEA_ARRAY),
            (&deletes.marks, Type::BYTEA_ARRAY),
            (&looks.ids, Type::BYTEA_ARRAY),
            (&looks.marks, Type::BYTEA_ARRAY),
            (&lines.ids, Type::BYTEA_ARRAY),
            (&lines.at, Type::INT8_ARRAY),
            (&lines.keys, Type::BYTEA_ARRAY),
            (&lines.texts, Type::TEXT_ARRAY),
        ]
    }
}

/// What became of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// In the order of the swaps.
    pub(super) swapped: Vec<Swapped>,
    /// What was seen of the server, where it was looked at; and whether its history broke.
    pub(super) seen: Option<(Seen, bool)>,
}

/// What the function found.
struct Found {
    /// `None`: all.
    applied: Option<HashSet<[u8; 32]>>,
    rows: HashMap<[u8; 32], Option<StoredRow>>,
    barrier: Option<Timestamp>,
    seen: Option<(Seen, bool)>,
}

impl Answer {
    pub(super) fn read(batch: &[Swap], rows: &[Row]) -> Result<Self, StoreError> {
        let found = Found::read(rows).map_err(unreadable)?;
        Ok(Self { swapped: batch.iter().map(|swap| found.judge(swap)).collect(), seen: found.seen })
    }
}

impl Found {
    fn read(rows: &[Row]) -> Result<Self, tokio_postgres::Error> {
        let mut found = Self { applied: None, rows: HashMap::new(), barrier: None, seen: None };
        for row in rows {
            if let Some(id) = row.try_get::<_, Option<&[u8]>>(0)? {
                found.rows.insert(bytes(id), stored(row)?);
                continue;
            }
            let applied: Option<Vec<&[u8]>> = row.try_get(4)?;
            found.applied = applied.map(|ids| ids.into_iter().map(bytes).collect());
            found.barrier = row.try_get::<_, Option<i64>>(5)?.map(timestamp);
            let (timeline, lsn) = (row.try_get::<_, Option<i64>>(6)?, row.try_get::<_, Option<i64>>(7)?);
            let broke = row.try_get::<_, Option<bool>>(8)?;
            found.seen =
                timeline.zip(lsn).zip(broke).map(|((timeline, lsn), broke)| (Seen { timeline, lsn }, broke));
        }
        Ok(found)
    }

    fn judge(&self, swap: &Swap) -> Swapped {
        let id = swap.id.as_bytes();
        if self.applied.as_ref().is_none_or(|applied| applied.contains(id)) {
            return Swapped::Done;
        }
        let found = self.rows.get(id).cloned().flatten();
        match (&found, &swap.put) {
            // An earlier copy of it was applied.
            (Some(row), Put::Row(new)) if row.mark == new.mark => return Swapped::Done,
            (None, Put::Nothing) => return Swapped::Done,
            (_, Put::Row(_) | Put::Keep | Put::Nothing) => {}
        }
        let is_expected = match (swap.expected, &found) {
            (Expected::Nothing, None) => true,
            (Expected::Row(mark), Some(row)) => row.mark == mark,
            (Expected::Nothing, Some(_)) | (Expected::Row(_), None) => false,
        };
        match (swap.grant, self.barrier) {
            (Some(grant), Some(barrier)) if is_expected && grant.barrier < Some(barrier) => {
                Swapped::History { barrier }
            }
            // Where it is what was expected, what stood in the way is gone again.
            _ => Swapped::Found(found),
        }
    }
}

/// The barrier that a swap was judged by: none is later than that of one which is no grant.
fn judged_by(swap: &Swap) -> Option<i64> {
    swap.grant.map_or(Some(i64::MAX), |grant| grant.barrier.map(ms))
}

/// The row in columns 1 to 3.
pub(super) fn stored(row: &Row) -> Result<Option<StoredRow>, tokio_postgres::Error> {
    let Some(mark) = row.try_get::<_, Option<&[u8]>>(1)? else { return Ok(None) };
    let head = row.try_get::<_, Option<Vec<u8>>>(2)?.unwrap_or_default();
    Ok(Some(StoredRow { mark: Mark(bytes(mark)), head, outcome: row.try_get(3)? }))
}

/// Bytes of a known number; others, which nobody writes, are equal to none that somebody does.
pub(super) fn bytes<const N: usize>(found: &[u8]) -> [u8; N] {
    found.try_into().unwrap_or([0; N])
}

/// As the database keeps it; times beyond its numbers are as good as never.
pub(super) fn ms(at: Timestamp) -> i64 {
    i64::try_from(at.as_ms()).unwrap_or(i64::MAX)
}

/// As the database gave it; what lies before 1970 counts as 1970.
pub(super) fn timestamp(ms: i64) -> Timestamp {
    Timestamp::from_ms(u64::try_from(ms).unwrap_or_default())
}

/// The answer came, and says nothing that this program understands.
pub(super) fn unreadable(source: tokio_postgres::Error) -> StoreError {
    let reason = "the database's answer cannot be read";
    StoreError::Unknown { reason, source: Some(Box::new(source)) }
}
