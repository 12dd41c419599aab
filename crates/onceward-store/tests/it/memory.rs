//! The memory store: the suite, and its bounds.

use std::{sync::Arc, time::Duration};

use onceward_core::{
    actor::{ActorTag, Label, LookupId, Tenant},
    record::{AttemptId, Decision, Denial},
};
use onceward_store::{
    AuditLog, Claim, EntryFilter, ManualClock, Marked, Memory, MemoryLimits, ResolutionChange, Settle, Store,
    StoreError, Stored, Twin,
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

/// One actor cannot shut all others out, and his known keys are served on.
// covers: S1, K4
#[tokio::test]
async fn an_actor_who_floods_keys_fills_his_own_share() {
    let store = limited(MemoryLimits { records_per_actor_max: 2, ..MemoryLimits::default() });
    let of = |number, actor| {
        let mut claim = kit::claim(number);
        claim.label.actor = ActorTag::from_bytes(actor);
        claim
    };
    let (mallory, alice) = ([1; 8], [2; 8]);
    for number in [1, 2] {
        store.claim(of(number, mallory)).await.unwrap();
    }
    let refused = store.claim(of(3, mallory)).await;
    assert!(matches!(refused, Err(StoreError::Full { limit: "records_per_actor_max" })), "{refused:?}");
    store.claim(of(1, mallory)).await.unwrap();
    store.claim(of(4, alice)).await.unwrap();
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
        audit: None,
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

/// Marks take of the room of records, and give it back.
// covers: S1, P5, T3
#[tokio::test]
async fn marks_have_the_bounds_of_records() {
    let clock = kit::clock();
    let limits = MemoryLimits { records_max: 4, records_per_actor_max: 3, ..MemoryLimits::default() };
    let store = Memory::new(limits, clock.clone());
    kit::granted(&store, 1).await;
    for meaning in [1, 2] {
        assert_eq!(store.mark_twin(kit::bid(meaning, 1)).await.unwrap(), Marked::Held);
    }
    let refused = store.mark_twin(kit::bid(3, 1)).await;
    assert!(matches!(refused, Err(StoreError::Full { limit: "records_per_actor_max" })), "{refused:?}");
    let other = Twin { actor: ActorTag::from_bytes([2; 8]), ..kit::bid(3, 1) };
    assert_eq!(store.mark_twin(other).await.unwrap(), Marked::Held);
    let refused = store.mark_twin(Twin { actor: ActorTag::from_bytes([3; 8]), ..kit::bid(4, 1) }).await;
    assert!(matches!(refused, Err(StoreError::Full { limit: "records_max" })), "{refused:?}");
    // What is there is asked and taken over as ever.
    assert!(matches!(store.mark_twin(kit::bid(1, 2)).await.unwrap(), Marked::Taken(_)));
    clock.advance(kit::WINDOW);
    assert_eq!(store.mark_twin(kit::bid(1, 2)).await.unwrap(), Marked::Held);
    let bytes = async || store.health().await.expect("it answers").bytes;
    let full = bytes().await;
    assert_eq!(store.sweep(10).await.expect("it answers").marks, 2);
    assert_eq!(full - bytes().await, 2 * MemoryLimits::MARK_BYTES);
    assert_eq!(store.mark_twin(kit::bid(5, 1)).await.unwrap(), Marked::Held);
}

// covers: S1, P5
#[tokio::test]
async fn marks_count_against_the_bytes() {
    let bytes_max = MemoryLimits::MARK_BYTES + 1;
    let store = limited(MemoryLimits { bytes_max, ..MemoryLimits::default() });
    for meaning in [1, 2] {
        assert_eq!(store.mark_twin(kit::bid(meaning, 1)).await.unwrap(), Marked::Held);
    }
    let refused = store.mark_twin(kit::bid(3, 1)).await;
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

/// What is forgotten leaves nothing behind, and what comes after it is found and listed as if nothing had been there.
// covers: S1, T3
#[tokio::test]
async fn a_forgotten_record_leaves_an_empty_place() {
    let clock = kit::clock();
    let store = Memory::new(MemoryLimits::default(), clock.clone());
    let terms = kit::claim(0).terms;
    for round in 0..3 {
        let numbers = round * 1_000..(round + 1) * 1_000;
        for number in numbers.clone() {
            kit::completed(&store, number).await;
        }
        let page = store.scan(EntryFilter::default(), None, 2_000).await.expect("it answers");
        let listed: Vec<_> = page.entries.into_iter().map(|entry| entry.id).collect();
        assert_eq!(listed, numbers.clone().rev().map(kit::id).collect::<Vec<_>>());
        for number in numbers {
            let decision = kit::decision(store.claim(kit::claim(number)).await);
            let Decision::Replay { outcome, .. } = decision else { panic!("{number}: {decision:?}") };
            assert_eq!(outcome, Some(kit::answer(number)));
        }
        clock.advance(terms.retention + terms.remember);
        assert_eq!(store.sweep(2_000).await.expect("it answers").forgotten, 1_000);
        let health = store.health().await.expect("it answers");
        assert_eq!((health.records, health.bytes), ([0; 5], 0));
    }
}

/// Terms and tenants that records have in common are kept once; those that differ stay apart, however many there are.
// covers: T1
#[tokio::test]
async fn each_record_keeps_the_terms_and_the_tenant_of_its_own_claim() {
    let store = limited(MemoryLimits::default());
    // More than one part of the store keeps at hand, in each of its parts.
    let claims = (0..4_000_u64).map(|number| {
        let mut claim = kit::claim(number);
        claim.terms.retention += Duration::from_nanos(number / 2);
        claim.label.tenant = Tenant::named(&format!("tenant-{}", number / 3));
        claim
    });
    for claim in claims.clone() {
        let Decision::Execute(attempt) = kit::decision(store.claim(claim.clone()).await) else {
            panic!("{claim:?} was not granted");
        };
        let settled = store.settle(claim.id, attempt, Settle::Complete(kit::answer(1))).await;
        assert_eq!(kit::decision(settled), Decision::Settled);
    }
    for claim in claims {
        let Some(Stored::Record(record, label)) = store.get(claim.id).await.expect("it answers") else {
            panic!("{claim:?} is gone");
        };
        assert_eq!((record.terms, label), (Some(claim.terms), claim.label));
    }
}

/// A listing shows what runs under a key, not what once did.
#[tokio::test]
async fn another_attempt_brings_its_own_effect() {
    let store = limited(MemoryLimits::default());
    let first = kit::granted(&store, 1).await;
    let mut claim = kit::claim(1);
    claim.label.effect = "POST https://shop.example/v2/orders".to_owned();
    let waits = kit::decision(store.claim(Claim { attempt: AttemptId([2; 16]), ..claim.clone() }).await);
    assert!(matches!(waits, Decision::Wait { .. }), "{waits:?}");
    assert_eq!(label(&store, 1).await, kit::claim(1).label);
    let released = store.settle(kit::id(1), first, Settle::Release).await;
    assert_eq!(kit::decision(released), Decision::Settled);
    assert!(matches!(kit::decision(store.claim(claim.clone()).await), Decision::Execute(_)));
    assert_eq!(label(&store, 1).await, claim.label);
}

async fn label(store: &Memory, number: u64) -> Label {
    match store.get(kit::id(number)).await.expect("it answers") {
        Some(Stored::Record(_, label)) => label,
        other => panic!("expected a record, got {other:?}"),
    }
}
