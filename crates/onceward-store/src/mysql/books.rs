//! The store's one row about itself: whose it is, which server keeps it, and since when its history is whole (T5).

use std::sync::atomic::{AtomicU64, Ordering};

use onceward_core::time::Timestamp;

use super::{
    Strictness,
    address::Address,
    connections::Connections,
    open_error::MysqlError,
    schema::{Tables, start_error},
    script::Script,
    server::Settings,
};
use crate::{port::StoreError, shared::backend::ClockReading};

/// What the store remembers of the server, beside what the server itself holds.
#[derive(Debug)]
pub(super) struct Books {
    tables: Tables,
    /// The server's name, as it evaluates it.
    identity: String,
    /// What its settings have to be.
    fitness: String,
    strictness: Strictness,
    /// The highest count of probes that this process saw committed. A database that counts fewer is an older one.
    witness: AtomicU64,
}

/// A history as it is now.
#[derive(Clone, Copy, Debug)]
pub(super) struct History {
    pub(super) barrier: Option<Timestamp>,
}

impl Books {
    /// Reads whose records they are.
    pub(super) const SECRET_QUERY: &str = "SELECT secret_check FROM {books} WHERE place = 1";

    pub(super) fn new(tables: Tables, settings: &Settings, strictness: Strictness) -> Self {
        let (identity, fitness) = (settings.identity(), settings.fitness(strictness));
        Self { tables, identity, fitness, strictness, witness: AtomicU64::new(0) }
    }

    /// Writes the row, where there is none, and reads whose it is.
    pub(super) async fn begin(
        &self,
        connections: &Connections,
        secret_check: &[u8; 32],
        place: &Address,
    ) -> Result<(), MysqlError> {
        let mut script = Script::default();
        let made = script.begin(&self.tables.fill("INSERT IGNORE INTO {books} VALUES (1, "));
        script.bytes(secret_check).add(", ").add(&self.identity);
        // Records without a row about them come from somewhere: nobody knows what they lack.
        script.add(&self.tables.fill(
            ", 0, IF(EXISTS (SELECT 1 FROM {records}), FLOOR(UNIX_TIMESTAMP(NOW(3)) * 1000), NULL), 0)",
        ));
        script.say(&self.tables.fill("INSERT IGNORE INTO {audit_head} VALUES (1, 0)"));
        let read = script.begin(&self.tables.fill(Self::SECRET_QUERY));
        let mut said = connections.write(script).await.map_err(start_error(place))?;
        let (found,): (Vec<u8>,) = said.row(read).map_err(start_error(place))?;
        if found != secret_check {
            return Err(MysqlError::OtherSecret { place: place.to_string() });
        }
        if said.affected(made) == 1 {
            let run = Script::of(&self.tables.fill("INSERT IGNORE INTO {alive} VALUES (1)"));
            connections.write(run).await.map_err(start_error(place))?;
        }
        Ok(())
    }

    /// A statement that fails unless the server's settings are what they have to be, and, for grants, its history is the recorded one and
    /// its barrier no later than `judged`. So it stands before everything that relies on that, in the same packet.
    pub(super) fn guard(&self, script: &mut Script, judged: Option<Option<Timestamp>>) {
        // A subquery of two rows where there may be one is an error in every mode of every server.
        script.begin("SELECT (SELECT n FROM (SELECT 1 AS n UNION ALL SELECT 2) AS two WHERE NOT (");
        script.add(&self.fitness);
        if let Some(judged) = judged {
            script.add(&self.tables.fill(" AND EXISTS (SELECT 1 FROM {books} WHERE place = 1 AND "));
            self.intact(script);
            script.add(" AND (barrier_ms IS NULL");
            if let Some(judged) = judged {
                script.add(" OR barrier_ms <= ").number(judged.as_ms());
            }
            script.add("))");
        }
        script.add("))");
    }

    /// The condition on the row about the store under which nothing can have been lost.
    ///
    /// Where the server promises less than to survive the loss of power, it may have lost something whenever it was started again: the
    /// row of a table that it keeps in memory only is gone then.
    fn intact(&self, script: &mut Script) {
        script.add("server = ").add(&self.identity);
        script.add(" AND witness >= ").number(self.witness.load(Ordering::Relaxed));
        if self.strictness == Strictness::Lenient {
            script.add(&self.tables.fill(" AND EXISTS (SELECT 1 FROM {alive})"));
        }
    }

