//! Reading rows, and taking one out of the sweep's way.

use onceward_core::{actor::LookupId, time::Timestamp};

use super::{Mysql, exchange::TOUCHED, lookup_id, mark, script::Script};
use crate::{
    port::{EntryFilter, PageCursor, StoreError},
    shared::backend::{Listed, Mark, StoredRow},
    step::Kind,
};

/// A row's place, id, mark and head.
type ListedRow = (u64, Vec<u8>, Vec<u8>, Vec<u8>);

/// A row's id, mark, head and outcome.
type Found = (Vec<u8>, Vec<u8>, Vec<u8>, Option<Vec<u8>>);

impl Mysql {
    pub(super) async fn fetch_rows(
        &self,
        ids: Vec<LookupId>,
        with_outcomes: bool,
    ) -> Result<Vec<Option<StoredRow>>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let outcome = if with_outcomes { "outcome" } else { "NULL" };
        let mut script = Script::default();
        if with_outcomes {
            script.say("START TRANSACTION");
        }
        self.books.guard(&mut script, None);
        // Answers are given from whole rows; heads only say when to ask again.
        if with_outcomes {
            script.begin(&self.tables.fill("UPDATE {records} FORCE INDEX (PRIMARY) SET came_from = "));
            script.add(TOUCHED).add(" WHERE NOT @@GLOBAL.log_bin AND id IN ");
            script.list(ids.iter().map(|id| id.as_bytes().as_slice()));
        }
        let read = script.begin("SELECT id, mark, head, ");
        script.add(outcome).add(&self.tables.fill(" FROM {records} FORCE INDEX (PRIMARY) WHERE id IN "));
        script.list(ids.iter().map(|id| id.as_bytes().as_slice()));
        if with_outcomes {
            script.say("COMMIT");
        }
        let mut said = self.asking.read(script).await?;
        let rows: Vec<Found> = said.rows(read)?;
        let rows = rows.into_iter().map(|(id, mark, head, outcome)| stored(&id, &mark, head, outcome));
        let rows = rows.collect::<Result<std::collections::HashMap<_, _>, _>>()?;
        Ok(ids.iter().map(|id| rows.get(id).cloned()).collect())
    }

    pub(super) async fn due_rows(
        &self,
        now: Timestamp,
        rows_max: usize,
    ) -> Result<Vec<(LookupId, StoredRow)>, StoreError> {
        let mut script = Script::default();
        self.books.guard(&mut script, None);
        let read = script.begin(&self.tables.fill(
            "SELECT id, mark, head FROM {records} FORCE INDEX (by_due) WHERE due_ms IS NOT NULL AND due_ms <= ",
        ));
        script.number(now.as_ms()).add(" ORDER BY due_ms LIMIT ").number(rows_max);
        let mut said = self.asking.read(script).await?;
        let rows: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)> = said.rows(read)?;
        rows.into_iter().map(|(id, mark, head)| stored(&id, &mark, head, None)).collect()
    }

    pub(super) async fn quarantine_row(&self, id: LookupId, mark: Mark) -> Result<(), StoreError> {
        let mut script = Script::default();
        script.begin(&self.tables.fill("UPDATE {records} SET due_ms = NULL WHERE id = "));
        script.bytes(id.as_bytes()).add(" AND mark = ").bytes(&mark.0);
        self.asking.write(script).await.map(drop)
    }

    pub(super) async fn list_rows(
        &self,
        filter: EntryFilter,
        after: Option<PageCursor>,
        rows_max: usize,
    ) -> Result<Listed, StoreError> {
        let mut script = Script::default();
        self.books.guard(&mut script, None);
        // One index that is walked backwards; what the filter says beyond that is looked for in its rows.
        let index = match (filter.key, filter.actor, filter.in_doubt_only) {
            (Some(_), _, _) => "by_key",
            (None, Some(_), _) => "by_actor",
            (None, None, true) => "by_state",
            (None, None, false) => "by_place",
        };
        let read = script.begin("SELECT place, id, mark, head FROM ");
        script.add(&self.tables.fill("{records}")).add(" FORCE INDEX (").add(index).add(") WHERE place < ");
        script.number(after.map_or(u64::MAX, |PageCursor(place)| place));
        script.add(" AND state <> ").number(Kind::Mark as u8);
        if let Some(key) = filter.key {
            script.add(" AND key_tag = ").bytes(key.as_bytes());
        }
        if let Some(actor) = filter.actor {
            script.add(" AND actor = ").bytes(actor.as_bytes());
        }
        if filter.in_doubt_only {
            script.add(" AND state = ").number(Kind::InDoubt as u8);
        }
        script.add(" ORDER BY place DESC LIMIT ").number(rows_max);
        let mut said = self.asking.read(script).await?;
        let rows: Vec<ListedRow> = said.rows(read)?;
        let next = rows.last().filter(|_| rows.len() >= rows_max).map(|(place, ..)| PageCursor(*place));
        let rows = rows.into_iter().map(|(_, id, mark, head)| stored(&id, &mark, head, None));
        Ok(Listed { rows: rows.collect::<Result<_, _>>()?, next })
    }
}

fn stored(
    id: &[u8],
    row_mark: &[u8],
    head: Vec<u8>,
    outcome: Option<Vec<u8>>,
) -> Result<(LookupId, StoredRow), StoreError> {
    Ok((lookup_id(id)?, StoredRow { mark: mark(row_mark)?, head, outcome }))
}
