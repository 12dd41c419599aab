//! The operations of the store as statements.
//!
//! Each is one statement without a name, and so a transaction of its own that no other client can split: nothing is kept in a session, and a
//! pooler in transaction mode may stand between.

use std::sync::{Arc, Mutex, PoisonError};

use onceward_core::{
    actor::{ActorTag, KeyTag, LookupId},
    time::Timestamp,
};
use tokio::task::JoinSet;
use tokio_postgres::{Row, types::Type};

use super::{
    Promotion,
    channel::{Asks, Channel, Parameters},
    door::Door,
    exchange::{self, Answer, Asked, Seen, bytes, ms, stored, timestamp, unreadable},
    schema::Schema,
};
use crate::{
    port::{AuditCursor, EntryFilter, PageCursor, StoreError, StoreFuture, StoredAudit},
    shared::backend::{Backend, ClockReading, Gathering, Listed, Mark, StoredRow, Survey, Swap, Swapped},
};

/// Connections that write, each with one transaction at a time: the one gathers while the other waits for the disk. Measured as best; with
/// more, batches get smaller.
const WRITERS: usize = 2;

/// Swaps in one transaction.
const SWAPS_MAX: usize = 256;

/// Up to this size the table is read to count it: some 20,000 records, 10 ms.
const COUNTED_BYTES_MAX: i64 = 16 << 20;

/// Records in a Postgres database.
#[derive(Debug)]
pub(super) struct Postgres {
    writers: Vec<Channel>,
    reader: Channel,
    statements: Statements,
    promotion_loses: bool,
    seen: Mutex<Seen>,
    /// Keeps the connections, for as long as this lives.
    _keepers: JoinSet<()>,
}

/// What is asked, with the schema's name in it.
#[derive(Debug)]
struct Statements {
    schema: Schema,
    exchange: String,
    fetch: String,
}

impl Postgres {
    /// Begins to keep connections, within a tokio runtime.
    pub(super) fn new(door: &Arc<Door>) -> Self {
        let mut keepers = JoinSet::new();
        let mut channel = || {
            let (channel, keeper) = Channel::new(Arc::clone(door));
            keepers.spawn(keeper);
            channel
        };
        let writers = (0..WRITERS).map(|_| channel()).collect();
        let reader = channel();
        let schema = door.schema.clone();
        let (exchange, fetch) = (schema.within(exchange::STATEMENT), schema.within(FETCH));
        Self {
            writers,
            reader,
            statements: Statements { schema, exchange, fetch },
            promotion_loses: door.promotion == Promotion::MayLose,
            seen: Mutex::default(),
            _keepers: keepers,
        }
    }

    /// Reads, on the connection that commits hold nothing up on.
    async fn read(&self, statement: &str, parameters: Parameters<'_>) -> Result<Vec<Row>, StoreError> {
        let rows = self.reader.ask(Asks::Reads, statement, parameters).await?;
        for row in &rows {
            // Through a pooler, any statement may meet another server.
            if row.try_get::<_, bool>(0).map_err(unreadable)? {
                let reason = "the database is a replica";
                return Err(StoreError::Unavailable { reason, source: None });
            }
        }
        Ok(rows)
    }

    /// Writes, on the connection that has least to do.
    async fn write(&self, statement: &str, parameters: Parameters<'_>) -> Result<Vec<Row>, StoreError> {
        let Some(writer) = self.writers.iter().min_by_key(|writer| writer.load()) else {
            return Err(StoreError::Unavailable { reason: "no connection to the database", source: None });
        };
        writer.ask(Asks::Writes, statement, parameters).await
    }

