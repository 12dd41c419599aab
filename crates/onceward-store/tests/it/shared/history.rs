//! A server that lost what another had acknowledged.

use std::time::Duration;

use onceward_core::record::Decision;
use onceward_store::{Claim, Clock, Cut, Fault, Faults, Reply, Settle, Store, StoreError, Table, Undated};

use super::kit::{again, granted_to, open};
use crate::kit::{self, answer, claim, completed, decision, granted, id};

/// Whichever process meets it first, a key from before the fail-over that nobody knows is refused by all of them.
// covers: T5, K7
#[tokio::test]
async fn a_key_that_a_fail_over_lost_is_not_run_again() {
    let (table, clock) = (Table::default(), kit::clock());
    let (here, there) = (open(&table, &clock, 1).await, open(&table, &clock, 2).await);
    let issued_at = clock.now();
    completed(&here, 2).await;
    let replica = table.replica();
    completed(&here, 1).await;
    clock.advance(Duration::from_secs(1));
    table.fail_over(replica);
    let barrier = clock.now();
    let dated = |number| Claim { issued_at: Some(issued_at), ..again(number, 2) };
    let lost = Reply::HistoryLost { barrier };
    for store in [&there, &here] {
        assert_eq!(store.claim(dated(1)).await.expect("the store answers"), lost);
        let undated = Claim { undated: Undated::Refuse, ..again(1, 2) };
        assert_eq!(store.claim(undated).await.expect("the store answers"), lost);
        // What was kept is replayed, and what is new runs.
        let replay = decision(store.claim(dated(2)).await);
        assert!(matches!(replay, Decision::Replay { .. }), "{replay:?}");
        assert_eq!(store.health().await.expect("the store answers").history_barrier, Some(barrier));
    }
    let new = decision(there.claim(Claim { issued_at: Some(barrier), ..claim(3) }).await);
    assert!(matches!(new, Decision::Execute(_)), "{new:?}");
    assert_eq!(kit::record(&here, 1).await, None);
    // A process that starts later goes by it, too.
    let later = open(&table, &clock, 3).await;
    assert_eq!(later.claim(dated(1)).await.expect("the store answers"), lost);
}

/// A key that had been freed is known, and still not run again: what ran under it afterwards may be what was lost.
// covers: T5, L5
#[tokio::test]
async fn a_released_key_that_ran_since_is_not_run_again_after_a_fail_over() {
    let (table, clock) = (Table::default(), kit::clock());
    let (here, there) = (open(&table, &clock, 1).await, open(&table, &clock, 2).await);
    let issued_at = clock.now();
    let dated = |number, attempt| Claim { issued_at: Some(issued_at), ..again(number, attempt) };
    for number in 1..=2 {
        let first = granted(&here, number).await;
        assert_eq!(decision(here.settle(id(number), first, Settle::Release).await), Decision::Settled);
    }
    let late = granted(&here, 4).await;
    let replica = table.replica();
    let second = granted_to(&here, dated(1, 2)).await;
    let settled = here.settle(id(1), second, Settle::Complete(answer(1))).await;
    assert_eq!(decision(settled), Decision::Settled);
    clock.advance(Duration::from_secs(1));
    table.fail_over(replica);
    let lost = Reply::HistoryLost { barrier: clock.now() };
    assert_eq!(there.claim(dated(1, 3)).await.expect("the store answers"), lost);
    assert_eq!(here.claim(dated(1, 3)).await.expect("the store answers"), lost);
    // So is one that is freed only now: it may have been freed, and have run again, before.
    clock.advance(Duration::from_secs(1));
    assert_eq!(decision(here.settle(id(4), late, Settle::Release).await), Decision::Settled);
    assert_eq!(there.claim(dated(4, 2)).await.expect("the store answers"), lost);
    // What is claimed and freed after that is free.
    let third = granted(&here, 3).await;
    assert_eq!(decision(here.settle(id(3), third, Settle::Release).await), Decision::Settled);
    granted_to(&there, dated(3, 2)).await;
}

/// The server failed over while an operation was repeated: what was claimed since its first try may be lost, and lies behind the barrier.
// covers: T5
#[tokio::test(start_paused = true)]
async fn the_barrier_is_raised_to_the_present_of_the_try_that_finds_the_loss() {
    for asks_health in [false, true] {
        let (table, clock) = (Table::default(), kit::clock());
        let store = open(&table, &clock, 1).await;
        let (replica, before) = (table.replica(), table.calls());
        let issued_at = clock.now().after(Duration::from_millis(500));
        table.fail(Faults::scripted([Fault::Refused]));
        let fail_over = async {
            while table.calls() == before {
                tokio::task::yield_now().await;
            }
            clock.advance(Duration::from_secs(1));
            table.fail_over(replica);
            clock.now()
        };
        if asks_health {
            let (health, barrier) = tokio::join!(store.health(), fail_over);
            assert_eq!(health.expect("the store answers").history_barrier, Some(barrier));
        } else {
            let dated = Claim { issued_at: Some(issued_at), ..claim(1) };
            let (told, barrier) = tokio::join!(store.claim(dated), fail_over);
            assert_eq!(told.expect("the store answers"), Reply::HistoryLost { barrier });
        }
    }
}

/// The holder of a claim that was lost has an answer, and nobody may take it for the record's.
// covers: T5, L2
#[tokio::test]
async fn a_claim_that_a_fail_over_lost_cannot_be_settled() {
    let (table, clock) = (Table::default(), kit::clock());
    let store = open(&table, &clock, 1).await;
    let replica = table.replica();
    let holder = granted(&store, 1).await;
    table.fail_over(replica);
    for end in [Settle::Complete(answer(1)), Settle::Release] {
        let stale = decision(store.settle(id(1), holder, end).await);
        assert!(matches!(stale, Decision::Stale(_)), "{stale:?}");
    }
    assert_eq!(kit::record(&store, 1).await, None);
}

/// Where one part of a database is away, its records fail, and those beside them in the same exchange do not.
// covers: S2, L11
#[tokio::test]
async fn a_part_that_is_away_fails_alone() {
    let (table, clock) = (Table::default(), kit::clock());
    let store = open(&table, &clock, 1).await;
    table.cut(id(1), Some(Cut::Away));
    table.cut(id(2), Some(Cut::Mute));
    let (away, mute, sound) =
        tokio::join!(store.claim(claim(1)), store.claim(claim(2)), store.claim(claim(3)));
    assert!(matches!(away, Err(StoreError::Unavailable { .. })), "{away:?}");
    assert!(matches!(mute, Err(StoreError::Unknown { .. })), "{mute:?}");
    assert!(matches!(decision(sound), Decision::Execute(_)));
    table.cut(id(1), None);
    table.cut(id(2), None);
    assert_eq!(kit::record(&store, 1).await, None);
    assert!(kit::record(&store, 2).await.is_some());
    for number in 1..=3 {
        granted(&store, number).await;
    }
}