    /// Looks for a break in the server's history, raises the barrier to `now` where there is one, and records the server as it is now:
    /// all in one statement, so that of many processes one raises it.
    pub(super) async fn settle(
        &self,
        connections: &Connections,
        now: Timestamp,
    ) -> Result<History, StoreError> {
        let mut script = Script::default();
        script.begin(&self.tables.fill("UPDATE {books} SET barrier_ms = IF("));
        self.intact(&mut script);
        script.add(", barrier_ms, GREATEST(COALESCE(barrier_ms, 0), ").number(now.as_ms());
        script.add(")), witness = IF(");
        self.intact(&mut script);
        let witness = self.witness.load(Ordering::Relaxed);
        script
            .add(", witness, GREATEST(witness, ")
            .number(witness)
            .add(") + 1), server = ")
            .add(&self.identity);
        script.add(" WHERE place = 1 AND ").add(&self.fitness);
        let read = script.begin("SELECT ");
        script
            .add(&self.fitness)
            .add(&self.tables.fill(", barrier_ms, witness FROM {books} WHERE place = 1"));
        if self.strictness == Strictness::Lenient {
            // Behind the barrier: a crash in between raises it once more.
            script.begin(
                &self.tables.fill("INSERT IGNORE INTO {alive} SELECT 1 FROM {books} WHERE place = 1 AND "),
            );
            script.add(&self.fitness);
        }
        let mut said = connections.write(script).await?;
        let (fit, barrier, witness): (bool, Option<u64>, u64) = said.row(read)?;
        if !fit {
            return Err(StoreError::Unavailable {
                reason: "the server turned read-only, or promises less than it did",
                source: None,
            });
        }
        self.witness.fetch_max(witness, Ordering::Relaxed);
        Ok(History { barrier: barrier.map(Timestamp::from_ms) })
    }

    /// Raises the barrier to `to` where it is earlier; says where it is then.
    pub(super) async fn raise(
        &self,
        connections: &Connections,
        to: Timestamp,
    ) -> Result<Timestamp, StoreError> {
        let mut script = Script::default();
        self.guard(&mut script, None);
        script.begin(&self.tables.fill("UPDATE {books} SET barrier_ms = GREATEST(COALESCE(barrier_ms, 0), "));
        script.number(to.as_ms()).add(") WHERE place = 1");
        let read = script.begin(&self.tables.fill("SELECT barrier_ms FROM {books} WHERE place = 1"));
        let mut said = connections.write(script).await?;
        let (barrier,): (u64,) = said.row(read)?;
        Ok(Timestamp::from_ms(barrier))
    }

    /// Adds a statement that counts one probe, if history is whole as far as this process knows: a break is not papered over.
    pub(super) fn probe(&self, script: &mut Script) -> Probe {
        let count = script.begin(
            &self
                .tables
                .fill("UPDATE {books} SET witness = LAST_INSERT_ID(witness + 1) WHERE place = 1 AND "),
        );
        self.intact(script);
        Probe { count, read: script.begin("SELECT LAST_INSERT_ID()") }
    }

    /// Remembers what a probe that the server acknowledged has counted.
    pub(super) fn probed(&self, probe: Probe, said: &mut super::script::Said) -> Result<(), StoreError> {
        if said.affected(probe.count) > 0 {
            let (witness,): (u64,) = said.row(probe.read)?;
            self.witness.fetch_max(witness, Ordering::Relaxed);
        }
        Ok(())
    }

    pub(super) async fn clock(&self, connections: &Connections) -> Result<ClockReading, StoreError> {
        // In UTC, as the session has it: no hour of it comes twice.
        let sql = "SELECT CAST(FLOOR(UNIX_TIMESTAMP(NOW(3)) * 1000) AS UNSIGNED), correction_ms FROM {books} WHERE place = 1";
        let mut said = connections.read(Script::of(&self.tables.fill(sql))).await?;
        let (server_ms, correction_ms) = said.row(0)?;
        Ok(ClockReading { server: Timestamp::from_ms(server_ms), correction_ms })
    }

    pub(super) async fn correct_clock(
        &self,
        connections: &Connections,
        seen_ms: i64,
        correction_ms: i64,
    ) -> Result<bool, StoreError> {
        let mut script = Script::default();
        script.begin(&self.tables.fill("UPDATE {books} SET correction_ms = "));
        script.number(correction_ms).add(" WHERE place = 1 AND correction_ms = ").number(seen_ms);
        let said = connections.write(script).await?;
        // Rows met, not rows changed: the session counts so.
        Ok(said.affected(0) == 1)
    }
}

/// Which statements of a script count a probe.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    count: usize,
    read: usize,
}
