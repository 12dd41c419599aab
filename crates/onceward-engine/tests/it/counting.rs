//! Each effect that falls into doubt is counted once, whoever finds it (A2).

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use onceward_core::{
    actor::{ActorTag, KeyTag, Label, LookupId, Tenant},
    fingerprint::Fingerprint,
    outcome::Evidence,
    record::{Attempt, AttemptId, Decision, DoubtReason},
    time::Timestamp,
};
use onceward_engine::{Effected, Engine, Finding, Limits, Parts, SystemEntropy};
use onceward_store::{
    Claim, Clock, EntryFilter, Fault, Faults, Reply, Settle, Sqlite, SqliteOptions, Store, SystemClock,
    Undated,
};
use tokio::time::sleep;

use crate::kit::{World, answering, call, policy, secret, told};

const SHORT: Duration = Duration::from_millis(50);
const HOUR: Duration = Duration::from_hours(1);

fn sweepless() -> Limits {
    Limits { sweep_period: Duration::from_hours(24 * 365), ..Limits::default() }
}

/// The lines about doubt in what a scrape reads.
fn counted(engine: &Engine) -> Vec<String> {
    let rendered = engine.telemetry().render();
    let lines = rendered
        .lines()
        .filter(|line| line.starts_with("onceward_in_doubt") || line.starts_with("onceward_lease_lapsed"));
    lines.map(str::to_owned).collect()
}

fn doubts(by_reason: &[(&str, u64)], in_doubt: u64, lapsed: u64) -> Vec<String> {
    let mut lines: Vec<_> = by_reason
        .iter()
        .map(|(reason, count)| format!("onceward_in_doubt_total{{reason=\"{reason}\"}} {count}"))
        .collect();
    lines.push(format!("onceward_in_doubt_records {in_doubt}"));
    lines.push(format!("onceward_lease_lapsed_total {lapsed}"));
    lines
}

/// Starts an effect that takes four seconds, less than the first renewal is away.
fn begin(engine: &Engine, effects: &Arc<AtomicUsize>) -> tokio::task::JoinHandle<String> {
    let (engine, effects) = (engine.clone(), Arc::clone(effects));
    let takes = Duration::from_secs(4);
    tokio::spawn(async move {
        told(&engine.run(call("k", "a", policy()), answering(&effects, takes, 201, "order 1")).await)
    })
}

// covers: A2
#[tokio::test(start_paused = true)]
async fn a_lapse_that_a_duplicate_finds() {
    let world = World::sound();
    let engine = world.engine(sweepless()).await;
    let effects = Arc::new(AtomicUsize::new(0));
    assert_eq!(counted(&engine), doubts(&[], 0, 0));
    let first = begin(&engine, &effects);
    sleep(SHORT).await;
    world.store_clock.jump(HOUR);
    for _ in 0..2 {
        let repeat = engine.run(call("k", "a", policy()), answering(&effects, SHORT, 201, "order 2")).await;
        assert_eq!(told(&repeat), "outcome-unknown");
        assert_eq!(counted(&engine), doubts(&[("lease-lapsed", 1)], 1, 1));
    }
    assert_eq!(first.await.unwrap(), "order 1 Recorded");
    assert_eq!(counted(&engine), doubts(&[("lease-lapsed", 1)], 0, 1), "a late answer ends the doubt");
}

// covers: A2
#[tokio::test(start_paused = true)]
async fn a_lapse_that_a_renewal_finds() {
    let world = World::sound();
    let engine = world.engine(sweepless()).await;
    let running = engine.clone();
    let first = tokio::spawn(async move {
        let endless = std::future::pending::<Effected<&'static str>>;
        told(&running.run(call("k", "a", policy()), move |_| endless()).await)
    });
    sleep(SHORT).await;
    world.store_clock.jump(HOUR);
    assert_eq!(first.await.unwrap(), "outcome-unknown");
    assert_eq!(counted(&engine), doubts(&[("lease-lapsed", 1)], 1, 1));
}

// covers: A2
#[tokio::test(start_paused = true)]
async fn a_lapse_that_the_sweep_finds() {
    let world = World::sound();
    let engine = world.engine(Limits::default()).await;
    let effects = Arc::new(AtomicUsize::new(0));
    let first = begin(&engine, &effects);
    sleep(SHORT).await;
    world.store_clock.jump(HOUR);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(counted(&engine), doubts(&[("lease-lapsed", 1)], 1, 1));
    assert_eq!(first.await.unwrap(), "order 1 Recorded");
    assert_eq!(counted(&engine), doubts(&[("lease-lapsed", 1)], 0, 1));
}

