//! Cases of claims, leases, epochs and repetition.

use std::{sync::Arc, time::Duration};

use onceward_core::{
    fingerprint::Version,
    record::{
        Alarm, Attempt, AttemptId, Decision, Denial, DoubtReason, Drift, Epoch, OnLapse, OnMismatch, State,
    },
    time::Timestamp,
};

use super::{
    STARTED_MS, Subject, Survival,
    kit::{self, LEASE, answer, claim, decision, granted, id, record},
};
use crate::port::{Claim, Clock, Reply, Settle};

/// Of many claims at one instant one is granted, and the others wait for it.
// covers: L1
pub async fn one_of_many_simultaneous_claims_wins<S: Subject>(subject: S) {
    const CLAIMANTS: u8 = 32;
    for key in 0..8 {
        let start = Arc::new(tokio::sync::Barrier::new(usize::from(CLAIMANTS)));
        let mut claimants = tokio::task::JoinSet::new();
        for attempt in 0..CLAIMANTS {
            let (store, start) = (subject.store(), Arc::clone(&start));
            claimants.spawn(async move {
                start.wait().await;
                decision(store.claim(claim(key, attempt)).await)
            });
        }
        let decisions = claimants.join_all().await;
        let won = decisions.iter().filter(|decision| matches!(decision, Decision::Execute(_))).count();
        let waits = Decision::Wait { lease_left: LEASE, drift: Drift::Same };
        let waiting = decisions.iter().filter(|decision| **decision == waits).count();
        assert_eq!((won, waiting), (1, usize::from(CLAIMANTS) - 1));
    }
}

/// A wrong epoch and a wrong name are both strangers, whatever they try.
// covers: L2, L14
pub async fn who_does_not_hold_a_claim_changes_nothing<S: Subject>(subject: S) {
    let store = subject.store();
    let holder = granted(&*store, 1, 1).await;
    let before = record(&*store, 1).await;
    let strangers = [
        Attempt { epoch: Epoch(holder.epoch.0 - 1), ..holder },
        Attempt { epoch: Epoch(holder.epoch.0 + 1), ..holder },
        Attempt { id: AttemptId([2; 16]), ..holder },
    ];
    for stranger in strangers {
        assert_eq!(decision(store.renew(id(1), stranger).await), Decision::Stale(Alarm::None));
        let ends = [Settle::Complete(answer()), Settle::Release, Settle::Doubt(DoubtReason::NoAnswer)];
        for end in ends {
            assert_eq!(decision(store.settle(id(1), stranger, end).await), Decision::Stale(Alarm::None));
        }
    }
    assert_eq!(record(&*store, 1).await, before);
    // Nor does a stranger bring a key into being.
    assert_eq!(decision(store.renew(id(2), holder).await), Decision::Stale(Alarm::None));
    assert_eq!(
        decision(store.settle(id(2), holder, Settle::Complete(answer())).await),
        Decision::Stale(Alarm::None)
    );
    assert_eq!(store.get(id(2)).await.expect("the store answers"), None);
}

/// Neither a duplicate nor another request under the key leaves a trace, not even in the label.
// covers: L2, F6
pub async fn a_refused_duplicate_changes_nothing<S: Subject>(subject: S) {
    let store = subject.store();
    let holder = granted(&*store, 1, 1).await;
    let duplicate = || Claim { label: kit::label(9), ..claim(1, 2) };
    let other = || Claim { fingerprint: kit::fingerprint(1, 2), ..duplicate() };
    let drifted = || {
        let terms = onceward_core::record::Terms { on_mismatch: OnMismatch::Replay, ..kit::terms() };
        Claim { terms, ..other() }
    };

    let running = store.get(id(1)).await.expect("the store answers");
    let wait = |drift| Decision::Wait { lease_left: LEASE, drift };
    assert_eq!(decision(store.claim(duplicate()).await), wait(Drift::Same));
    assert_eq!(decision(store.claim(other()).await), Decision::Refuse(Denial::KeyReused));
    assert_eq!(decision(store.claim(drifted()).await), wait(Drift::Drifted));
    assert_eq!(store.get(id(1)).await.expect("the store answers"), running);

    store.settle(id(1), holder, Settle::Complete(answer())).await.expect("the store answers");
    let done = store.get(id(1)).await.expect("the store answers");
    let replay = |drift| Decision::Replay { outcome: Some(answer()), age: Duration::ZERO, drift };
    assert_eq!(decision(store.claim(duplicate()).await), replay(Drift::Same));
    assert_eq!(decision(store.claim(other()).await), Decision::Refuse(Denial::KeyReused));
    assert_eq!(decision(store.claim(drifted()).await), replay(Drift::Drifted));
    assert_eq!(store.get(id(1)).await.expect("the store answers"), done);
}