    async fn swap(&self, batch: &[Swap], now: Timestamp) -> Result<Vec<Swapped>, StoreError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let asked = Asked::new(batch, now);
        let seen = self.seen();
        let parameters = asked.parameters(&self.promotion_loses, &seen);
        let rows = self.write(&self.statements.exchange, &parameters).await?;
        let answer = Answer::read(batch, &rows)?;
        if let Some((seen, broke)) = answer.seen {
            self.note(seen, broke);
        }
        Ok(answer.swapped)
    }

    pub(super) fn seen(&self) -> Seen {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers of two connections may come in either order; after a break the log begins anew.
    pub(super) fn note(&self, found: Seen, broke: bool) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if broke || seen.timeline != found.timeline || seen.lsn < found.lsn {
            *seen = found;
        }
    }

    async fn look_back(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let seen = self.seen();
        let parameters: Parameters<'_> = &[
            (&ms(now), Type::INT8),
            (&self.promotion_loses, Type::BOOL),
            (&seen.timeline, Type::INT8),
            (&seen.lsn, Type::INT8),
        ];
        let rows = self.write(&self.statements.schema.within(LOOK_BACK), parameters).await?;
        let row = only(&rows)?;
        let read = || {
            let seen = Seen { timeline: row.try_get(1)?, lsn: row.try_get(2)? };
            Ok((row.try_get::<_, Option<i64>>(0)?, seen, row.try_get::<_, bool>(3)?))
        };
        let (barrier, seen, broke) = read().map_err(unreadable)?;
        self.note(seen, broke);
        Ok(barrier.map(timestamp))
    }

    async fn surveyed(&self) -> Result<Survey, StoreError> {
        let schema = &self.statements.schema;
        let rows = self.write(&schema.within(PROOF), &[]).await?;
        let row = only(&rows)?;
        let read = || Ok((row.try_get::<_, bool>(0)?, row.try_get::<_, i64>(1)?, row.try_get::<_, i64>(2)?));
        let (syncs, table_bytes, bytes) = read().map_err(unreadable)?;
        let rows = self.counted(if table_bytes <= COUNTED_BYTES_MAX { COUNT } else { ESTIMATE }).await?;
        let durability = if syncs { "power" } else { "process" };
        Ok(Survey { durability, rows, bytes: u64::try_from(bytes).unwrap_or_default() })
    }

    /// Records by kind, as `statement` counts them.
    pub(super) async fn counted(&self, statement: &str) -> Result<[u64; 5], StoreError> {
        let mut records = [0; 5];
        for row in self.read(&self.statements.schema.within(statement), &[]).await? {
            let read = || Ok((row.try_get::<_, i16>(1)?, row.try_get::<_, i64>(2)?));
            let (kind, count) = read().map_err(unreadable)?;
            let place = usize::try_from(kind).ok().and_then(|kind| records.get_mut(kind));
            if let Some(place) = place {
                *place = u64::try_from(count).unwrap_or_default();
            }
        }
        Ok(records)
    }
}

/// A statement's one row.
fn only(rows: &[Row]) -> Result<&Row, StoreError> {
    rows.first().ok_or(StoreError::Unknown { reason: "the database's answer is empty", source: None })
}

/// The rows that are there: a statement that finds none gives one without an id.
fn found(rows: &[Row]) -> Result<Vec<(LookupId, StoredRow)>, StoreError> {
    let read = |row: &Row| {
        let id = row.try_get::<_, Option<&[u8]>>(4)?.map(|id| LookupId::from_bytes(bytes(id)));
        Ok(id.zip(stored(row)?))
    };
    rows.iter().filter_map(|row| read(row).transpose()).collect::<Result<_, _>>().map_err(unreadable)
}

const FETCH: &str = "
SELECT pg_is_in_recovery(), r.mark, r.head, CASE WHEN $2 THEN r.outcome END,
    current_setting('synchronous_standby_names') <> ''
FROM unnest($1) WITH ORDINALITY AS s (id, number)
LEFT JOIN LATERAL (SELECT r.mark, r.head, r.outcome FROM {schema}.records AS r WHERE r.id = s.id OFFSET 0) AS r ON true
ORDER BY s.number";

