//! Cases of doubt, verdicts and cancellation.

use std::{collections::BTreeMap, time::Duration};

use onceward_core::record::{
    Alarm, Attempt, Decision, Denial, DoubtReason, Drift, Epoch, Interest, OnLapse, Settlement, State,
    Verdict,
};

use super::{
    Subject, Survival,
    kit::{self, LEASE, REMEMBER, answer, claim, decision, granted, id, record, resolution},
};
use crate::port::{AuditCursor, Claim, Clock, ResolutionChange, Settle, Store};

const CANCEL: ResolutionChange = ResolutionChange::Cancel { remember: REMEMBER };

async fn doubted(store: &dyn Store, key: u64) -> Attempt {
    doubted_as(store, key, 1).await
}

async fn doubted_as(store: &dyn Store, key: u64, attempt: u8) -> Attempt {
    let holder = granted(store, key, attempt).await;
    let end = Settle::Doubt(DoubtReason::AnswerCut);
    assert_eq!(decision(store.settle(id(key), holder, end).await), Decision::Settled);
    holder
}

async fn resolved(store: &dyn Store, key: u64, change: ResolutionChange) -> Decision {
    decision(store.resolve(resolution(key, change)).await)
}

fn judging(judged: Attempt, verdict: Verdict) -> ResolutionChange {
    ResolutionChange::Verdict { verdict, judged: judged.epoch }
}

/// The attempt itself knows best.
// covers: L13
pub async fn a_late_answer_ends_a_doubt<S: Subject>(subject: S) {
    let store = subject.store();
    let holder = doubted(&*store, 1).await;
    assert_eq!(decision(store.settle(id(1), holder, Settle::Complete(answer())).await), Decision::Settled);
    let state = record(&*store, 1).await.map(|record| record.state);
    assert!(matches!(state, Some(State::Done { how: Settlement::AnsweredLate, .. })), "{state:?}");
    // And so does its proof that nothing happened.
    let holder = doubted(&*store, 2).await;
    assert_eq!(decision(store.settle(id(2), holder, Settle::Release).await), Decision::Settled);
    granted(&*store, 2, 2).await;
}

/// Absence was certified, the key ran again, and then the first answers after all.
// covers: L13
pub async fn an_effect_after_a_verdict_of_absence_raises_the_alarm<S: Subject>(subject: S) {
    let store = subject.store();
    let first = doubted(&*store, 1).await;
    assert_eq!(resolved(&*store, 1, judging(first, Verdict::Absent)).await, Decision::Settled);
    let alarm = Decision::Stale(Alarm::EffectAfterRelease);
    assert_eq!(decision(store.settle(id(1), first, Settle::Complete(answer())).await), alarm);
    let second = granted(&*store, 1, 2).await;
    assert_eq!(decision(store.settle(id(1), first, Settle::Complete(answer())).await), alarm);
    assert_eq!(decision(store.settle(id(1), second, Settle::Complete(answer())).await), Decision::Settled);
}

/// Verdicts are about doubts; not knowing is no verdict.
// covers: D3
pub async fn a_verdict_ends_a_doubt_and_only_a_doubt<S: Subject>(subject: S) {
    let store = subject.store();
    let happened = |judged| judging(judged, Verdict::Happened(Some(answer())));
    let unclaimed =
        ResolutionChange::Verdict { verdict: Verdict::Happened(Some(answer())), judged: Epoch(0) };
    assert_eq!(resolved(&*store, 1, unclaimed).await, Decision::Refuse(Denial::NotInDoubt));
    assert_eq!(record(&*store, 1).await, None);
    let runs = granted(&*store, 1, 1).await;
    assert_eq!(resolved(&*store, 1, happened(runs)).await, Decision::Refuse(Denial::InProgress));

    let doubtful = doubted(&*store, 2).await;
    let before = record(&*store, 2).await;
    assert_eq!(resolved(&*store, 2, judging(doubtful, Verdict::Unknown)).await, Decision::Unchanged);
    assert_eq!(record(&*store, 2).await, before);
    assert_eq!(resolved(&*store, 2, happened(doubtful)).await, Decision::Settled);
    let replay = Decision::Replay { outcome: Some(answer()), age: Duration::ZERO, drift: Drift::Same };
    assert_eq!(decision(store.claim(claim(2, 2)).await), replay);

    let doubtful = doubted(&*store, 3).await;
    assert_eq!(resolved(&*store, 3, judging(doubtful, Verdict::Multiple(None))).await, Decision::Settled);
    let state = record(&*store, 3).await.map(|record| record.state);
    let diverged = Settlement::Diverged;
    assert!(matches!(state, Some(State::Done { how, outcome: None, .. }) if how == diverged), "{state:?}");
}