/// A record is compared under the version it was made with.
// covers: F1
pub async fn a_fingerprint_of_another_version_is_asked_for<S: Subject>(subject: S) {
    let store = subject.store();
    granted(&*store, 1, 1).await;
    let elsewise = Claim { fingerprint: kit::fingerprint(0, 1), ..claim(1, 2) };
    assert_eq!(decision(store.claim(elsewise).await), Decision::Compare(Version::C1));
}

/// The lease counts from the renewal.
// covers: L3
pub async fn a_renewal_extends_the_lease<S: Subject>(subject: S) {
    let (store, clock) = (subject.store(), subject.clock());
    let holder = granted(&*store, 1, 1).await;
    clock.advance(Duration::from_secs(20));
    let renewed_at = clock.now();
    assert_eq!(decision(store.renew(id(1), holder).await), Decision::Renewed(renewed_at.after(LEASE)));
    clock.advance(Duration::from_secs(20));
    let lease_left = Duration::from_secs(10);
    assert_eq!(decision(store.claim(claim(1, 2)).await), Decision::Wait { lease_left, drift: Drift::Same });
}

/// Who finds a lapsed claim may not run it, and its holder cannot renew it any more.
// covers: L4, D1
pub async fn a_lapsed_lease_is_doubted_by_the_next_arrival<S: Subject>(subject: S) {
    let (store, clock) = (subject.store(), subject.clock());
    let holder = granted(&*store, 1, 1).await;
    let sent_at = clock.now();
    clock.advance(LEASE);
    let doubted = Decision::Refuse(Denial::InDoubt { reason: DoubtReason::LeaseLapsed, sent_at });
    assert_eq!(decision(store.claim(claim(1, 2)).await), doubted);
    assert_eq!(decision(store.renew(id(1), holder).await), Decision::Stale(Alarm::None));
    clock.advance(Duration::from_secs(1));
    assert_eq!(decision(store.claim(claim(1, 3)).await), doubted);
}

/// Nobody has to come by.
// covers: L4
pub async fn a_lapsed_lease_is_doubted_by_the_sweep<S: Subject>(subject: S) {
    let (store, clock) = (subject.store(), subject.clock());
    granted(&*store, 1, 1).await;
    clock.advance(LEASE - Duration::from_millis(1));
    assert_eq!(store.sweep(100).await.expect("the store answers").doubted, 0);
    clock.advance(Duration::from_millis(1));
    assert_eq!(store.sweep(100).await.expect("the store answers").doubted, 1);
    let state = record(&*store, 1).await.map(|record| record.state);
    let reason = DoubtReason::LeaseLapsed;
    assert!(matches!(state, Some(State::InDoubt { reason: found, .. }) if found == reason), "{state:?}");
}

/// The route's choice, and the sweep leaves it to the next arrival.
// covers: L4
pub async fn a_lapsed_lease_runs_again_where_that_is_safe<S: Subject>(subject: S) {
    let (store, clock) = (subject.store(), subject.clock());
    let safe = |attempt| {
        let mut claim = claim(1, attempt);
        claim.terms.on_lapse = OnLapse::Execute;
        claim
    };
    let Decision::Execute(first) = decision(store.claim(safe(1)).await) else { panic!("not granted") };
    clock.advance(LEASE);
    kit::sweep_all(&*store).await;
    let Decision::Execute(second) = decision(store.claim(safe(2)).await) else { panic!("not granted") };
    assert!(second.epoch > first.epoch, "{second:?} after {first:?}");
    // The former holder's answer is not the record's.
    assert_eq!(
        decision(store.settle(id(1), first, Settle::Complete(answer())).await),
        Decision::Stale(Alarm::None)
    );
}

/// A clock that is set back, against its promise, does not take the store's time back.
// covers: L9
pub async fn a_clock_that_steps_back_frees_no_lease<S: Subject>(subject: S) {
    let (store, clock) = (subject.store(), subject.clock());
    granted(&*store, 1, 1).await;
    let claimed_at = clock.now();
    clock.set(Timestamp::from_ms(STARTED_MS - 3_600_000));
    let reply = store.claim(claim(1, 2)).await.expect("the store answers");
    let waits = Decision::Wait { lease_left: LEASE, drift: Drift::Same };
    assert_eq!(reply, Reply::Decided { decision: waits, at: claimed_at, since: claimed_at });
    // Nor does the lease last for an hour longer.
    clock.set(claimed_at.after(LEASE));
    let reply = decision(store.claim(claim(1, 2)).await);
    assert!(matches!(reply, Decision::Refuse(Denial::InDoubt { .. })), "{reply:?}");
}

/// Proof that nothing happened frees the key; its epoch is spent.
// covers: L5, L14
pub async fn a_released_key_runs_again_under_a_higher_epoch<S: Subject>(subject: S) {
    let store = subject.store();
    let first = granted(&*store, 1, 1).await;
    assert_eq!(decision(store.settle(id(1), first, Settle::Release).await), Decision::Settled);
    // Nothing happened under the key, so another request may take it.
    let other = Claim { fingerprint: kit::fingerprint(1, 2), ..claim(1, 2) };
    let Decision::Execute(second) = decision(store.claim(other).await) else { panic!("not granted") };
    assert!(second.epoch > first.epoch, "{second:?} after {first:?}");
}