const DUE: &str = "
SELECT server.replica, r.mark, r.head, NULL::bytea, r.id
FROM (SELECT pg_is_in_recovery() AS replica) AS server
LEFT JOIN LATERAL (
    SELECT r.id, r.mark, r.head, r.due_ms FROM {schema}.records AS r WHERE r.due_ms <= $1 ORDER BY r.due_ms LIMIT $2
) AS r ON true
ORDER BY r.due_ms";

const LIST: &str = "
SELECT server.replica, r.mark, r.head, NULL::bytea, r.id, r.place
FROM (SELECT pg_is_in_recovery() AS replica) AS server
LEFT JOIN LATERAL (
    SELECT r.id, r.mark, r.head, r.place FROM {schema}.records AS r
    WHERE r.place < $1 AND r.kind <> 5 {filter} ORDER BY r.place DESC LIMIT $2
) AS r ON true
ORDER BY r.place DESC";

const QUARANTINE: &str = "
UPDATE {schema}.records AS r SET due_ms = NULL FROM {schema}.durable() WHERE r.id = $1 AND r.mark = $2";

const CLOCK: &str = "
SELECT pg_is_in_recovery(), (extract(epoch FROM clock_timestamp()) * 1000)::int8, b.correction_ms
FROM {schema}.books AS b WHERE b.one";

const CORRECT: &str = "
UPDATE {schema}.books AS b SET correction_ms = $2 FROM {schema}.durable() WHERE b.one AND b.correction_ms = $1
RETURNING b.one";

const LOOK_BACK: &str = "
SELECT l.barrier, l.timeline, l.lsn, l.broke FROM {schema}.durable(), {schema}.look_back($1, $2, $3, $4) AS l";

/// Of the two, the later one; of none and one, that.
const RAISE: &str = "
UPDATE {schema}.books AS b SET barrier_ms = greatest(b.barrier_ms, $1) FROM {schema}.durable() WHERE b.one
RETURNING b.barrier_ms";

/// Commits something: where commits wait for standbys, what was visible before has reached them by then.
const CONFIRM: &str = "SELECT pg_logical_emit_message(true, 'onceward', ''::text) FROM {schema}.durable()";

const PROOF: &str = "
SELECT current_setting('fsync')::bool, pg_relation_size('{schema}.records'),
    pg_total_relation_size('{schema}.records') + pg_total_relation_size('{schema}.audit'),
    pg_logical_emit_message(true, 'onceward', ''::text)::text
FROM {schema}.durable()";

pub(super) const COUNT: &str = "
SELECT pg_is_in_recovery(), r.kind, count(*) FROM {schema}.records AS r GROUP BY r.kind";

/// What the last ANALYZE saw, scaled to the table's size; records in doubt, which are few and have an index, are counted.
pub(super) const ESTIMATE: &str = "
SELECT pg_is_in_recovery(), v.kind, (v.share * c.reltuples / greatest(c.relpages, 1)
    * pg_relation_size(c.oid) / current_setting('block_size')::int8)::int8
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_stats AS s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = 'kind'
CROSS JOIN unnest(s.most_common_vals::text::int2[], s.most_common_freqs::float8[]) AS v (kind, share)
WHERE c.oid = '{schema}.records'::regclass AND v.kind <> 3
UNION ALL
SELECT pg_is_in_recovery(), 3::int2, count(*) FROM {schema}.records AS r WHERE r.kind = 3";

const APPEND: &str = "SELECT {schema}.append($1, $2, $3)";

const READ_AUDIT: &str = "
SELECT false, line_place, line_at_ms, line_key, line_json FROM {schema}.read_audit($1, $2, $3)";

/// Looks at the oldest lines only, so that it costs in proportion to what goes; others trim beside it.
const TRIM: &str = "
WITH gone AS (
    DELETE FROM {schema}.audit AS a USING {schema}.durable(), (
        SELECT o.place, o.at_ms FROM {schema}.audit AS o ORDER BY o.place LIMIT $2 FOR UPDATE SKIP LOCKED
    ) AS old
    WHERE a.place = old.place AND old.at_ms < $1
    RETURNING a.place
)
SELECT count(*) FROM gone";

