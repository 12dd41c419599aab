//! The life of a call when nothing is in its way: run, replay, wait, mismatch, drain.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use onceward_core::{actor::Actor, key::Key, outcome::Policy, record::OnMismatch};
use onceward_engine::{Call, DrainReport, Engine, Limits};
use onceward_store::{AuditCursor, AuditLog, EntryFilter};
use tokio::time::Instant;

use crate::kit::{STARTED_MS, World, answering, call, policy, told};

const SHORT: Duration = Duration::from_millis(50);

// covers: L1 O1 O3 A3
#[tokio::test(start_paused = true)]
async fn a_repeat_gets_the_first_answer_and_runs_nothing() {
    let engine = World::sound().engine(Limits::default()).await;
    let effects = Arc::new(AtomicUsize::new(0));
    let first = engine.run(call("k", "a", policy()), answering(&effects, SHORT, 201, "order 1")).await;
    let second = engine.run(call("k", "a", policy()), answering(&effects, SHORT, 201, "order 2")).await;
    assert_eq!(told(&first), "order 1 Recorded");
    assert_eq!(told(&second), "order 1 stored Repeat Same");
    assert_eq!(effects.load(Ordering::SeqCst), 1);
    engine.prove_replay().await.unwrap();
    assert!(engine.telemetry().render().contains("onceward_self_test_ok 1.0"));
}

// covers: W1 L6
#[tokio::test(start_paused = true)]
async fn concurrent_duplicates_wait_and_get_the_one_answer_even_if_the_first_caller_leaves() {
    let engine = World::sound().engine(Limits::default()).await;
    let effects = Arc::new(AtomicUsize::new(0));
    let slow = Duration::from_secs(6);
    let leaving = engine.run(call("k", "a", policy()), answering(&effects, slow, 201, "order 1"));
    // The first caller is dropped while its effect runs, as a browser drops an aborted navigation.
    assert!(tokio::time::timeout(Duration::from_secs(1), leaving).await.is_err());
    let repeats = (0..8).map(|_| {
        let (engine, effects) = (engine.clone(), Arc::clone(&effects));
        tokio::spawn(async move {
            told(&engine.run(call("k", "a", policy()), answering(&effects, slow, 201, "another")).await)
        })
    });
    for repeat in repeats.collect::<Vec<_>>() {
        assert_eq!(repeat.await.unwrap(), "order 1 stored Repeat Same");
    }
    assert_eq!(effects.load(Ordering::SeqCst), 1);
}

// covers: W1
#[tokio::test(start_paused = true)]
async fn a_waiting_duplicate_is_answered_in_the_moment_in_which_the_first_one_is() {
    let engine = World::sound().engine(Limits::default()).await;
    let effects = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    // Between two of the looks that a duplicate takes for the sake of other processes, on the second from its arrival on.
    let takes = Duration::from_millis(6_430);
    let run = || {
        let (engine, effects) = (engine.clone(), Arc::clone(&effects));
        tokio::spawn(async move {
            let ran = engine.run(call("k", "a", policy()), answering(&effects, takes, 201, "order 1")).await;
            (told(&ran), began.elapsed())
        })
    };
    let first = run();
    tokio::time::sleep(SHORT).await;
    let repeats = [run(), run()];
    assert_eq!(first.await.unwrap(), ("order 1 Recorded".to_owned(), takes));
    for repeat in repeats {
        assert_eq!(repeat.await.unwrap(), ("order 1 stored Repeat Same".to_owned(), takes));
    }
}

// covers: W1
#[tokio::test(start_paused = true)]
async fn a_duplicate_in_another_process_finds_the_end_within_a_second() {
    let world = World::sound();
    let (first, other) = (world.engine(Limits::default()).await, world.engine(Limits::default()).await);
    let effects = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let run = |engine: &Engine| {
        let (engine, effects) = (engine.clone(), Arc::clone(&effects));
        let takes = Duration::from_millis(6_430);
        tokio::spawn(async move {
            let ran = engine.run(call("k", "a", policy()), answering(&effects, takes, 201, "order 1")).await;
            (told(&ran), began.elapsed())
        })
    };
    let first = run(&first);
    tokio::time::sleep(SHORT).await;
    let repeat = run(&other);
    assert_eq!(first.await.unwrap(), ("order 1 Recorded".to_owned(), Duration::from_millis(6_430)));
    let looked = ("order 1 stored Repeat Same".to_owned(), Duration::from_millis(7_050));
    assert_eq!(repeat.await.unwrap(), looked);
}

