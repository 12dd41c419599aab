//! The suite, over a table that serves no other process.

use std::sync::Arc;

use onceward_core::actor::LookupId;
use onceward_store::{
    AuditLog, ManualClock, Shared, Store, Table,
    conformance::{Damage, Subject, Survival},
};

use super::kit;

struct Rows {
    table: Table,
    store: Arc<Shared>,
    clock: Arc<ManualClock>,
    runs: u64,
}

async fn subject() -> Rows {
    let (table, clock) = (Table::default(), crate::kit::clock());
    let store = Arc::new(kit::open(&table, &clock, 0).await);
    Rows { table, store, clock, runs: 1 }
}

impl Subject for Rows {
    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    fn audit(&self) -> Arc<dyn AuditLog> {
        self.store.clone()
    }

    fn clock(&self) -> Arc<ManualClock> {
        Arc::clone(&self.clock)
    }

    /// The dead process tells nobody: another one begins beside what it left.
    async fn crash(&mut self) -> Survival {
        self.store = Arc::new(kit::open(&self.table, &self.clock, self.runs).await);
        self.runs += 1;
        Survival::Leases
    }

    fn bytes(&self) -> Vec<u8> {
        self.table.bytes()
    }

    async fn damage(&mut self, id: LookupId) -> Damage {
        assert!(self.table.damage(id), "the record is not there");
        Damage::Done
    }
}

onceward_store::conformance_suite!(subject);
