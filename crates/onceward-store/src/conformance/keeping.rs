//! Cases of retention, sweeping, barriers, damage and secrecy.

use std::time::Duration;

use onceward_core::{
    actor::{Actor, KeyTag, LookupId, Scope, Tenant},
    key::Key,
    record::{Decision, Denial, DoubtReason, OnLapse, State, TombstoneKind},
    secret::Secret,
    time::Timestamp,
};

use super::{
    Damage, Subject,
    kit::{self, LEASE, REMEMBER, RETENTION, answer, claim, decision, granted, id, record, resolution},
};
use crate::port::{
    Claim, Clock, EntryFilter, Reply, ResolutionChange, Settle, Store, Stored, Swept, Undated,
};

async fn completed(store: &dyn Store, key: u64) {
    let holder = granted(store, key, 1).await;
    let end = Settle::Complete(answer());
    assert_eq!(decision(store.settle(id(key), holder, end).await), Decision::Settled);
}

/// First the answer goes, and long after it the key.
// covers: T1, T2
pub async fn an_answer_expires_and_its_key_is_forgotten_later<S: Subject>(subject: S) {
    let (store, clock) = (subject.store(), subject.clock());
    completed(&*store, 1).await;
    completed(&*store, 2).await;
    let expires_at = clock.now().after(RETENTION);
    clock.set(expires_at);
    // Whether the sweep came by or not, the answer is not given any more.
    assert_eq!(decision(store.claim(claim(1, 2)).await), Decision::Refuse(Denial::Expired));
    kit::sweep_all(&*store).await;
    for key in [1, 2] {
        let record = record(&*store, key).await.expect("a tombstone");
        let forget_at = expires_at.after(REMEMBER);
        assert_eq!(record.state, State::Tombstone { kind: TombstoneKind::Expired, forget_at });
        assert_eq!(record.since, expires_at);
    }
    clock.set(expires_at.after(REMEMBER));
    assert_eq!(store.sweep(100).await.expect("the store answers").forgotten, 2);
    assert_eq!(store.get(id(1)).await.expect("the store answers"), None);
    granted(&*store, 2, 3).await;
}

/// What is not settled stays, for as long as it takes.
// covers: L7
pub async fn a_sweep_spares_what_is_unsettled<S: Subject>(subject: S) {
    let (store, clock) = (subject.store(), subject.clock());
    let mut safe = claim(1, 1);
    safe.terms.on_lapse = OnLapse::Execute;
    decision(store.claim(safe).await);
    let holder = granted(&*store, 2, 1).await;
    let end = Settle::Doubt(DoubtReason::NoAnswer);
    store.settle(id(2), holder, end).await.expect("the store answers");
    granted(&*store, 3, 1).await;
    clock.advance(RETENTION + REMEMBER + REMEMBER);
    kit::sweep_all(&*store).await;
    let mut states = Vec::new();
    for key in 1..=3 {
        states.push(record(&*store, key).await.map(|record| record.state));
    }
    assert!(matches!(states[0], Some(State::Claimed { .. })), "{states:?}");
    assert!(matches!(states[1], Some(State::InDoubt { reason: DoubtReason::NoAnswer, .. })), "{states:?}");
    assert!(matches!(states[2], Some(State::InDoubt { reason: DoubtReason::LeaseLapsed, .. })), "{states:?}");
}

/// A round visits what it was asked to at most, and what fell due first comes first.
// covers: T3
pub async fn a_sweep_goes_in_bounded_rounds_from_the_oldest_on<S: Subject>(subject: S) {
    let (store, clock) = (subject.store(), subject.clock());
    for key in 0..10 {
        completed(&*store, key).await;
        clock.advance(Duration::from_secs(1));
    }
    assert_eq!(store.sweep(100).await.expect("the store answers"), Swept::default());
    clock.advance(RETENTION);
    for done in [4, 8] {
        let swept = store.sweep(4).await.expect("the store answers");
        assert_eq!(swept, Swept { expired: 4, more: true, ..Swept::default() });
        for key in 0..10 {
            let state = record(&*store, key).await.map(|record| record.state);
            let gone = matches!(state, Some(State::Tombstone { .. }));
            assert_eq!(gone, key < done, "key {key} of {done} swept: {state:?}");
        }
    }
    let swept = store.sweep(4).await.expect("the store answers");
    assert_eq!(swept, Swept { expired: 2, more: false, ..Swept::default() });
}

