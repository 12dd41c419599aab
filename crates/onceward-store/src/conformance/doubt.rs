//! Cases of doubt, verdicts and cancellation.

use std::time::Duration;

use onceward_core::record::{
    Alarm, Decision, Denial, DoubtReason, Drift, Interest, Settlement, State, Verdict,
};

use super::{
    Subject,
    kit::{REMEMBER, answer, claim, decision, granted, id, record, resolution},
};
use crate::port::{AuditCursor, Clock, ResolutionChange, Settle, Store};

const CANCEL: ResolutionChange = ResolutionChange::Cancel { remember: REMEMBER };

async fn doubted(store: &dyn Store, key: u64) -> onceward_core::record::Attempt {
    let holder = granted(store, key, 1).await;
    let end = Settle::Doubt(DoubtReason::AnswerCut);
    assert_eq!(decision(store.settle(id(key), holder, end).await), Decision::Settled);
    holder
}

async fn resolved(store: &dyn Store, key: u64, change: ResolutionChange) -> Decision {
    decision(store.resolve(resolution(key, change)).await)
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
    let absent = ResolutionChange::Verdict(Verdict::Absent);
    assert_eq!(resolved(&*store, 1, absent).await, Decision::Settled);
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
    let happened = || ResolutionChange::Verdict(Verdict::Happened(Some(answer())));
    assert_eq!(resolved(&*store, 1, happened()).await, Decision::Refuse(Denial::NotInDoubt));
    assert_eq!(record(&*store, 1).await, None);
    granted(&*store, 1, 1).await;
    assert_eq!(resolved(&*store, 1, happened()).await, Decision::Refuse(Denial::InProgress));

    doubted(&*store, 2).await;
    let before = record(&*store, 2).await;
    let unknown = ResolutionChange::Verdict(Verdict::Unknown);
    assert_eq!(resolved(&*store, 2, unknown).await, Decision::Unchanged);
    assert_eq!(record(&*store, 2).await, before);
    assert_eq!(resolved(&*store, 2, happened()).await, Decision::Settled);
    let replay = Decision::Replay { outcome: Some(answer()), age: Duration::ZERO, drift: Drift::Same };
    assert_eq!(decision(store.claim(claim(2, 2)).await), replay);

    doubted(&*store, 3).await;
    let multiple = ResolutionChange::Verdict(Verdict::Multiple(None));
    assert_eq!(resolved(&*store, 3, multiple).await, Decision::Settled);
    let state = record(&*store, 3).await.map(|record| record.state);
    let diverged = Settlement::Diverged;
    assert!(matches!(state, Some(State::Done { how, outcome: None, .. }) if how == diverged), "{state:?}");
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
    doubted(&*store, 3).await;
    let doubt = Denial::InDoubt { reason: DoubtReason::AnswerCut, sent_at: clock.now() };
    assert_eq!(resolved(&*store, 3, CANCEL).await, Decision::Refuse(doubt));
    let state = record(&*store, 3).await.map(|record| record.state);
    assert!(matches!(state, Some(State::InDoubt { interest: Interest::Abandoned, .. })), "{state:?}");
    let absent = ResolutionChange::Verdict(Verdict::Absent);
    assert_eq!(resolved(&*store, 3, absent).await, Decision::Settled);
    assert_eq!(decision(store.claim(claim(3, 2)).await), Decision::Refuse(Denial::Cancelled));

    clock.advance(REMEMBER);
    granted(&*store, 1, 2).await;
}

/// The audit line is there whatever the answer was, and for refusals too.
// covers: D4
pub async fn a_verdict_is_written_with_its_evidence<S: Subject>(subject: S) {
    let (store, audit) = (subject.store(), subject.audit());
    doubted(&*store, 1).await;
    let happened = || ResolutionChange::Verdict(Verdict::Happened(None));
    assert_eq!(resolved(&*store, 1, happened()).await, Decision::Settled);
    assert_eq!(resolved(&*store, 1, happened()).await, Decision::Refuse(Denial::NotInDoubt));
    let lines = audit.read(AuditCursor(0), None, 10).await.expect("the log answers");
    let line = resolution(1, happened()).audit;
    let lines: Vec<_> = lines.into_iter().map(|(_, line)| line).collect();
    assert_eq!(lines, [line.clone(), line]);
    // A claim writes none.
    decision(store.claim(claim(2, 1)).await);
    assert_eq!(audit.read(AuditCursor(0), None, 10).await.expect("the log answers").len(), 2);
}
