//! Engines in several processes, on one database.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use onceward_engine::{Engine, Limits, Parts};
use onceward_store::{AuditLog, Clock, Fault, Faults, Store, Table, TableOptions};
use tokio::time::Instant;

use crate::kit::{Seeded, VirtualClock, answering, call, policy, secret, told};

/// One process.
async fn process(table: &Table, clock: &Arc<VirtualClock>, number: u64) -> Engine {
    let clock = Arc::<VirtualClock>::clone(clock);
    let options = TableOptions { clock: Some(Arc::clone(&clock) as Arc<dyn Clock>), seed: number << 32 };
    let store = Arc::new(table.open(options).await.unwrap());
    let parts = Parts {
        store: Arc::clone(&store) as Arc<dyn Store>,
        audit_log: store as Arc<dyn AuditLog>,
        secret: secret(),
        clock,
        entropy: Seeded::new(number),
        limits: Limits::default(),
    };
    Engine::start(parts).await.unwrap()
}

/// Duplicates that wait at another process get the outcome within 50 ms of its completion; of all of them one runs.
// covers: W1, L1
#[tokio::test(start_paused = true)]
async fn duplicates_at_another_process_get_the_outcome_at_once() {
    let (table, clock) = (Table::default(), VirtualClock::start());
    let engines = [process(&table, &clock, 1).await, process(&table, &clock, 2).await];
    let effects = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let takes = Duration::from_millis(6_430);
    let run = |engine: &Engine| {
        let (engine, effects) = (engine.clone(), Arc::clone(&effects));
        tokio::spawn(async move {
            let ran = engine.run(call("k", "a", policy()), answering(&effects, takes, 201, "order 1")).await;
            (told(&ran), began.elapsed())
        })
    };
    let first = run(&engines[0]);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let repeats: Vec<_> = (0..20).map(|number| run(&engines[number % 2])).collect();
    assert_eq!(first.await.unwrap(), ("order 1 Recorded".to_owned(), takes));
    for repeat in repeats {
        let (told, at) = repeat.await.unwrap();
        assert_eq!(told, "order 1 stored Repeat Same");
        assert!(at <= takes + Duration::from_millis(50), "{at:?}");
    }
    assert_eq!(effects.load(Ordering::SeqCst), 1);
}

/// The way to the database is among the metrics of an engine whose store has one, and read without asking the database.
// covers: A2
#[tokio::test(start_paused = true)]
async fn the_way_to_the_database_is_measured() {
    let (table, clock) = (Table::default(), VirtualClock::start());
    let engine = process(&table, &clock, 1).await;
    let effects = Arc::new(AtomicUsize::new(0));
    table.fail(Faults::scripted([Fault::Late(Duration::from_secs(60))]));
    let ran = engine.run(call("k", "a", policy()), answering(&effects, Duration::ZERO, 201, "order 1")).await;
    assert_eq!(told(&ran), "order 1 Recorded");
    let calls = table.calls();
    let text = engine.telemetry().render();
    // A claim and its completion, the first of them sent twice.
    for line in [
        "onceward_store_breaker_state 0",
        "onceward_store_breaker_openings_total 0",
        "onceward_store_breaker_refusals_total 0",
        "onceward_store_repetitions_total 1",
        "onceward_store_timeouts_total 1",
        "onceward_store_exchanges_total 2",
        "onceward_store_swaps_total 2",
        "onceward_store_swaps_queued 0",
        "onceward_store_clock_steps_total 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
    }
    assert_eq!(table.calls(), calls);
}