/// Not after a purge, and not after a crash.
// covers: L14
pub async fn an_epoch_never_returns<S: Subject>(mut subject: S) {
    let mut last = granted(&*subject.store(), 1, 1).await;
    for round in 2..6 {
        let (store, clock) = (subject.store(), subject.clock());
        store.settle(id(1), last, Settle::Complete(answer())).await.expect("the store answers");
        clock.advance(RETENTION + REMEMBER);
        kit::sweep_all(&*store).await;
        assert_eq!(store.get(id(1)).await.expect("the store answers"), None);
        drop(store);
        if round % 2 == 0 {
            subject.crash().await;
        }
        let next = granted(&*subject.store(), 1, round).await;
        assert!(next.epoch > last.epoch, "{next:?} after {last:?}");
        last = next;
    }
}

/// A barrier hides nothing that is known and frees nothing that is dated behind it.
// covers: T5, K7, D5
pub async fn unknown_keys_behind_the_barrier_are_refused<S: Subject>(subject: S) {
    let (store, clock) = (subject.store(), subject.clock());
    let barrier = store.health().await.expect("the store answers").history_barrier;
    let dated = |key, issued_at| Claim { issued_at: Some(issued_at), ..claim(key, 1) };
    let undated = |key, undated| Claim { undated, ..claim(key, 1) };
    let runs = |reply| matches!(decision(reply), Decision::Execute(_));
    let Some(barrier) = barrier else {
        // Nothing was ever lost: no key is too old to be new.
        assert!(runs(store.claim(dated(1, Timestamp::from_ms(0))).await));
        assert!(runs(store.claim(undated(2, Undated::Refuse)).await));
        return;
    };
    let before = Timestamp::from_ms(barrier.as_ms() - 1);
    let lost = Reply::HistoryLost { barrier };
    assert_eq!(store.claim(dated(1, before)).await.expect("the store answers"), lost);
    assert_eq!(store.claim(undated(2, Undated::Refuse)).await.expect("the store answers"), lost);
    assert_eq!(store.get(id(1)).await.expect("the store answers"), None);
    assert!(runs(store.claim(dated(3, barrier)).await));
    assert!(runs(store.claim(undated(4, Undated::Execute)).await));
    // Known keys are beyond the question, whatever they say of their age.
    assert!(matches!(
        decision(store.claim(Claim { attempt: claim(3, 2).attempt, ..dated(3, before) }).await),
        Decision::Wait { .. }
    ));
    // Whoever cancels a key behind the barrier does not know either whether it ran before the loss.
    assert_eq!(decision(store.resolve(cancellation(5)).await), Decision::Settled);
    assert_eq!(store.claim(dated(5, before)).await.expect("the store answers"), lost);
    let cancelled = Decision::Refuse(Denial::Cancelled);
    assert_eq!(decision(store.claim(dated(5, barrier)).await), cancelled);
    // A forgotten key is unknown again, swept or not.
    clock.advance(LEASE);
    assert_eq!(store.claim(dated(5, before)).await.expect("the store answers"), lost);
}

/// Whoever restored a backup says so: what is unknown and was issued before is refused from then on, and nothing takes that back.
// covers: T5
pub async fn a_barrier_is_raised_by_hand_and_never_falls<S: Subject>(subject: S) {
    let (store, clock) = (subject.store(), subject.clock());
    clock.advance(RETENTION);
    let raise = async |to| store.raise_barrier(to).await.expect("the store answers");
    let dated = |key, issued_at| Claim { issued_at: Some(issued_at), ..claim(key, 1) };
    granted(&*store, 1, 1).await;
    let restored = clock.now();
    let before = Timestamp::from_ms(restored.as_ms() - 1);
    clock.advance(LEASE / 2);
    assert_eq!(raise(Some(restored)).await, restored);
    assert_eq!(store.health().await.expect("the store answers").history_barrier, Some(restored));
    let lost = Reply::HistoryLost { barrier: restored };
    assert_eq!(store.claim(dated(2, before)).await.expect("the store answers"), lost);
    assert!(matches!(decision(store.claim(dated(3, restored)).await), Decision::Execute(_)));
    // What is known is beyond the question.
    let again = Claim { attempt: claim(1, 2).attempt, ..dated(1, before) };
    assert!(matches!(decision(store.claim(again).await), Decision::Wait { .. }));
    assert_eq!(raise(Some(before)).await, restored, "it fell");
    // Nothing was lost that is not made yet.
    let now = clock.now();
    assert_eq!(raise(Some(now.after(LEASE))).await, now);
    clock.advance(LEASE);
    assert_eq!(raise(None).await, clock.now());
}