// covers: A2
#[tokio::test(start_paused = true)]
async fn a_doubt_whose_settlement_is_stored_late_or_whose_answer_is_lost() {
    let unanswered =
        |_: Attempt| async { Effected::<&'static str>::Unanswered(Evidence::Unknown(DoubtReason::NoAnswer)) };
    // The start and the claim go through. Then the answer to the settlement is lost, and it is told again.
    let faults = Faults::scripted([Fault::None, Fault::None, Fault::AnswerLost]);
    let engine = World::new(7, faults).engine(sweepless()).await;
    let ran = engine.run(call("k", "a", policy()), unanswered).await;
    assert_eq!(told(&ran), "outcome-unknown");
    assert_eq!(counted(&engine), doubts(&[("no-answer", 1)], 1, 0));
    // Or the store is away for longer than the caller waits for it.
    let faults = [Fault::None, Fault::None].into_iter().chain([Fault::Refused; 16]);
    let engine = World::new(7, Faults::scripted(faults)).engine(sweepless()).await;
    let ran = engine.run(call("k", "a", policy()), unanswered).await;
    assert_eq!(told(&ran), "outcome-unknown");
    assert_eq!(counted(&engine), doubts(&[], 0, 0), "the store did not take it yet");
    sleep(Duration::from_secs(10)).await;
    assert_eq!(counted(&engine), doubts(&[("no-answer", 1)], 1, 0));
}

// covers: A2
#[tokio::test(start_paused = true)]
async fn a_verdict_ends_what_is_in_doubt_now_and_takes_nothing_from_what_was() {
    let engine = World::sound().engine(sweepless()).await;
    let unanswered =
        |_: Attempt| async { Effected::<&'static str>::Unanswered(Evidence::Unknown(DoubtReason::NoAnswer)) };
    for key in ["one", "two"] {
        engine.run(call(key, "a", policy()), unanswered).await;
    }
    assert_eq!(counted(&engine), doubts(&[("no-answer", 2)], 2, 0));
    let page = engine.list(EntryFilter::default(), None, 1).await.unwrap();
    let entry = &page.entries[0];
    engine.resolve(entry.id, &entry.label, Finding::Absent, entry.record.epoch, "looked").await.unwrap();
    assert_eq!(counted(&engine), doubts(&[("no-answer", 2)], 1, 0));
}

// covers: A2 L10
#[tokio::test(start_paused = true)]
async fn a_claim_that_a_dead_process_left_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let options = SqliteOptions { log_pages: 64, ..SqliteOptions::new([7; 32]) };
        Arc::new(Sqlite::open(&folder.path().join("onceward.db"), options).unwrap())
    };
    let died = open();
    granted(&*died, 1).await;
    let settled = granted(&*died, 2).await;
    let end = Settle::Doubt(DoubtReason::NoAnswer);
    died.settle(id(2), settled, end).await.unwrap();
    drop(died);

    let store = open();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::starting_at(Timestamp::from_ms(0)));
    let parts = Parts {
        store: Arc::clone(&store) as Arc<dyn Store>,
        audit_log: store,
        secret: secret(),
        clock,
        entropy: Arc::new(SystemEntropy),
        limits: sweepless(),
    };
    let engine = Engine::start(parts).await.unwrap();
    // What was in doubt before is in doubt now, and no new doubt.
    assert_eq!(counted(&engine), doubts(&[("holder-gone", 1)], 2, 0));
}

fn id(number: u8) -> LookupId {
    LookupId::from_bytes([number; 32])
}

async fn granted(store: &dyn Store, number: u8) -> Attempt {
    let claim = Claim {
        id: id(number),
        attempt: AttemptId([number; 16]),
        fingerprint: Fingerprint::from_bytes(&[1; 33]).unwrap(),
        terms: policy().terms(),
        label: Label {
            tenant: Tenant::single(),
            actor: ActorTag::from_bytes([1; 8]),
            key: KeyTag::from_bytes([number; 8]),
            effect: "POST https://shop.example/order".to_owned(),
        },
        issued_at: None,
        undated: Undated::Execute,
        request: None,
    };
    match store.claim(claim).await.unwrap() {
        Reply::Decided { decision: Decision::Execute(attempt), .. } => attempt,
        other => panic!("not granted: {other:?}"),
    }
}
