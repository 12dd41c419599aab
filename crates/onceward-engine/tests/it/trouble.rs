//! The life of a call when things break: no proof, no answer, a panic, a store that fails, a lease that is lost.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use onceward_core::{
    outcome::{Evidence, OnPanic, Policy, Untouched},
    record::{Denial, DoubtReason, Epoch, State},
};
use onceward_engine::{Effected, Engine, Finding, Limits, Resolved, StreamEnd};
use onceward_store::{Entry, EntryFilter, Fault, Faults, Store};
use tokio::task::JoinHandle;

use crate::kit::{World, answering, call, outcome, policy, told};

const SHORT: Duration = Duration::from_millis(50);
const HOUR: Duration = Duration::from_hours(1);

async fn ended(engine: &Engine, key: &str, evidence: Evidence) -> String {
    let ran =
        engine.run(call(key, "a", policy()), move |_| async move { Effected::Unanswered(evidence) }).await;
    told(&ran)
}

// covers: L5 D1
#[tokio::test(start_paused = true)]
async fn proof_frees_the_key_and_its_absence_does_not() {
    let engine = World::sound().engine(Limits::default()).await;
    let effects = Arc::new(AtomicUsize::new(0));
    let proof = Evidence::Untouched(Untouched::ConnectFailed);
    assert_eq!(ended(&engine, "proven", proof).await, "upstream-unreachable");
    let retried = engine.run(call("proven", "a", policy()), answering(&effects, SHORT, 201, "order 1")).await;
    assert_eq!(told(&retried), "order 1 Recorded");
    let doubt = Evidence::Unknown(DoubtReason::NoAnswer);
    assert_eq!(ended(&engine, "doubted", doubt).await, "outcome-unknown");
    let retried =
        engine.run(call("doubted", "a", policy()), answering(&effects, SHORT, 201, "order 2")).await;
    assert_eq!(told(&retried), "outcome-unknown");
    assert_eq!(effects.load(Ordering::SeqCst), 1);
    assert!(engine.telemetry().render().contains("onceward_in_doubt_total{reason=\"no-answer\"} 1"));
}

// covers: O5
#[tokio::test(start_paused = true)]
async fn a_panic_is_doubt_or_the_final_500_by_policy_and_never_a_second_run() {
    let engine = World::sound().engine(Limits::default()).await;
    for (on_panic, first, second) in [
        (OnPanic::Doubt, "outcome-unknown", "outcome-unknown"),
        (OnPanic::Final, " stored First Same", " stored Repeat Same"),
    ] {
        let key = format!("{on_panic:?}");
        for expected in [first, second] {
            let policy = Policy { on_panic, ..policy() };
            let ran = engine.run(call(&key, "a", policy), |_| async { panic!("the handler's own") }).await;
            assert_eq!(told(&ran), expected, "{on_panic:?}");
        }
    }
}

// covers: O6 L13
#[tokio::test(start_paused = true)]
async fn an_outcome_that_cannot_be_stored_reaches_its_caller_marked_and_completes_its_record_late() {
    // The claim goes through; then the store refuses for 20 s: every settlement within the patience of 5 s, and later ones too.
    let mut faults = vec![Fault::None, Fault::None];
    faults.extend([Fault::Refused; 30]);
    let engine = World::new(7, Faults::scripted(faults))
        .engine(Limits { sweep_period: FOREVER, ..Limits::default() })
        .await;
    let effects = Arc::new(AtomicUsize::new(0));
    let first = engine.run(call("k", "a", policy()), answering(&effects, SHORT, 201, "order 1")).await;
    assert_eq!(told(&first), "order 1 Unrecorded");
    tokio::time::sleep(Duration::from_secs(30)).await;
    let retried = engine.run(call("k", "a", policy()), answering(&effects, SHORT, 201, "order 2")).await;
    assert_eq!(told(&retried), "order 1 stored Repeat Same");
    assert_eq!(effects.load(Ordering::SeqCst), 1);
}

