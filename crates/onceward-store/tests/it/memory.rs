//! The memory store: the suite, and its bounds.

use std::sync::Arc;

use onceward_core::{
    actor::LookupId,
    record::{Decision, Denial},
};
use onceward_store::{
    AuditLog, ManualClock, Memory, MemoryLimits, ResolutionChange, Settle, Store, StoreError,
    conformance::{Damage, Subject, Survival},
};

use crate::kit;

struct Forgetful {
    store: Arc<Memory>,
    clock: Arc<ManualClock>,
}

async fn subject() -> Forgetful {
    let clock = kit::clock();
    Forgetful { store: Arc::new(Memory::new(MemoryLimits::default(), clock.clone())), clock }
}

impl Subject for Forgetful {
    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    fn audit(&self) -> Arc<dyn AuditLog> {
        self.store.clone()
    }

    fn clock(&self) -> Arc<ManualClock> {
        Arc::clone(&self.clock)
    }

    async fn crash(&mut self) -> Survival {
        self.store = Arc::new(Memory::new(MemoryLimits::default(), self.clock.clone()));
        Survival::Nothing
    }

    fn bytes(&self) -> Vec<u8> {
        Vec::new()
    }

    async fn damage(&mut self, _id: LookupId) -> Damage {
        Damage::Impossible
    }
}

mod suite {
    onceward_store::conformance_suite!(super::subject);
}

fn limited(limits: MemoryLimits) -> Memory {
    Memory::new(limits, kit::clock())
}

/// A full store forgets nothing and goes on serving what it knows.
// covers: S1, L7
#[tokio::test]
async fn a_full_store_refuses_new_keys_and_serves_known_ones() {
    let store = limited(MemoryLimits { records_max: 2, ..MemoryLimits::default() });
    let first = kit::granted(&store, 1).await;
    kit::granted(&store, 2).await;
    let refused = store.claim(kit::claim(3)).await;
    assert!(matches!(refused, Err(StoreError::Full { limit: "records_max" })), "{refused:?}");
    let cancel = onceward_store::Resolution {
        id: kit::id(3),
        change: ResolutionChange::Cancel { remember: kit::LEASE },
        label: kit::claim(3).label,
        audit: onceward_store::StoredAudit {
            at: onceward_core::time::Timestamp::default(),
            key: None,
            json: "{}".to_owned(),
        },
    };
    let refused = store.resolve(cancel).await;
    assert!(matches!(refused, Err(StoreError::Full { .. })), "{refused:?}");
    let settled = store.settle(kit::id(1), first, Settle::Complete(kit::answer(1))).await;
    assert_eq!(kit::decision(settled), Decision::Settled);
    assert!(matches!(kit::decision(store.claim(kit::claim(1)).await), Decision::Replay { .. }));
    assert_eq!(store.health().await.expect("it answers").records, [0, 1, 1, 0, 0]);
}

/// An effect that ran is remembered whatever it costs; the next key is not taken on.
// covers: S1, O6
#[tokio::test]
async fn an_answer_fits_always_and_the_next_key_does_not() {
    let store =
        limited(MemoryLimits { bytes_max: 2 * MemoryLimits::RECORD_BYTES, ..MemoryLimits::default() });
    let first = kit::granted(&store, 1).await;
    let settled = store.settle(kit::id(1), first, Settle::Complete(kit::answer(1))).await;
    assert_eq!(kit::decision(settled), Decision::Settled);
    let refused = store.claim(kit::claim(2)).await;
    assert!(matches!(refused, Err(StoreError::Full { limit: "bytes_max" })), "{refused:?}");
}

/// What is swept makes room again.
// covers: S1, T3
#[tokio::test]
async fn a_swept_record_makes_room() {
    let clock = kit::clock();
    let limits = MemoryLimits { records_max: 1, ..MemoryLimits::default() };
    let store = Memory::new(limits, clock.clone());
    kit::completed(&store, 1).await;
    let terms = kit::claim(1).terms;
    clock.advance(terms.retention + terms.remember);
    assert!(matches!(store.claim(kit::claim(2)).await, Err(StoreError::Full { .. })));
    assert_eq!(store.sweep(10).await.expect("it answers").forgotten, 1);
    kit::granted(&store, 2).await;
    let health = store.health().await.expect("it answers");
    assert_eq!((health.records, health.bytes > 0), ([0, 1, 0, 0, 0], true));
    // A settled claim that is in doubt stays beyond any sweep, and keeps its room.
    clock.advance(kit::LEASE);
    let doubt = kit::decision(store.claim(kit::claim(2)).await);
    assert!(matches!(doubt, Decision::Refuse(Denial::InDoubt { .. })), "{doubt:?}");
}