/// A lost answer is asked for again, and is the same.
// covers: L11
pub async fn every_step_may_be_repeated<S: Subject>(subject: S) {
    let (store, clock) = (subject.store(), subject.clock());
    let holder = granted(&*store, 1, 1).await;
    assert_eq!(granted(&*store, 1, 1).await, holder);
    let renewed = Decision::Renewed(clock.now().after(LEASE));
    assert_eq!(decision(store.renew(id(1), holder).await), renewed);
    assert_eq!(decision(store.renew(id(1), holder).await), renewed);
    let ends = [
        (1, Settle::Complete(answer())),
        (2, Settle::Release),
        (3, Settle::Doubt(DoubtReason::AmbiguousStatus(504))),
    ];
    for (key, end) in ends {
        let holder = granted(&*store, key, 1).await;
        assert_eq!(decision(store.settle(id(key), holder, end.clone()).await), Decision::Settled);
        let settled = record(&*store, key).await;
        clock.advance(Duration::from_secs(1));
        assert_eq!(decision(store.settle(id(key), holder, end).await), Decision::Settled);
        assert_eq!(record(&*store, key).await, settled);
    }
}

/// An operation that nobody waits for any more happens whole, or not at all.
// covers: L6, L11
pub async fn an_operation_whose_asker_goes_away_is_whole<S: Subject>(subject: S) {
    let store = subject.store();
    for key in 0..64 {
        drop(store.claim(claim(key, 1)));
        let mut claiming = store.claim(claim(key, 1));
        drop(poll_once(&mut claiming).await);
        drop(claiming);
        // Asked again, it is the same attempt, whether the first one got through or not.
        let holder = granted(&*store, key, 1).await;
        let mut settling = store.settle(id(key), holder, Settle::Complete(answer()));
        drop(poll_once(&mut settling).await);
        drop(settling);
        let settled = decision(store.settle(id(key), holder, Settle::Complete(answer())).await);
        assert_eq!(settled, Decision::Settled);
        let state = record(&*store, key).await.map(|record| record.state);
        assert!(
            matches!(&state, Some(State::Done { attempt, outcome, .. })
                if *attempt == holder && *outcome == Some(answer())),
            "{state:?}"
        );
    }
}

/// Polls a future once.
async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|context| match std::pin::Pin::new(&mut *future).poll(context) {
        std::task::Poll::Ready(output) => std::task::Poll::Ready(Some(output)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

/// What a dead process held is in doubt: at once, or when its lease has lapsed; or it is behind the history barrier.
// covers: L4, L10, T5
pub async fn a_crash_leaves_no_claim_behind<S: Subject>(mut subject: S) {
    let store = subject.store();
    let holder = granted(&*store, 1, 1).await;
    let mut safe = claim(2, 1);
    safe.terms.on_lapse = OnLapse::Execute;
    decision(store.claim(safe).await);
    let done = granted(&*store, 3, 1).await;
    store.settle(id(3), done, Settle::Complete(answer())).await.expect("the store answers");
    drop(store);
    let (clock, claimed_at) = (subject.clock(), subject.clock().now());
    clock.advance(Duration::from_secs(1));

    let survival = subject.crash().await;
    let store = subject.store();
    let retry = |key| Claim { issued_at: Some(claimed_at), ..claim(key, 2) };
    let reason = match survival {
        Survival::Records => DoubtReason::HolderGone,
        Survival::Leases => {
            let waits = Decision::Wait { lease_left: LEASE - Duration::from_secs(1), drift: Drift::Same };
            for key in [1, 2] {
                assert_eq!(decision(store.claim(retry(key)).await), waits);
            }
            clock.set(claimed_at.after(LEASE));
            DoubtReason::LeaseLapsed
        }
        Survival::Nothing => {
            for key in [1, 3] {
                let reply = store.claim(retry(key)).await.expect("the store answers");
                assert!(matches!(reply, Reply::HistoryLost { .. }), "{reply:?}");
            }
            return;
        }
    };
    let doubt = Decision::Refuse(Denial::InDoubt { reason, sent_at: claimed_at });
    assert_eq!(decision(store.claim(retry(1)).await), doubt);
    let third = decision(store.claim(retry(3)).await);
    assert!(matches!(third, Decision::Replay { outcome: Some(_), .. }), "{third:?}");
    let second = decision(store.claim(retry(2)).await);
    assert!(matches!(second, Decision::Execute(_)), "{second:?}");
    // It may have been merely slow: its answer counts still (L13).
    let late = decision(store.settle(id(1), holder, Settle::Complete(answer())).await);
    assert_eq!(late, Decision::Settled);
}
