//! The store as the engine uses it: every operation timed, measured, and repeated after a lost answer.

use std::{error::Error, sync::Arc, time::Duration};

use onceward_core::{actor::LookupId, record::Attempt};
use onceward_store::{Claim, Marked, Reply, Settle, Store, StoreError, StoreFuture, Twin};
use tokio::time::{Instant, sleep, timeout_at};

use crate::telemetry::Telemetry;

/// The first pause before a store operation is repeated; it doubles.
const REPEAT_PAUSE: Duration = Duration::from_millis(10);

/// The longest pause before a store operation is repeated.
const REPEAT_PAUSE_MAX: Duration = Duration::from_millis(500);

/// Until when an operation is repeated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Until it is answered, or this passes.
    pub(crate) answer: Instant,
    /// No longer than this where it is refused each time, and so provably did not happen.
    pub(crate) absence: Instant,
}

impl Patience {
    /// Until `deadline`, whatever goes wrong.
    pub(crate) const fn until(deadline: Instant) -> Self {
        Self { answer: deadline, absence: deadline }
    }
}

/// A store with its clockwork.
#[derive(Clone, Debug)]
pub(crate) struct Records {
    pub(crate) store: Arc<dyn Store>,
    kind: &'static str,
    telemetry: Arc<Telemetry>,
    time_max: Duration,
}

impl Records {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        kind: &'static str,
        telemetry: Arc<Telemetry>,
        time_max: Duration,
    ) -> Self {
        Self { store, kind, telemetry, time_max }
    }

    /// Claims, repeating the same attempt.
    pub(crate) async fn claim(&self, claim: &Claim, patience: Patience) -> Result<Reply, StoreError> {
        self.repeat("claim", patience, || self.store.claim(claim.clone())).await
    }

    /// Renews once; the lease keeper has its own rhythm.
    pub(crate) async fn renew(
        &self,
        id: LookupId,
        attempt: Attempt,
        deadline: Instant,
    ) -> Result<Reply, StoreError> {
        self.timed("renew", deadline, self.store.renew(id, attempt)).await
    }

    /// Settles, repeating until `deadline`.
    pub(crate) async fn settle(
        &self,
        id: LookupId,
        attempt: Attempt,
        settle: &Settle,
        deadline: Instant,
    ) -> Result<Reply, StoreError> {
        self.repeat("settle", Patience::until(deadline), || self.store.settle(id, attempt, settle.clone()))
            .await
    }

    /// Bids for a mark, repeating until `deadline`.
    pub(crate) async fn mark_twin(&self, twin: Twin, deadline: Instant) -> Result<Marked, StoreError> {
        self.repeat("mark-twin", Patience::until(deadline), || self.store.mark_twin(twin)).await
    }

    /// Runs an operation that needs no repetition.
    pub(crate) async fn once<T>(
        &self,
        op: &'static str,
        operation: StoreFuture<'_, T>,
    ) -> Result<T, StoreError> {
        self.timed(op, Instant::now() + self.time_max, operation).await
    }

    /// Repeats an operation under the same attempt id, which says the same again (L11), until it answers or `patience` ends.
    async fn repeat<'a, T>(
        &'a self,
        op: &'static str,
        patience: Patience,
        operation: impl Fn() -> StoreFuture<'a, T>,
    ) -> Result<T, StoreError> {
        let mut pause = REPEAT_PAUSE;
        let mut unknown = None;
        loop {
            match self.timed(op, patience.answer, operation()).await {
                Ok(answer) => return Ok(answer),
                // Asking again makes no room, and whoever asks holds a place meanwhile.
                Err(full @ StoreError::Full { .. }) => return Err(unknown.unwrap_or(full)),
                Err(error) => {
                    tracing::warn!(op, error = &error as &dyn Error, "store operation failed");
                    let is_unknown = matches!(error, StoreError::Unknown { .. });
                    let is_absent = unknown.is_none() && matches!(error, StoreError::Unavailable { .. });
                    let until = if is_absent { patience.absence } else { patience.answer };
                    if Instant::now() + pause >= until {
                        // An earlier try that may have happened is not undone by a later one that did not.
                        return Err(unknown.unwrap_or(error));
                    }
                    if is_unknown {
                        unknown = Some(error);
                    }
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(REPEAT_PAUSE_MAX);
        }
    }

    async fn timed<T>(
        &self,
        op: &'static str,
        deadline: Instant,
        operation: StoreFuture<'_, T>,
    ) -> Result<T, StoreError> {
        let began = Instant::now();
        let answer = timeout_at(deadline.min(began + self.time_max), operation).await;
        let answer = answer.unwrap_or(Err(StoreError::Unknown { reason: "timed out", source: None }));
        self.telemetry.observe_store(op, self.kind, began.elapsed(), answer.is_ok());
        answer
    }
}