// covers: W1 W2
#[tokio::test(start_paused = true)]
async fn a_duplicate_that_may_not_wait_is_told_that_the_first_one_runs() {
    let limits = Limits { waiters_per_key_max: 1, ..Limits::default() };
    let engine = World::sound().engine(limits).await;
    let effects = Arc::new(AtomicUsize::new(0));
    let run = |wait_s| {
        let (engine, effects) = (engine.clone(), Arc::clone(&effects));
        let policy = Policy { wait: Duration::from_secs(wait_s), ..policy() };
        tokio::spawn(async move {
            told(
                &engine
                    .run(call("k", "a", policy), answering(&effects, Duration::from_secs(20), 201, "order 1"))
                    .await,
            )
        })
    };
    let first = run(0);
    tokio::time::sleep(SHORT).await;
    assert_eq!(run(0).await.unwrap(), "in-progress", "wait = 0 waited");
    assert_eq!(run(5).await.unwrap(), "in-progress", "the first one ended early");
    let waiting = run(30);
    tokio::time::sleep(SHORT).await;
    assert_eq!(run(30).await.unwrap(), "in-progress", "a second place was given where there is one");
    assert_eq!(waiting.await.unwrap(), "order 1 stored Repeat Same");
    assert_eq!(first.await.unwrap(), "order 1 Recorded");
}

// covers: W2 K4
#[tokio::test(start_paused = true)]
async fn an_actor_that_waits_with_all_its_places_leaves_those_of_others() {
    let limits = Limits { waiters_max: 2, waiters_per_actor_max: 1, ..Limits::default() };
    let engine = World::sound().engine(limits).await;
    let effects = Arc::new(AtomicUsize::new(0));
    let run = |actor: &'static str, key: &'static str| {
        let (engine, effects) = (engine.clone(), Arc::clone(&effects));
        let asked = Call { actor: Actor::new("session", actor.as_bytes()), ..call(key, "a", policy()) };
        tokio::spawn(async move {
            let slow = answering(&effects, Duration::from_secs(20), 201, "made");
            told(&engine.run(asked, slow).await)
        })
    };
    let firsts = [run("mallory", "a"), run("mallory", "b"), run("alice", "a")];
    tokio::time::sleep(SHORT).await;
    let waiting = run("mallory", "a");
    tokio::time::sleep(SHORT).await;
    assert_eq!(run("mallory", "b").await.unwrap(), "in-progress", "she got a second place");
    let alices = run("alice", "a");
    assert_eq!(waiting.await.unwrap(), "made stored Repeat Same");
    assert_eq!(alices.await.unwrap(), "made stored Repeat Same");
    for first in firsts {
        assert_eq!(first.await.unwrap(), "made Recorded");
    }
}

// covers: F6 B2
#[tokio::test(start_paused = true)]
async fn another_request_under_the_key_is_refused_or_replayed_as_the_route_says() {
    let engine = World::sound().engine(Limits::default()).await;
    let effects = Arc::new(AtomicUsize::new(0));
    let refusing = Policy { on_mismatch: OnMismatch::Refuse, ..policy() };
    engine.run(call("k", "a", policy()), answering(&effects, SHORT, 201, "order 1")).await;
    let refused = engine.run(call("k", "b", refusing), answering(&effects, SHORT, 201, "order 2")).await;
    let drifted = engine.run(call("k", "b", policy()), answering(&effects, SHORT, 201, "order 3")).await;
    assert_eq!(told(&refused), "key-reused");
    assert_eq!(told(&drifted), "order 1 stored Repeat Drifted");
    assert_eq!(effects.load(Ordering::SeqCst), 1);
}

// covers: O4 L5
#[tokio::test(start_paused = true)]
async fn an_answer_that_declines_frees_the_key_and_one_that_does_not_say_is_doubted() {
    let engine = World::sound().engine(Limits::default()).await;
    let effects = Arc::new(AtomicUsize::new(0));
    let run = |key: &'static str, status| {
        let (engine, effects) = (engine.clone(), Arc::clone(&effects));
        async move {
            told(&engine.run(call(key, "a", policy()), answering(&effects, SHORT, status, "said")).await)
        }
    };
    assert_eq!(run("declined", 429).await, "said Released(Declined(429))");
    assert_eq!(run("declined", 201).await, "said Recorded");
    assert_eq!(run("doubted", 408).await, "outcome-unknown");
    assert_eq!(run("doubted", 201).await, "outcome-unknown");
    assert_eq!(effects.load(Ordering::SeqCst), 3);
}

