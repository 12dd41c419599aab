//! Cases of what is kept to find out what became of an effect, and of who looks.

use std::time::Duration;

use onceward_core::record::{
    Attempt, AttemptId, Decision, Denial, DoubtReason, Drift, Inquiry, Record, Sealed, State, Verdict,
};

use super::{
    Subject,
    kit::{self, LEASE, answer, claim, decision, id, record, resolution},
};
use crate::port::{Claim, Clock, EntryFilter, Resolution, ResolutionChange, Settle, Store, Stored};

const PAUSE: Duration = Duration::from_secs(4);

fn asked() -> Sealed {
    Sealed(b"POST /order, in full".to_vec())
}

/// Claims key `number` with its request.
async fn granted(store: &dyn Store, number: u64, attempt: u8) -> Attempt {
    let claim = Claim { request: Some(asked()), ..claim(number, attempt) };
    match decision(store.claim(claim).await) {
        Decision::Execute(granted) => granted,
        other => panic!("expected the claim to be granted, got {other:?}"),
    }
}

async fn doubted(store: &dyn Store, number: u64) -> Attempt {
    let holder = granted(store, number, 1).await;
    let end = Settle::Doubt(DoubtReason::NoAnswer);
    assert_eq!(decision(store.settle(id(number), holder, end).await), Decision::Settled);
    holder
}

async fn inquiry(store: &dyn Store, number: u64) -> Option<Inquiry> {
    record(store, number).await.and_then(|record| record.inquiry)
}

fn unlooked() -> Inquiry {
    Inquiry { request: asked(), looks: 0, next_at: onceward_core::time::Timestamp::from_ms(0), looker: None }
}

/// Asks for a look by `looker` at what became of `judged`.
async fn inquired(store: &dyn Store, number: u64, judged: Attempt, looker: u8) -> Decision {
    let looker = AttemptId([looker; 16]);
    let change = ResolutionChange::Inquire { judged: judged.epoch, looker, pause: PAUSE };
    decision(store.resolve(Resolution { audit: None, ..resolution(number, change) }).await)
}

/// It is there for whoever has to find out, whatever was done to the record meanwhile, and for nobody else.
// covers: D2, S4
pub async fn a_request_is_kept_until_its_effect_is_known<S: Subject>(subject: S) {
    let (store, clock) = (subject.store(), subject.clock());
    let completed = granted(&*store, 1, 1).await;
    assert_eq!(decision(store.renew(id(1), completed).await), Decision::Renewed(clock.now().after(LEASE)));
    assert_eq!(inquiry(&*store, 1).await, Some(unlooked()));
    let end = Settle::Complete(answer());
    assert_eq!(decision(store.settle(id(1), completed, end).await), Decision::Settled);
    let released = granted(&*store, 2, 1).await;
    assert_eq!(decision(store.settle(id(2), released, Settle::Release).await), Decision::Settled);
    let judged = doubted(&*store, 3).await;
    assert_eq!(inquiry(&*store, 3).await, Some(unlooked()));
    for (verdict, left) in [(Verdict::Unknown, Some(unlooked())), (Verdict::Absent, None)] {
        let change = ResolutionChange::Verdict { verdict, judged: judged.epoch };
        decision(store.resolve(resolution(3, change)).await);
        assert_eq!(inquiry(&*store, 3).await, left);
    }
    for over in [1, 2, 3] {
        assert_eq!(inquiry(&*store, over).await, None, "{over}");
    }

    granted(&*store, 4, 1).await;
    clock.advance(LEASE);
    kit::sweep_all(&*store).await;
    assert_eq!(inquiry(&*store, 4).await, Some(unlooked()), "the sweep that doubts it keeps it");
    let page = store.scan(EntryFilter { in_doubt_only: true, ..EntryFilter::default() }, None, 10).await;
    let listed = page.expect("the store answers").entries.remove(0).record.inquiry;
    assert_eq!(listed, Some(Inquiry { request: Sealed(Vec::new()), ..unlooked() }));
}