// covers: S2
#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_refuses_before_anything_is_sent() {
    let mut faults = vec![Fault::None];
    faults.extend([Fault::Refused; 40]);
    let engine = World::new(7, Faults::scripted(faults))
        .engine(Limits { sweep_period: FOREVER, ..Limits::default() })
        .await;
    let effects = Arc::new(AtomicUsize::new(0));
    let down = engine.run(call("k", "a", policy()), answering(&effects, SHORT, 201, "order 1")).await;
    assert_eq!(told(&down), "store-unavailable");
    assert_eq!(effects.load(Ordering::SeqCst), 0);
}

// covers: L11
#[tokio::test(start_paused = true)]
async fn lost_answers_of_the_store_are_asked_for_again() {
    let faults = Faults::scripted([Fault::None, Fault::AnswerLost, Fault::AnswerLost, Fault::AnswerLost]);
    let engine = World::new(7, faults).engine(Limits { sweep_period: FOREVER, ..Limits::default() }).await;
    let effects = Arc::new(AtomicUsize::new(0));
    for expected in ["order 1 Recorded", "order 1 stored Repeat Same"] {
        let ran = engine.run(call("k", "a", policy()), answering(&effects, SHORT, 201, "order 1")).await;
        assert_eq!(told(&ran), expected);
    }
    assert_eq!(effects.load(Ordering::SeqCst), 1);
}

// covers: L3
#[tokio::test(start_paused = true)]
async fn work_that_outlasts_its_lease_many_times_keeps_it() {
    let engine = World::sound().engine(Limits::default()).await;
    let effects = Arc::new(AtomicUsize::new(0));
    let takes = Duration::from_secs(600);
    let ran = engine.run(call("k", "a", policy()), answering(&effects, takes, 201, "order 1")).await;
    assert_eq!(told(&ran), "order 1 Recorded");
}

// covers: L12
#[tokio::test(start_paused = true)]
async fn a_holder_that_cannot_renew_gives_up_before_its_lease_ends() {
    let world = World::new(
        7,
        Faults::scripted([Fault::None, Fault::None].into_iter().chain([Fault::Late(FOREVER); 3])),
    );
    let engine = world.engine(Limits { sweep_period: FOREVER, ..Limits::default() }).await;
    let stopped_at = Arc::new(std::sync::Mutex::new(None));
    let noted = Arc::clone(&stopped_at);
    let began = tokio::time::Instant::now();
    let ran = engine.run(call("k", "a", policy()), move |_| async move {
        let _noted = Noted(noted);
        std::future::pending::<Effected<&'static str>>().await
    });
    let ran = ran.await;
    let gave_up_after = stopped_at.lock().unwrap().unwrap().duration_since(began);
    assert_eq!(gave_up_after, Duration::from_secs(12), "four fifths of the lease of 15 s");
    assert_eq!(told(&ran), "outcome-unknown");
}

struct Noted(Arc<std::sync::Mutex<Option<tokio::time::Instant>>>);

impl Drop for Noted {
    fn drop(&mut self) {
        *self.0.lock().unwrap() = Some(tokio::time::Instant::now());
    }
}

