//! The faulty store does what its plan says, and an asker that repeats itself comes through it.

use std::time::Duration;

use onceward_core::record::{Attempt, Decision};
use onceward_store::{Fault, Faults, Faulty, Memory, MemoryLimits, Reply, Settle, Store, StoreError};

use crate::kit::{self, claim, decision, id};

fn faulty(faults: Faults) -> Faulty<Memory> {
    Faulty::new(Memory::new(MemoryLimits::default(), kit::clock()), faults)
}

#[tokio::test]
async fn a_refused_operation_has_not_happened() {
    let store = faulty(Faults::scripted([Fault::Refused]));
    assert!(matches!(store.claim(claim(1)).await, Err(StoreError::Unavailable { .. })));
    assert_eq!(kit::record(store.inner(), 1).await, None);
    kit::granted(&store, 1).await;
}

#[tokio::test]
async fn an_operation_whose_answer_is_lost_has_happened() {
    for fault in [Fault::AnswerLost, Fault::Torn] {
        let store = faulty(Faults::scripted([fault]));
        assert!(matches!(store.claim(claim(1)).await, Err(StoreError::Unknown { .. })));
        assert!(kit::record(store.inner(), 1).await.is_some(), "{fault:?}");
        // The same attempt finds itself.
        kit::granted(&store, 1).await;
    }
}

// covers: L11
#[tokio::test]
async fn a_repeated_operation_says_the_same() {
    let store = faulty(Faults::scripted([Fault::Repeated; 2]));
    let attempt = kit::granted(&store, 1).await;
    let settled = store.settle(id(1), attempt, Settle::Complete(kit::answer(1))).await;
    assert_eq!(decision(settled), Decision::Settled);
}

#[tokio::test(start_paused = true)]
async fn a_late_operation_happens_after_its_delay() {
    let store = faulty(Faults::scripted([Fault::Late(Duration::from_secs(5))]));
    let begun = tokio::time::Instant::now();
    kit::granted(&store, 1).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
}

/// Asks until there is an answer, as the port allows.
async fn insisting<T>(ask: impl AsyncFn() -> Result<T, StoreError>) -> T {
    for _ in 0..100 {
        if let Ok(answer) = ask().await {
            return answer;
        }
    }
    panic!("a hundred faults in a row");
}

/// Half of all operations fail in some way, and each key still has one holder and one answer.
// covers: L1, L11
#[tokio::test(start_paused = true)]
async fn an_asker_that_repeats_itself_comes_through() {
    for seed in 0..50 {
        let store = faulty(Faults::seeded(seed, 500, Duration::from_millis(20)));
        let Reply::Decided { decision: Decision::Execute(attempt), .. } =
            insisting(|| store.claim(claim(1))).await
        else {
            panic!("seed {seed}: not granted");
        };
        let other = || {
            let attempt = onceward_core::record::AttemptId([2; 16]);
            store.claim(onceward_store::Claim { attempt, ..claim(1) })
        };
        assert!(matches!(decision(Ok(insisting(other).await)), Decision::Wait { .. }), "seed {seed}");
        let settle = |attempt: Attempt| store.settle(id(1), attempt, Settle::Complete(kit::answer(1)));
        assert_eq!(decision(Ok(insisting(|| settle(attempt)).await)), Decision::Settled, "seed {seed}");
        let replayed = decision(Ok(insisting(other).await));
        assert!(
            matches!(&replayed, Decision::Replay { outcome: Some(outcome), .. } if *outcome == kit::answer(1)),
            "seed {seed}: {replayed:?}"
        );
    }
}

#[tokio::test]
async fn the_same_seed_gives_the_same_faults() {
    let outcomes = async |seed| {
        let store = faulty(Faults::seeded(seed, 500, Duration::ZERO));
        let mut outcomes = Vec::new();
        for number in 0..100 {
            outcomes.push(format!("{:?}", store.claim(claim(number)).await));
        }
        outcomes
    };
    assert_eq!(outcomes(7).await, outcomes(7).await);
    assert_ne!(outcomes(7).await, outcomes(8).await);
}