// covers: L6
#[tokio::test(start_paused = true)]
async fn draining_lets_calls_end_and_doubts_what_does_not() {
    let world = World::sound();
    let engine = world.engine(Limits::default()).await;
    let effects = Arc::new(AtomicUsize::new(0));
    let run = |key: &'static str, takes_s| {
        let (engine, effects) = (engine.clone(), Arc::clone(&effects));
        let takes = Duration::from_secs(takes_s);
        tokio::spawn(async move {
            told(&engine.run(call(key, "a", policy()), answering(&effects, takes, 201, "done")).await)
        })
    };
    let (quick, endless) = (run("quick", 2), run("endless", 500));
    tokio::time::sleep(SHORT).await;
    let report = engine.drain(Duration::from_secs(10)).await;
    assert_eq!(report, DrainReport { finished: 1, stopped: 1 });
    assert_eq!(quick.await.unwrap(), "done Recorded");
    assert_eq!(endless.await.unwrap(), "outcome-unknown");
    assert_eq!(run("late", 1).await.unwrap(), "overloaded", "a call was taken while draining");
    assert_eq!(effects.load(Ordering::SeqCst), 1, "the stopped effect ran on");
    engine.close().await;
    let next = world.engine(Limits::default()).await;
    let repeat = next.run(call("endless", "a", policy()), answering(&effects, SHORT, 201, "again")).await;
    assert_eq!(told(&repeat), "outcome-unknown");
}

// covers: T1 T2 T3
#[tokio::test(start_paused = true)]
async fn after_retention_the_answer_is_gone_and_the_key_is_not() {
    let limits = Limits { sweep_period: Duration::from_secs(600), ..Limits::default() };
    let engine = World::sound().engine(limits).await;
    let effects = Arc::new(AtomicUsize::new(0));
    engine.run(call("k", "a", policy()), answering(&effects, SHORT, 201, "order 1")).await;
    tokio::time::sleep(Duration::from_secs(24 * 60 * 60 + 601)).await;
    let expired = engine.run(call("k", "a", policy()), answering(&effects, SHORT, 201, "order 2")).await;
    assert_eq!(told(&expired), "key-expired");
    assert_eq!(effects.load(Ordering::SeqCst), 1);
    assert!(engine.telemetry().render().contains("onceward_swept_total{outcome=\"expired\"} 1"));
}

// covers: K7
#[tokio::test(start_paused = true)]
async fn a_key_from_the_future_or_from_before_all_memory_is_refused() {
    let engine = World::sound().engine(Limits::default()).await;
    let effects = Arc::new(AtomicUsize::new(0));
    let uuid_at = |ms: u64| format!("{:08x}-{:04x}-7000-8000-000000000000", ms >> 16, ms & 0xffff);
    for (ahead_ms, expected) in [(299_000, "done Recorded"), (301_000, "key-invalid")] {
        let key = uuid_at(STARTED_MS + ahead_ms);
        let ran =
            engine.run(call(&key, "a", policy()), answering(&effects, Duration::ZERO, 201, "done")).await;
        assert_eq!(told(&ran), expected, "issued {ahead_ms} ms ahead");
    }
}

// covers: A1 K6
#[tokio::test(start_paused = true)]
async fn every_decision_is_in_the_audit_log_and_no_key_is() {
    let world = World::sound();
    let engine = world.engine(Limits::default()).await;
    let effects = Arc::new(AtomicUsize::new(0));
    for body in ["a", "a", "b"] {
        engine.run(call("very-secret-key", body, policy()), answering(&effects, SHORT, 201, "order 1")).await;
    }
    engine.close().await;
    let tag = engine.key_tag(&Key::new("very-secret-key").unwrap());
    let lines = world.store.read(AuditCursor::default(), Some(tag), 100).await.unwrap();
    let events: Vec<serde_json::Value> =
        lines.iter().map(|(_, line)| serde_json::from_str(&line.json).unwrap()).collect();
    let seen: Vec<_> = events
        .iter()
        .map(|event| (event["decision"].as_str().unwrap(), event["drifted"].as_bool().unwrap_or(false)))
        .collect();
    assert_eq!(seen, [("executed", false), ("replayed", false), ("replayed", true)]);
    assert_eq!(events[0]["status"], 201);
    assert_eq!(events[0]["latency_ms"], 50);
    assert_eq!(events[0]["effect"], "POST https://shop.example/order");
    assert!(lines.iter().all(|(_, line)| !line.json.contains("very-secret-key")));
    let page = engine.list(EntryFilter::default(), None, 10).await.unwrap();
    assert_eq!(page.entries.len(), 1);
    assert!(!format!("{page:?}").contains("very-secret-key"));
}
