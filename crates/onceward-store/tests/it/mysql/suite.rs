//! The suite that every store passes.

use std::sync::Arc;

use onceward_core::actor::LookupId;
use onceward_store::{
    AuditLog, ManualClock, Shared, Store,
    conformance::{Damage, Subject, Survival},
};

use super::kit::{Database, content, tell};
use crate::kit;

struct Rows {
    store: Arc<Shared>,
    clock: Arc<ManualClock>,
    database: Database,
}

async fn subject() -> Rows {
    let (database, clock) = (Database::new().await, kit::clock());
    let store = Arc::new(database.open(&clock).await);
    Rows { store, clock, database }
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
        self.store = Arc::new(self.database.open(&self.clock).await);
        Survival::Leases
    }

    fn bytes(&self) -> Vec<u8> {
        let url = self.database.url();
        let reading = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let mut bytes = content(&url, "onceward_records").await;
                bytes.extend(content(&url, "onceward_audit").await);
                bytes
            })
        });
        reading.join().expect("read")
    }

    async fn damage(&mut self, id: LookupId) -> Damage {
        let digits: String = id.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let flip = "CONCAT(SUBSTR(head, 1, 50), CHAR(ORD(SUBSTR(head, 51, 1)) ^ 1), SUBSTR(head, 52))";
        tell(
            &self.database.url(),
            &format!("UPDATE onceward_records SET head = {flip} WHERE id = x'{digits}'"),
        )
        .await;
        Damage::Done
    }
}

onceward_store::conformance_suite!(subject);
