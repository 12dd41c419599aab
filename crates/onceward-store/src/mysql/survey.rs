//! What the database says of itself, and the proof that it can be written to.

use super::{Mysql, script::Script, server::Settings};
use crate::{port::StoreError, shared::backend::Survey, step::Kind};

/// Rows up to which they are counted one by one: some 50 ms. Beyond, the planner's own estimate is taken for all but the claims and doubts.
const COUNTED_ROWS_MAX: u64 = 200_000;

const KINDS: [Kind; 5] = [Kind::Absent, Kind::Claimed, Kind::Done, Kind::InDoubt, Kind::Tombstone];

impl Mysql {
    pub(super) async fn survey_all(&self) -> Result<Survey, StoreError> {
        let mut script = Script::default();
        self.books.guard(&mut script, None);
        let probe = self.books.probe(&mut script);
        let mut said = self.asking.write(script).await?;
        self.books.probed(probe, &mut said)?;

        let mut script = Script::of(Settings::QUERY);
        let size = script.begin(
            "SELECT TABLE_NAME, COALESCE(TABLE_ROWS, 0), COALESCE(DATA_LENGTH + INDEX_LENGTH, 0)
             FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN ",
        );
        let names: Vec<_> = self.tables.names().collect();
        script.list(names.iter().map(String::as_bytes));
        let mut said = self.asking.read(script).await?;
        let settings = Settings::from_rows(said.rows(0)?);
        let sizes: Vec<(String, u64, u64)> = said.rows(size)?;
        let records = self.tables.name("records");
        let estimate = sizes.iter().filter(|(table, ..)| *table == records).map(|(_, rows, _)| *rows).sum();
        Ok(Survey {
            durability: settings.degree().as_str(),
            rows: self.count_rows(estimate).await?,
            bytes: sizes.iter().map(|(.., bytes)| *bytes).sum(),
        })
    }

    /// Exact while they are few; else claims and doubts are exact, and the rest is what the planner takes for true.
    async fn count_rows(&self, estimate: u64) -> Result<[u64; 5], StoreError> {
        if estimate > COUNTED_ROWS_MAX {
            return self.estimate_rows().await;
        }
        let sql =
            self.tables.fill("SELECT state, COUNT(*) FROM {records} FORCE INDEX (by_state) GROUP BY state");
        let mut said = self.asking.read(Script::of(&sql)).await?;
        let found: Vec<(u8, u64)> = said.rows(0)?;
        let count =
            |kind| found.iter().filter(|(state, _)| *state == kind as u8).map(|(_, rows)| *rows).sum();
        Ok(KINDS.map(count))
    }

    async fn estimate_rows(&self) -> Result<[u64; 5], StoreError> {
        let mut script = Script::default();
        for kind in KINDS {
            let exact = matches!(kind, Kind::Claimed | Kind::InDoubt);
            let what = if exact { "COUNT(*) AS n" } else { "1" };
            script.begin(if exact { "" } else { "EXPLAIN " });
            script
                .add("SELECT ")
                .add(what)
                .add(&self.tables.fill(" FROM {records} FORCE INDEX (by_state) WHERE state = "));
            script.number(kind as u8);
        }
        let mut said = self.asking.read(script).await?;
        let mut rows = [0; 5];
        for (number, row) in rows.iter_mut().enumerate() {
            let answer: mysql_async::Row = said.row(number)?;
            // A plan's own column is called so in every release; a count is given the other name.
            *row = answer.get("rows").or_else(|| answer.get("n")).unwrap_or_default();
        }
        Ok(rows)
    }
}