impl Backend for Postgres {
    fn kind(&self) -> &'static str {
        "postgres"
    }

    fn gathering(&self) -> Gathering {
        Gathering { swaps_max: SWAPS_MAX, exchanges_max: WRITERS }
    }

    fn exchange(&self, batch: Arc<[Swap]>, now: Timestamp) -> StoreFuture<'_, Vec<Swapped>> {
        Box::pin(async move { self.swap(&batch, now).await })
    }

    fn fetch(&self, ids: Vec<LookupId>, with_outcomes: bool) -> StoreFuture<'_, Vec<Option<StoredRow>>> {
        Box::pin(async move {
            let ids: Vec<&[u8]> = ids.iter().map(|id| id.as_bytes().as_slice()).collect();
            let parameters: Parameters<'_> = &[(&ids, Type::BYTEA_ARRAY), (&with_outcomes, Type::BOOL)];
            let rows = self.read(&self.statements.fetch, parameters).await?;
            let waits =
                rows.first().map_or(Ok(false), |row| row.try_get::<_, bool>(4)).map_err(unreadable)?;
            let rows = rows.iter().map(stored).collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
            // Answers are given from whole rows; heads only say when to ask again.
            if with_outcomes && waits && rows.iter().any(Option::is_some) {
                self.write(&self.statements.schema.within(CONFIRM), &[]).await.map_err(unread)?;
            }
            Ok(rows)
        })
    }

    fn due(&self, now: Timestamp, rows_max: usize) -> StoreFuture<'_, Vec<(LookupId, StoredRow)>> {
        Box::pin(async move {
            let parameters: Parameters<'_> = &[(&ms(now), Type::INT8), (&limit(rows_max), Type::INT8)];
            found(&self.read(&self.statements.schema.within(DUE), parameters).await?)
        })
    }

    fn quarantine(&self, id: LookupId, mark: Mark) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let (id, mark) = (id.as_bytes().as_slice(), mark.0.as_slice());
            let parameters: Parameters<'_> = &[(&id, Type::BYTEA), (&mark, Type::BYTEA)];
            self.write(&self.statements.schema.within(QUARANTINE), parameters).await.map(drop)
        })
    }

    fn list(
        &self,
        filter: EntryFilter,
        after: Option<PageCursor>,
        rows_max: usize,
    ) -> StoreFuture<'_, Listed> {
        Box::pin(async move {
            let (key, actor) =
                (filter.key.as_ref().map(KeyTag::as_bytes), filter.actor.as_ref().map(ActorTag::as_bytes));
            let (key, actor) = (key.map(<[u8; 8]>::as_slice), actor.map(<[u8; 8]>::as_slice));
            let after = after.map_or(i64::MAX, |PageCursor(place)| i64::try_from(place).unwrap_or(i64::MAX));
            let conditions = [
                filter.in_doubt_only.then_some("AND r.kind = 3"),
                key.map(|_| "AND r.key = $3"),
                actor.map(|_| "AND r.actor = $4"),
            ];
            let conditions: Vec<_> = conditions.into_iter().flatten().collect();
            let statement = self.statements.schema.within(LIST).replace("{filter}", &conditions.join(" "));
            let parameters: Parameters<'_> = &[
                (&after, Type::INT8),
                (&limit(rows_max), Type::INT8),
                (&key, Type::BYTEA),
                (&actor, Type::BYTEA),
            ];
            let found_rows = self.read(&statement, parameters).await?;
            let rows = found(&found_rows)?;
            let last = found_rows.last().filter(|_| rows.len() == rows_max);
            let last = last.map(|row| row.try_get::<_, Option<i64>>(5)).transpose().map_err(unreadable)?;
            let next = last.flatten().and_then(|place| u64::try_from(place).ok()).map(PageCursor);
            Ok(Listed { rows, next })
        })
    }

    fn clock(&self) -> StoreFuture<'_, ClockReading> {
        Box::pin(async move {
            let rows = self.read(&self.statements.schema.within(CLOCK), &[]).await?;
            let row = only(&rows)?;
            let read =
                || Ok(ClockReading { server: timestamp(row.try_get(1)?), correction_ms: row.try_get(2)? });
            read().map_err(unreadable)
        })
    }

    fn correct_clock(&self, seen_ms: i64, correction_ms: i64) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let parameters: Parameters<'_> = &[(&seen_ms, Type::INT8), (&correction_ms, Type::INT8)];
            let rows = self.write(&self.statements.schema.within(CORRECT), parameters).await?;
            Ok(!rows.is_empty())
        })
    }

    fn barrier(&self, now: Timestamp) -> StoreFuture<'_, Option<Timestamp>> {
        Box::pin(self.look_back(now))
    }

    fn raise_barrier(&self, to: Timestamp, now: Timestamp) -> StoreFuture<'_, Timestamp> {
        Box::pin(async move {
            self.look_back(now).await?;
            let parameters: Parameters<'_> = &[(&ms(to), Type::INT8)];
            let rows = self.write(&self.statements.schema.within(RAISE), parameters).await?;
            only(&rows)?.try_get(0).map(timestamp).map_err(unreadable)
        })
    }

    fn survey(&self) -> StoreFuture<'_, Survey> {
        Box::pin(self.surveyed())
    }

    fn append(&self, lines: Vec<StoredAudit>) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let at: Vec<_> = lines.iter().map(|line| ms(line.at)).collect();
            let keys: Vec<_> =
                lines.iter().map(|line| line.key.as_ref().map(|key| key.as_bytes().as_slice())).collect();
            let texts: Vec<_> = lines.iter().map(|line| line.json.as_str()).collect();
            let parameters: Parameters<'_> =
                &[(&at, Type::INT8_ARRAY), (&keys, Type::BYTEA_ARRAY), (&texts, Type::TEXT_ARRAY)];
            self.write(&self.statements.schema.within(APPEND), parameters).await.map(drop)
        })
    }

    fn read_audit(
        &self,
        after: AuditCursor,
        key: Option<KeyTag>,
        lines_max: usize,
    ) -> StoreFuture<'_, Vec<(AuditCursor, StoredAudit)>> {
        Box::pin(async move {
            let after = i64::try_from(after.0).unwrap_or(i64::MAX);
            let key = key.as_ref().map(|key| key.as_bytes().as_slice());
            let parameters: Parameters<'_> =
                &[(&after, Type::INT8), (&key, Type::BYTEA), (&limit(lines_max), Type::INT8)];
            let rows = self.read(&self.statements.schema.within(READ_AUDIT), parameters).await?;
            let read = |row: &Row| {
                let place = u64::try_from(row.try_get::<_, i64>(1)?).unwrap_or_default();
                let key = row.try_get::<_, Option<&[u8]>>(3)?.map(|key| KeyTag::from_bytes(bytes(key)));
                let line = StoredAudit { at: timestamp(row.try_get(2)?), key, json: row.try_get(4)? };
                Ok((AuditCursor(place), line))
            };
            rows.iter().map(read).collect::<Result<_, _>>().map_err(unreadable)
        })
    }

    fn trim_audit(&self, before: Timestamp, lines_max: usize) -> StoreFuture<'_, u64> {
        Box::pin(async move {
            let parameters: Parameters<'_> = &[(&ms(before), Type::INT8), (&limit(lines_max), Type::INT8)];
            let rows = self.write(&self.statements.schema.within(TRIM), parameters).await?;
            let gone: i64 = only(&rows)?.try_get(0).map_err(unreadable)?;
            Ok(u64::try_from(gone).unwrap_or_default())
        })
    }
}

/// Of a question whose answer cannot be relied on nothing has happened.
fn unread(error: StoreError) -> StoreError {
    match error {
        StoreError::Unknown { reason, source } => StoreError::Unavailable { reason, source },
        error => error,
    }
}

fn limit(rows_max: usize) -> i64 {
    i64::try_from(rows_max).unwrap_or(i64::MAX)
}