/// Whoever looks has the others wait, a repeated question finds itself, and a looker who died is followed by another.
// covers: D2, L11
pub async fn one_looks_at_a_time<S: Subject>(subject: S) {
    let (store, clock) = (subject.store(), subject.clock());
    let judged = doubted(&*store, 1).await;
    assert_eq!(inquired(&*store, 1, judged, 1).await, Decision::Settled);
    let looked = Inquiry {
        looks: 1,
        next_at: clock.now().after(PAUSE),
        looker: Some(AttemptId([1; 16])),
        ..unlooked()
    };
    assert_eq!(inquired(&*store, 1, judged, 1).await, Decision::Settled);
    assert_eq!(
        inquired(&*store, 1, judged, 2).await,
        Decision::Wait { lease_left: PAUSE, drift: Drift::Same }
    );
    assert_eq!(inquiry(&*store, 1).await, Some(looked));
    clock.advance(PAUSE);
    assert_eq!(inquired(&*store, 1, judged, 2).await, Decision::Settled);
    assert_eq!(inquiry(&*store, 1).await.map(|inquiry| inquiry.looks), Some(2));
}

/// There is nothing to look at, or nothing to look with; and asking leaves no trace.
// covers: D2
pub async fn nobody_looks_where_nothing_is_in_doubt<S: Subject>(subject: S) {
    let store = subject.store();
    let runs = granted(&*store, 1, 1).await;
    assert_eq!(inquired(&*store, 1, runs, 1).await, Decision::Refuse(Denial::InProgress));
    assert_eq!(inquired(&*store, 2, runs, 1).await, Decision::Refuse(Denial::NotInDoubt));
    assert_eq!(record(&*store, 2).await, None);
    let unkept = kit::granted(&*store, 3, 1).await;
    let end = Settle::Doubt(DoubtReason::NoAnswer);
    assert_eq!(decision(store.settle(id(3), unkept, end).await), Decision::Settled);
    assert_eq!(inquired(&*store, 3, unkept, 1).await, Decision::Unchanged);
    let lines = subject.audit().read(crate::port::AuditCursor(0), None, 10).await;
    assert_eq!(lines.expect("the log answers"), []);
}

/// What happened stays known, and with it that nothing runs again; what it was is gone.
// covers: T4
pub async fn erasing_leaves_nothing_but_the_fact<S: Subject>(subject: S) {
    let store = subject.store();
    let erased = async |key| decision(store.resolve(resolution(key, ResolutionChange::Erase)).await);
    let kept = async |key| match store.get(id(key)).await.expect("the store answers") {
        Some(Stored::Record(record, label)) => (*record, label.effect),
        other => panic!("no record: {other:?}"),
    };
    // An effect that is over.
    let holder = granted(&*store, 1, 1).await;
    assert_eq!(decision(store.settle(id(1), holder, Settle::Complete(answer())).await), Decision::Settled);
    let (before, worded) = kept(1).await;
    assert_ne!(worded, "");
    let State::Done { attempt, outcome: Some(_), how, expires_at } = before.state else {
        panic!("it is done: {before:?}")
    };
    assert_eq!(erased(1).await, Decision::Settled);
    let gone = State::Done { attempt, outcome: None, how, expires_at };
    assert_eq!(kept(1).await, (Record { state: gone, ..before }, String::new()));
    let again = decision(store.claim(claim(1, 2)).await);
    assert!(matches!(again, Decision::Replay { outcome: None, .. }), "{again:?}");
    // One in doubt stays so; what resolvers would have looked with is gone.
    let holder = granted(&*store, 2, 1).await;
    let doubt = Settle::Doubt(DoubtReason::NoAnswer);
    assert_eq!(decision(store.settle(id(2), holder, doubt).await), Decision::Settled);
    let (before, _) = kept(2).await;
    assert!(before.inquiry.is_some());
    assert_eq!(erased(2).await, Decision::Settled);
    assert_eq!(kept(2).await, (Record { inquiry: None, ..before }, String::new()));
    // One that runs goes on.
    let holder = granted(&*store, 3, 1).await;
    let (before, _) = kept(3).await;
    assert_eq!(erased(3).await, Decision::Refuse(Denial::InProgress));
    assert_eq!(kept(3).await, (Record { inquiry: None, ..before }, String::new()));
    assert_eq!(decision(store.settle(id(3), holder, Settle::Complete(answer())).await), Decision::Settled);
    // Asked again it says the same (L11), and of a key that nobody knows nothing is made.
    assert_eq!(erased(1).await, Decision::Settled);
    assert_eq!(erased(9).await, Decision::Settled);
    assert_eq!(record(&*store, 9).await, None);
}
