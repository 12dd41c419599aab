//! A store that takes no claim, on a route that goes on without it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use onceward_core::outcome::{Policy, WhenStoreDown};
use onceward_engine::{Engine, Limits};
use onceward_store::{AuditCursor, AuditLog, Fault, Faults};
use tokio::time::Instant;

use crate::kit::{World, answering, call, policy, told};

const SHORT: Duration = Duration::from_millis(50);

/// Longer than any test's virtual time.
const FOREVER: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// Nothing is swept, so that the plan's operations are those of the calls.
fn limits() -> Limits {
    Limits { sweep_period: FOREVER, ..Limits::default() }
}

/// The store does as it should for so many operations, and then what `faults` say.
fn after(operations: usize, faults: impl IntoIterator<Item = Fault>) -> World {
    World::new(7, Faults::scripted(std::iter::repeat_n(Fault::None, operations).chain(faults)))
}

fn open() -> Policy {
    Policy { when_store_down: WhenStoreDown::Open, ..policy() }
}

async fn ordered(engine: &Engine, effects: &Arc<AtomicUsize>, takes: Duration) -> String {
    told(&engine.run(call("k", "a", open()), answering(effects, takes, 201, "order 1")).await)
}

async fn decisions(world: &World) -> Vec<String> {
    let lines = world.store.inner().read(AuditCursor(0), None, 10).await.unwrap();
    let decision = |json: &str| {
        let event: serde_json::Value = serde_json::from_str(json).unwrap();
        format!("{} {}", event["decision"].as_str().unwrap(), event["reason"].as_str().unwrap_or_default())
    };
    lines.iter().map(|(_, line)| decision(&line.json)).collect()
}

// covers: S2, A1, A2
#[tokio::test(start_paused = true)]
async fn a_request_goes_on_without_a_claim_soon_and_is_counted_and_written_down() {
    let world = after(1, [Fault::Refused; 12]);
    let engine = world.engine(limits()).await;
    let effects = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    assert_eq!(ordered(&engine, &effects, SHORT).await, "unguarded");
    let took = began.elapsed();
    assert!(took < Duration::from_millis(500), "an outage of its own: {took:?}");
    assert_eq!(effects.load(Ordering::SeqCst), 0, "the engine runs nothing without a claim");
    // waits: virtual time in which the audit log comes back
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(ordered(&engine, &effects, SHORT).await, "order 1 Recorded", "guarded again, and first");
    assert_eq!(ordered(&engine, &effects, SHORT).await, "order 1 stored Repeat Same");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(decisions(&world).await, ["unguarded store-unavailable", "executed ", "replayed "]);
    let metrics = engine.telemetry().render();
    assert!(metrics.contains("onceward_requests_total{outcome=\"unguarded\"} 1\n"), "{metrics}");
}

// covers: S2, L11
#[tokio::test(start_paused = true)]
async fn a_claim_that_may_have_been_granted_is_refused_all_the_same() {
    // Every answer is lost; one is lost among refusals; and one is lost and the store is away after that.
    let lost = [Fault::AnswerLost; 30].to_vec();
    let among = [[Fault::Refused; 2].as_slice(), &[Fault::AnswerLost], &[Fault::Refused; 30]].concat();
    let first = [[Fault::AnswerLost].as_slice(), &[Fault::Refused; 30]].concat();
    for faults in [lost, among, first] {
        let label = format!("{faults:?}");
        let engine = after(1, faults).engine(limits()).await;
        let effects = Arc::new(AtomicUsize::new(0));
        assert_eq!(ordered(&engine, &effects, SHORT).await, "store-unavailable", "{label}");
        // What was granted is released, since nothing was sent under it.
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(ordered(&engine, &effects, SHORT).await, "order 1 Recorded", "{label}");
    }
}

// covers: S2
#[tokio::test(start_paused = true)]
async fn what_this_process_runs_is_not_sent_beside_it() {
    // The engine's look and the claim.
    let engine = after(2, [Fault::Refused; 8]).engine(limits()).await;
    let effects = Arc::new(AtomicUsize::new(0));
    let (running, counter) = (engine.clone(), Arc::clone(&effects));
    // Shorter than a third of the lease, so that no renewal is among the operations.
    let first = tokio::spawn(async move { ordered(&running, &counter, Duration::from_secs(4)).await });
    tokio::time::sleep(SHORT).await;
    assert_eq!(ordered(&engine, &effects, SHORT).await, "store-unavailable");
    assert_eq!(first.await.unwrap(), "order 1 Recorded");
    assert_eq!(effects.load(Ordering::SeqCst), 1);
}

// covers: S2
#[tokio::test(start_paused = true)]
async fn what_the_store_said_of_the_key_before_it_went_down_holds() {
    // Both engines' looks, one's claim, and the other's first two, which find it running.
    let world = after(5, [Fault::Refused; 8]);
    let (first, second) = (world.engine(limits()).await, world.engine(limits()).await);
    let effects = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&effects);
    let running = tokio::spawn(async move { ordered(&first, &counter, Duration::from_secs(4)).await });
    tokio::time::sleep(SHORT).await;
    assert_eq!(ordered(&second, &effects, SHORT).await, "store-unavailable");
    assert_eq!(running.await.unwrap(), "order 1 Recorded");
    assert_eq!(effects.load(Ordering::SeqCst), 1);
}
