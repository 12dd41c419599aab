//! Stores of these tests.

use std::{sync::Arc, time::Duration};

use onceward_core::{
    record::{Attempt, AttemptId, Decision, Drift},
    time::Timestamp,
};
use onceward_store::{
    Claim, Clock, ManualClock, Shared, Store, Table, TableOptions, conformance::STARTED_MS,
};

use crate::kit;

/// Another process on the table, on a clock that the test moves; `number` tells its random numbers from those of the others.
pub(super) async fn open(table: &Table, clock: &Arc<ManualClock>, number: u64) -> Shared {
    open_on(table, Some(Arc::<ManualClock>::clone(clock)), number).await
}

/// Another process on the table and on the table's clock.
pub(super) async fn open_on_server_time(table: &Table, number: u64) -> Shared {
    open_on(table, None, number).await
}

async fn open_on(table: &Table, clock: Option<Arc<dyn Clock>>, number: u64) -> Shared {
    let options = TableOptions { clock, seed: number.wrapping_mul(1 << 32) };
    table.open(options).await.expect("the table answers")
}

/// A claim of a key by another attempt than the first.
pub(super) fn again(number: u64, attempt: u8) -> Claim {
    Claim { attempt: AttemptId([attempt; 16]), ..kit::claim(number) }
}

pub(super) async fn granted_to(store: &dyn Store, claim: Claim) -> Attempt {
    match kit::decision(store.claim(claim).await) {
        Decision::Execute(attempt) => attempt,
        other => panic!("expected the claim to be granted, got {other:?}"),
    }
}

/// What a duplicate is told while a lease of [`kit::LEASE`] is `used` up.
pub(super) fn waits(used: Duration) -> Decision {
    Decision::Wait { lease_left: kit::LEASE - used, drift: Drift::Same }
}

/// What [`kit::clock`] stands at.
pub(super) fn now() -> Timestamp {
    Timestamp::from_ms(STARTED_MS)
}