fn cancellation(key: u64) -> crate::port::Resolution {
    resolution(key, ResolutionChange::Cancel { remember: LEASE })
}

/// What cannot be read is refused to everybody, and is neither run, nor swept, nor shown.
// covers: L8
pub async fn a_damaged_record_is_refused_and_kept<S: Subject>(mut subject: S) {
    let store = subject.store();
    completed(&*store, 1).await;
    let holder = granted(&*store, 2, 1).await;
    drop(store);
    for key in [1, 2] {
        if subject.damage(id(key)).await == Damage::Impossible {
            return;
        }
    }
    // The process that wrote a claim may remember it rightly; the next one has only what is there.
    subject.crash().await;
    let (store, clock) = (subject.store(), subject.clock());
    let all_corrupt = async || {
        for key in [1, 2] {
            let replies = [
                store.claim(claim(key, 2)).await,
                store.renew(id(key), holder).await,
                store.settle(id(key), holder, Settle::Complete(answer())).await,
                store.settle(id(key), holder, Settle::Release).await,
                store.resolve(cancellation(key)).await,
            ];
            for reply in replies {
                assert_eq!(reply.expect("the store answers"), Reply::Corrupt);
            }
            assert_eq!(store.get(id(key)).await.expect("the store answers"), Some(Stored::Corrupt));
        }
    };
    all_corrupt().await;
    let page = store.scan(EntryFilter::default(), None, 10).await.expect("the store answers");
    assert_eq!((page.entries.len(), page.corrupt), (0, 2));
    clock.advance(RETENTION + REMEMBER + REMEMBER);
    // It must not stand in the sweep's way either.
    completed(&*store, 3).await;
    clock.advance(RETENTION);
    kit::sweep_all(&*store).await;
    assert_eq!(store.sweep(1).await.expect("the store answers"), Swept::default());
    assert!(matches!(record(&*store, 3).await.map(|record| record.state), Some(State::Tombstone { .. })));
    all_corrupt().await;
}

/// What a client sent to name its action and itself is in no file and no debugging text of the store.
// covers: K6
pub async fn raw_keys_and_actors_are_nowhere<S: Subject>(subject: S) {
    const KEY: &str = "raw-key-7f3a91c4";
    const IDENTITY: &[u8] = b"Bearer raw-credential-55e0d2";
    let (store, secret) = (subject.store(), Secret::new([9; 32]));
    let key = Key::from_field(KEY.as_bytes()).expect("a valid key");
    let (tenant, actor) = (Tenant::single(), Actor::new("authorization", IDENTITY));
    let id = LookupId::of(&secret, &tenant, &actor, &Scope::Actor, &key);
    let mut claim = Claim { id, ..claim(1, 1) };
    claim.label.actor = actor.tag(&secret, &tenant);
    claim.label.key = KeyTag::of(&secret, &key);
    let Decision::Execute(holder) = decision(store.claim(claim.clone()).await) else { panic!("not granted") };
    store.settle(id, holder, Settle::Complete(answer())).await.expect("the store answers");
    // It does hold the record, so the search below is not one of nothing.
    assert!(store.get(id).await.expect("the store answers").is_some());
    let written = subject.bytes();
    let said = format!("{store:?} {:?} {claim:?} {id:?}", subject.audit());
    for raw in [KEY.as_bytes(), IDENTITY, b"raw-credential-55e0d2"] {
        assert!(!written.windows(raw.len()).any(|window| window == raw), "in what was written");
        assert!(!said.as_bytes().windows(raw.len()).any(|window| window == raw), "in debugging text");
    }
}

/// Counts by state, through the life of records.
// covers: A2
pub async fn health_counts_what_is_held<S: Subject>(subject: S) {
    let (store, clock) = (subject.store(), subject.clock());
    let counts = async || store.health().await.expect("the store answers").records;
    assert_eq!(counts().await, [0, 0, 0, 0, 0]);
    completed(&*store, 1).await;
    for key in 2..=4 {
        granted(&*store, key, 1).await;
    }
    let holder = granted(&*store, 5, 1).await;
    store.settle(id(5), holder, Settle::Release).await.expect("the store answers");
    store.resolve(cancellation(6)).await.expect("the store answers");
    assert_eq!(counts().await, [1, 3, 1, 0, 1]);
    clock.advance(LEASE);
    kit::sweep_all(&*store).await;
    assert_eq!(counts().await, [1, 0, 1, 3, 0]);
}
