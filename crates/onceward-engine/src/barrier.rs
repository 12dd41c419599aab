//! The history barrier, raised by hand (T5).

use onceward_core::time::Timestamp;
use onceward_store::StoreError;
use serde::Serialize;

use crate::engine::Engine;

/// What the audit log says of it.
#[derive(Debug, Serialize)]
struct BarrierRaised<'a> {
    time: String,
    decision: &'static str,
    barrier: String,
    evidence: &'a str,
}

impl Engine {
    /// Declares that acknowledged records may have been lost, as after a backup was put back: raises the barrier to `to`, or to the present
    /// where none is named or that is earlier, and writes down that it was done, and by whose word. A barrier never falls; says where it
    /// is then.
    ///
    /// # Errors
    /// When the store does not answer. The barrier may be raised then, and not in the audit log; raising it again writes it down.
    pub async fn raise_barrier(
        &self,
        to: Option<Timestamp>,
        evidence: &str,
    ) -> Result<Timestamp, StoreError> {
        let records = &self.0.records;
        let barrier = records.once("raise-barrier", records.store.raise_barrier(to)).await?;
        let at = self.now();
        let event = BarrierRaised {
            time: at.to_string(),
            decision: "barrier-raised",
            barrier: barrier.to_string(),
            evidence,
        };
        self.write_down(at, &event).await?;
        Ok(barrier)
    }
}