/// A verdict is about one attempt: what was found of the first says nothing of a second one that is in doubt by now.
// covers: D3 L13
pub async fn a_delayed_verdict_frees_no_later_attempt<S: Subject>(subject: S) {
    let store = subject.store();
    // Its own proof freed the key, and the verdict comes after that.
    let first = doubted(&*store, 1).await;
    assert_eq!(decision(store.settle(id(1), first, Settle::Release).await), Decision::Settled);
    let second = doubted_as(&*store, 1, 2).await;
    let before = record(&*store, 1).await;
    for verdict in [Verdict::Absent, Verdict::Happened(None), Verdict::Multiple(None), Verdict::Unknown] {
        let refused = Decision::Refuse(Denial::NotInDoubt);
        assert_eq!(resolved(&*store, 1, judging(first, verdict)).await, refused);
        assert_eq!(record(&*store, 1).await, before);
    }
    assert_eq!(resolved(&*store, 1, judging(second, Verdict::Absent)).await, Decision::Settled);
    granted(&*store, 1, 3).await;
    // The verdict itself freed the key, its answer was lost, and it is told again.
    let first = doubted(&*store, 2).await;
    assert_eq!(resolved(&*store, 2, judging(first, Verdict::Absent)).await, Decision::Settled);
    doubted_as(&*store, 2, 2).await;
    let before = record(&*store, 2).await;
    assert_eq!(resolved(&*store, 2, judging(first, Verdict::Absent)).await, Decision::Settled);
    assert_eq!(record(&*store, 2).await, before);
}

/// The answer to a verdict may be lost like any other.
// covers: L11 D3
pub async fn a_repeated_verdict_says_the_same_again<S: Subject>(subject: S) {
    let store = subject.store();
    let verdicts =
        [Verdict::Happened(Some(answer())), Verdict::Absent, Verdict::Multiple(None), Verdict::Unknown];
    for (key, verdict) in (1..).zip(verdicts) {
        let holder = doubted(&*store, key).await;
        let first = resolved(&*store, key, judging(holder, verdict.clone())).await;
        let left = record(&*store, key).await;
        assert_eq!(resolved(&*store, key, judging(holder, verdict)).await, first);
        assert_eq!(record(&*store, key).await, left);
    }
}

/// Each state has its own answer to a cancellation.
// covers: D5
pub async fn a_cancelled_key_never_runs<S: Subject>(subject: S) {
    let (store, clock) = (subject.store(), subject.clock());
    // Absent: a late duplicate never runs, until the key itself is forgotten.
    assert_eq!(resolved(&*store, 1, CANCEL).await, Decision::Settled);
    assert_eq!(resolved(&*store, 1, CANCEL).await, Decision::Settled);
    assert_eq!(decision(store.claim(claim(1, 1)).await), Decision::Refuse(Denial::Cancelled));
    // Claimed: refused.
    let holder = granted(&*store, 2, 1).await;
    assert_eq!(resolved(&*store, 2, CANCEL).await, Decision::Refuse(Denial::InProgress));
    // Done: what happened.
    store.settle(id(2), holder, Settle::Complete(answer())).await.expect("the store answers");
    let replay = Decision::Replay { outcome: Some(answer()), age: Duration::ZERO, drift: Drift::Same };
    assert_eq!(resolved(&*store, 2, CANCEL).await, replay);
    // In doubt: it stays so, and a verdict of absence does not free it.
    let doubtful = doubted(&*store, 3).await;
    let doubt = Denial::InDoubt { reason: DoubtReason::AnswerCut, sent_at: clock.now() };
    assert_eq!(resolved(&*store, 3, CANCEL).await, Decision::Refuse(doubt));
    let state = record(&*store, 3).await.map(|record| record.state);
    assert!(matches!(state, Some(State::InDoubt { interest: Interest::Abandoned, .. })), "{state:?}");
    assert_eq!(resolved(&*store, 3, judging(doubtful, Verdict::Absent)).await, Decision::Settled);
    assert_eq!(decision(store.claim(claim(3, 2)).await), Decision::Refuse(Denial::Cancelled));

    clock.advance(REMEMBER);
    granted(&*store, 1, 2).await;
}

