//! What is kept of an actor goes at its word, and nothing runs again by it (T4); the log says so, under seal (A1).

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use onceward_core::{
    actor::{Actor, ActorTag, Tenant},
    outcome::Evidence,
    record::{DoubtReason, State},
    time::Timestamp,
};
use onceward_engine::{Call, Effected, Engine, Erased, Limits, Ran, Stored, state_name, verify_chain};
use onceward_store::{AuditCursor, PageCursor};
use tokio::time::sleep;
use zeroize::Zeroizing;

use crate::kit::{STARTED_MS, World, answering, call, policy, secret, told};

fn tag(actor: &[u8]) -> ActorTag {
    Actor::new("session", actor).tag(&secret(), &Tenant::single())
}

fn asked(key: &str) -> Call {
    let request = Some(Zeroizing::new(b"POST /orders, with a name and an address".to_vec()));
    Call { request, ..call(key, "a", policy()) }
}

/// The state's name, whether anything is kept of the answer or the request, and the wording.
async fn kept(engine: &Engine, key: &str) -> (&'static str, bool, String) {
    match engine.get(asked(key).id(engine.secret())).await.unwrap() {
        Some(Stored::Record(record, label)) => {
            let has_answer = matches!(record.state, State::Done { outcome: Some(_), .. });
            (state_name(&record.state), has_answer || record.inquiry.is_some(), label.effect)
        }
        other => panic!("{other:?}"),
    }
}

// covers: T4
#[tokio::test(start_paused = true)]
async fn an_actors_content_goes_and_its_effects_stay_known() {
    let world = World::sound();
    let engine = world.engine(Limits::default()).await;
    let effects = Arc::new(AtomicUsize::new(0));
    let order = async |key| engine.run(asked(key), answering(&effects, Duration::ZERO, 201, "order")).await;
    assert_eq!(told(&order("done").await), "order Recorded");
    let lost: Ran<()> = engine
        .run(asked("lost"), |_| async { Effected::Unanswered(Evidence::Unknown(DoubtReason::NoAnswer)) })
        .await;
    assert!(matches!(lost, Ran::Refused(_)), "{lost:?}");
    let strange = Call { actor: Actor::new("session", b"other"), ..asked("other") };
    let strange_id = strange.id(engine.secret());
    engine.run(strange, answering(&effects, Duration::ZERO, 201, "theirs")).await;
    let slow = answering(&effects, Duration::from_secs(5), 201, "slow");
    let running = tokio::spawn({
        let engine = engine.clone();
        async move { engine.run(asked("runs"), slow).await }
    });
    sleep(Duration::from_secs(1)).await;

    let erased = engine.erase(tag(b"agent"), None, "ann: asked for by post").await.unwrap();
    assert_eq!(erased, Erased { erased: 2, running: 1, unreadable: 0, next: None });
    assert_eq!(kept(&engine, "done").await, ("done", false, String::new()));
    assert_eq!(kept(&engine, "lost").await, ("in-doubt", false, String::new()));
    assert_eq!(kept(&engine, "runs").await, ("claimed", false, String::new()));
    // Nothing runs again, and nobody is told that it did not happen.
    assert_eq!(told(&order("done").await), "outcome-not-kept");
    assert_eq!(told(&order("lost").await), "outcome-unknown");
    // What ran is kept like any other answer, until it is erased, too.
    assert_eq!(told(&running.await.unwrap()), "slow Recorded");
    assert_eq!(told(&order("runs").await), "slow stored Repeat Same");
    let erased = engine.erase(tag(b"agent"), None, "ann: the rest of it").await.unwrap();
    assert_eq!(erased, Erased { erased: 3, running: 0, unreadable: 0, next: None });
    assert_eq!(told(&order("runs").await), "outcome-not-kept");
    // Of others nothing goes.
    let others = engine.get(strange_id).await.unwrap();
    assert!(
        matches!(&others, Some(Stored::Record(record, _)) if matches!(record.state, State::Done { outcome: Some(_), .. })),
        "{others:?}"
    );

    engine.close().await;
    let lines = engine.audit(AuditCursor(0), None, 100).await.unwrap();
    let erasures: Vec<_> = lines
        .iter()
        .map(|(_, line)| serde_json::from_str::<serde_json::Value>(&line.json).unwrap())
        .filter(|line| line["decision"] == "erased")
        .map(|line| {
            (line["actor"].clone(), line["erased"].clone(), line["running"].clone(), line["evidence"].clone())
        })
        .collect();
    let actor = tag(b"agent").to_string();
    let expected = [(2, 1, "ann: asked for by post"), (3, 0, "ann: the rest of it")]
        .map(|(erased, running, why)| (actor.clone().into(), erased.into(), running.into(), why.into()));
    assert_eq!(erasures, expected);
}

// covers: T4, S1
#[tokio::test(start_paused = true)]
async fn many_records_are_erased_in_bounded_calls() {
    let world = World::sound();
    let engine = world.engine(Limits::default()).await;
    let effects = Arc::new(AtomicUsize::new(0));
    for number in 0..1_003 {
        let call = call(&format!("order-{number}"), "a", policy());
        engine.run(call, answering(&effects, Duration::ZERO, 201, "order")).await;
    }
    let (mut calls, mut sum) = (Vec::new(), 0);
    let mut after: Option<PageCursor> = None;
    loop {
        let erased = engine.erase(tag(b"agent"), after, "ann").await.unwrap();
        sum += erased.erased;
        calls.push(erased.erased);
        after = erased.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(sum, 1_003);
    assert!(calls.iter().all(|erased| *erased <= 1_000), "{calls:?}");
    engine.close().await;
}

/// The whole of the log is under seal when a process has closed, and the next one's seals go on behind it.
// covers: A1
#[tokio::test(start_paused = true)]
async fn the_log_is_sealed_over_restarts() {
    let world = World::sound();
    let effects = Arc::new(AtomicUsize::new(0));
    let verified = async || {
        verify_chain(&*world.store, &secret(), Timestamp::from_ms(STARTED_MS), |_| {}).await.unwrap()
    };
    let mut lines = 0;
    for run in 0..3_u64 {
        let engine = world.engine(Limits::default()).await;
        for number in 0..5 {
            let call = call(&format!("order-{run}-{number}"), "a", policy());
            engine.run(call, answering(&effects, Duration::from_secs(4), 201, "order")).await;
        }
        engine.close().await;
        let report = verified().await;
        assert_eq!((report.breaks.as_slice(), report.unsealed), ([].as_slice(), 0), "run {run}");
        assert!(report.seals >= 3 * (run + 1), "twenty seconds pass in each run: {report:?}");
        assert!(report.lines >= lines + 5, "{report:?}");
        lines = report.lines;
    }
}