// covers: L12
#[tokio::test(start_paused = true)]
async fn work_that_never_ends_is_doubted_at_its_limit() {
    let engine = World::sound().engine(Limits::default()).await;
    let limited = Policy { run_time_max: Duration::from_secs(90), ..policy() };
    let began = tokio::time::Instant::now();
    let ran = engine.run(call("k", "a", limited), |_| std::future::pending::<Effected<&'static str>>()).await;
    assert_eq!((told(&ran), began.elapsed()), ("outcome-unknown".to_owned(), Duration::from_secs(90)));
}

// covers: L4 L9
#[tokio::test(start_paused = true)]
async fn a_lapsed_claim_is_doubted_and_never_run_again() {
    let world = World::sound();
    let engine = world.engine(Limits::default()).await;
    let effects = Arc::new(AtomicUsize::new(0));
    let (running, counter) = (engine.clone(), Arc::clone(&effects));
    let first = tokio::spawn(async move {
        let takes = Duration::from_secs(3);
        told(&running.run(call("k", "a", policy()), answering(&counter, takes, 201, "order 1")).await)
    });
    tokio::time::sleep(SHORT).await;
    // The store's clock steps past the lease while the holder, whose own clock did not, works on.
    world.store_clock.jump(HOUR);
    let repeat = engine.run(call("k", "a", policy()), answering(&effects, SHORT, 201, "order 2")).await;
    assert_eq!(told(&repeat), "outcome-unknown");
    assert_eq!(first.await.unwrap(), "order 1 Recorded", "a late answer completes its record");
    let repeat = engine.run(call("k", "a", policy()), answering(&effects, SHORT, 201, "order 2")).await;
    assert_eq!(told(&repeat), "order 1 stored Repeat Same");
    assert_eq!(effects.load(Ordering::SeqCst), 1);
}

/// An order that still runs while its record is in doubt, for the store's clock stepped past its lease; what its caller will be told, and
/// the record.
async fn doubted_while_it_runs(
    world: &World,
    engine: &Engine,
    effects: &Arc<AtomicUsize>,
) -> (JoinHandle<String>, Entry) {
    let (running, counter) = (engine.clone(), Arc::clone(effects));
    let first = tokio::spawn(async move {
        // Shorter than a third of the lease: a renewal would tell the holder that it is one no more, and it would stop.
        let takes = Duration::from_secs(4);
        told(&running.run(call("k", "a", policy()), answering(&counter, takes, 201, "order 1")).await)
    });
    tokio::time::sleep(SHORT).await;
    world.store_clock.jump(HOUR);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let filter = EntryFilter { in_doubt_only: true, ..EntryFilter::default() };
    let mut page = engine.list(filter, None, 10).await.unwrap();
    (first, page.entries.remove(0))
}

// covers: L2 L13 D5
#[tokio::test(start_paused = true)]
async fn an_answer_under_a_key_that_was_cancelled_meanwhile_is_not_told_to_have_had_no_effect() {
    let world = World::sound();
    let engine = world.engine(Limits::default()).await;
    let effects = Arc::new(AtomicUsize::new(0));
    let (first, entry) = doubted_while_it_runs(&world, &engine, &effects).await;
    let cancelled = engine.cancel(entry.id, &entry.label, HOUR, "not wanted any more").await.unwrap();
    assert!(matches!(cancelled, Resolved::Denied(Denial::InDoubt { .. })));
    let verdict = Finding::Absent;
    let judged = entry.record.epoch;
    let resolved = engine.resolve(entry.id, &entry.label, verdict, judged, "wrongly believed").await.unwrap();
    assert_eq!(resolved, Resolved::Applied);
    assert_eq!(first.await.unwrap(), "outcome-unknown", "`cancelled` would send it to a new key");
    let repeat = engine.run(call("k", "a", policy()), answering(&effects, SHORT, 201, "order 2")).await;
    assert_eq!((told(&repeat).as_str(), effects.load(Ordering::SeqCst)), ("cancelled", 1));
}

// covers: D2 D3 D4 L13
#[tokio::test(start_paused = true)]
async fn a_verdict_ends_a_doubt_and_an_effect_after_a_verdict_of_absence_raises_the_alarm() {
    let world = World::sound();
    let engine = world.engine(Limits::default()).await;
    let effects = Arc::new(AtomicUsize::new(0));
    let (first, entry) = doubted_while_it_runs(&world, &engine, &effects).await;
    assert!(matches!(entry.record.state, State::InDoubt { reason: DoubtReason::LeaseLapsed, .. }));
    let (latest, former) = (entry.record.epoch, Epoch(entry.record.epoch.0 - 1));
    let verdict =
        |judged| engine.resolve(entry.id, &entry.label, Finding::Absent, judged, "wrongly believed");
    assert_eq!(verdict(former).await.unwrap(), Resolved::Denied(Denial::NotInDoubt));
    assert_eq!(verdict(latest).await.unwrap(), Resolved::Applied);
    assert_eq!(
        first.await.unwrap(),
        "outcome-unknown",
        "a caller whose effect happened is not sent to try again"
    );
    let metrics = engine.telemetry().render();
    assert!(metrics.contains("onceward_effect_after_release_total 1"), "{metrics}");
    assert!(metrics.contains("onceward_in_doubt_total{reason=\"lease-lapsed\"} 1"), "{metrics}");
    assert!(metrics.contains("onceward_resolutions_total{verdict=\"absent\"} 1"), "{metrics}");
    assert_eq!(verdict(latest).await.unwrap(), Resolved::Applied, "told again");
}

// covers: O7 O8
#[tokio::test(start_paused = true)]
async fn a_streamed_answer_is_recorded_when_it_ends_and_doubted_when_it_is_cut() {
    let engine = World::sound().engine(Limits::default()).await;
    let stream = |key: &'static str, cut: bool| {
        let engine = engine.clone();
        async move {
            let ran = engine.run(call(key, "a", policy()), move |_| async move {
                let rest = Box::pin(async move {
                    tokio::time::sleep(Duration::from_secs(5)).await;
                    if cut {
                        StreamEnd::Cut
                    } else {
                        StreamEnd::Whole { outcome: outcome(200, "all"), consumed: None }
                    }
                });
                Effected::Streaming { answer: "flowing", rest }
            });
            told(&ran.await)
        }
    };
    for (key, cut, repeated) in [("whole", false, "all stored Repeat Same"), ("cut", true, "outcome-unknown")]
    {
        assert_eq!(stream(key, cut).await, "flowing Streaming");
        assert_eq!(stream(key, cut).await, repeated);
    }
    let metrics = engine.telemetry().render();
    for outcome in ["executed", "doubted", "replayed", "refused-in-doubt"] {
        let line = format!("onceward_requests_total{{outcome=\"{outcome}\"}} 1\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
}

// covers: L8 S4
#[tokio::test(start_paused = true)]
async fn an_outcome_sealed_under_another_secret_is_corrupt_and_not_absent() {
    let world = World::sound();
    let engine = world.engine(Limits::default()).await;
    let effects = Arc::new(AtomicUsize::new(0));
    engine.run(call("k", "a", policy()), answering(&effects, SHORT, 201, "order 1")).await;
    engine.run(call("other", "a", policy()), answering(&effects, SHORT, 201, "order 2")).await;
    let page = engine.list(EntryFilter::default(), None, 10).await.unwrap();
    let [newest, oldest] = &page.entries[..] else { panic!("{} records", page.entries.len()) };
    let Some(onceward_store::Stored::Record(record, _)) = world.store.get(newest.id).await.unwrap() else {
        panic!("not stored")
    };
    let State::Done { outcome: Some(sealed), .. } = record.state else { panic!("not done") };
    assert!(engine.open(newest, &sealed).is_ok());
    assert!(engine.open(oldest, &sealed).is_err(), "an outcome opened under another record's id");
    assert!(!sealed.0.windows(5).any(|window| window == b"order"), "the outcome lies open");
}

#[tokio::test(start_paused = true)]
async fn a_policy_without_an_end_runs_as_any_other() {
    let engine = World::sound().engine(Limits::default()).await;
    let effects = Arc::new(AtomicUsize::new(0));
    let endless = Policy { run_time_max: Duration::MAX, wait: Duration::MAX, ..policy() };
    let ran = engine.run(call("k", "a", endless), answering(&effects, SHORT, 201, "order 1")).await;
    assert_eq!(told(&ran), "order 1 Recorded");
}

/// Longer than any test's virtual time.
const FOREVER: Duration = Duration::from_secs(60 * 60 * 24 * 365);