/// The audit line is there whatever the answer was, and for refusals too.
// covers: D4
pub async fn a_verdict_is_written_with_its_evidence<S: Subject>(subject: S) {
    let (store, audit) = (subject.store(), subject.audit());
    let holder = doubted(&*store, 1).await;
    let happened = judging(holder, Verdict::Happened(None));
    assert_eq!(resolved(&*store, 1, happened.clone()).await, Decision::Settled);
    let absent = judging(holder, Verdict::Absent);
    assert_eq!(resolved(&*store, 1, absent).await, Decision::Refuse(Denial::NotInDoubt));
    let lines = audit.read(AuditCursor(0), None, 10).await.expect("the log answers");
    let line = resolution(1, happened).audit.expect("a verdict has one");
    let lines: Vec<_> = lines.into_iter().map(|(_, line)| line).collect();
    assert_eq!(lines, [line.clone(), line]);
    // A claim writes none.
    decision(store.claim(claim(2, 1)).await);
    assert_eq!(audit.read(AuditCursor(0), None, 10).await.expect("the log answers").len(), 2);
}

/// Doubts by reason, lapsed leases, and what is in doubt now.
async fn counted(store: &dyn Store) -> (BTreeMap<&'static str, u64>, u64, u64) {
    let tally = store.health().await.expect("the store answers").tally;
    (tally.doubts(), tally.leases_lapsed(), tally.in_doubt())
}

/// A claim of a key that may run again once its lease has lapsed.
fn repeatable(key: u64, attempt: u8) -> Claim {
    let mut claim = claim(key, attempt);
    claim.terms.on_lapse = OnLapse::Execute;
    claim
}

/// Whatever finds it, the loss of a claim is one, and who comes later or says it again finds nothing new.
// covers: A2 L4 L10
pub async fn each_claim_that_is_lost_is_counted_once<S: Subject>(mut subject: S) {
    let (store, clock) = (subject.store(), subject.clock());
    assert_eq!(counted(&*store).await, (BTreeMap::new(), 0, 0));
    // Its holder gives up, and says so twice.
    let told = granted(&*store, 1, 1).await;
    for _ in 0..2 {
        let end = Settle::Doubt(DoubtReason::AnswerCut);
        assert_eq!(decision(store.settle(id(1), told, end).await), Decision::Settled);
    }
    let mut expected = (BTreeMap::from([("answer-cut", 1)]), 0, 1);
    assert_eq!(counted(&*store).await, expected);
    // A holder may doubt its lease while it holds it still.
    let anxious = granted(&*store, 2, 1).await;
    let end = Settle::Doubt(DoubtReason::LeaseLapsed);
    assert_eq!(decision(store.settle(id(2), anxious, end).await), Decision::Settled);
    expected = (BTreeMap::from([("answer-cut", 1), ("lease-lapsed", 1)]), 0, 2);
    assert_eq!(counted(&*store).await, expected);

    // A duplicate, a renewal, a cancellation, a sweep, and the next attempt of what may run again.
    for key in 3..=5 {
        granted(&*store, key, 1).await;
    }
    let renewing = granted(&*store, 6, 1).await;
    decision(store.claim(repeatable(7, 1)).await);
    clock.advance(LEASE);
    for attempt in 2..=3 {
        let refused = decision(store.claim(claim(3, attempt)).await);
        assert!(matches!(refused, Decision::Refuse(Denial::InDoubt { .. })), "{refused:?}");
        assert_eq!(decision(store.renew(id(6), renewing).await), Decision::Stale(Alarm::None));
        let refused = resolved(&*store, 4, CANCEL).await;
        assert!(matches!(refused, Decision::Refuse(Denial::InDoubt { .. })), "{refused:?}");
        kit::sweep_all(&*store).await;
        let run_again = decision(store.claim(repeatable(7, 2)).await);
        assert!(matches!(run_again, Decision::Execute(_)), "{run_again:?}");
    }
    expected = (BTreeMap::from([("answer-cut", 1), ("lease-lapsed", 5)]), 5, 6);
    assert_eq!(counted(&*store).await, expected);

    // What ends a doubt ends it for the gauge alone.
    assert_eq!(resolved(&*store, 1, judging(told, Verdict::Absent)).await, Decision::Settled);
    assert_eq!(decision(store.settle(id(2), anxious, Settle::Complete(answer())).await), Decision::Settled);
    expected.2 = 4;
    assert_eq!(counted(&*store).await, expected);

    // The next process finds what this one held, and counts from there.
    granted(&*store, 8, 1).await;
    drop(store);
    expected = match subject.crash().await {
        Survival::Records => (BTreeMap::from([("holder-gone", 1)]), 0, 5),
        Survival::Leases => {
            assert_eq!(counted(&*subject.store()).await, (BTreeMap::new(), 0, 4));
            clock.advance(LEASE);
            kit::sweep_all(&*subject.store()).await;
            (BTreeMap::from([("lease-lapsed", 1)]), 1, 5)
        }
        Survival::Nothing => (BTreeMap::new(), 0, 0),
    };
    assert_eq!(counted(&*subject.store()).await, expected);
}
