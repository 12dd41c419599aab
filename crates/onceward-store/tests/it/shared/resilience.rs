//! A database that stalls, is away, and comes back; on tokio's paused clock.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use onceward_core::time::Timestamp;
use onceward_store::{
    BreakerState, Clock, Cut, Fault, Faults, Link, ManualClock, Settle, Shared, Store, StoreError, Table,
    TableOptions,
};
use tokio::time::Instant;

use super::kit::{now, open};
use crate::kit::{self, claim, granted};

async fn link(store: &Shared) -> Arc<Link> {
    store.health().await.expect("the store answers").link.expect("a shared store has one")
}

/// Far longer than an operation may take.
const STALL: Fault = Fault::Late(Duration::from_secs(60));

/// Three tries of 1.5 s each, and two pauses of up to 20 and 40 ms: then the answer counts as lost.
// covers: S2, L11
#[tokio::test(start_paused = true)]
async fn a_stalled_operation_is_tried_three_times_and_then_unknown() {
    let (table, clock) = (Table::default(), kit::clock());
    let store = open(&table, &clock, 1).await;
    let link = link(&store).await;
    let (before, began) = (table.calls(), Instant::now());
    table.fail(Faults::scripted([STALL, STALL, STALL]));
    let lost = store.claim(claim(1)).await;
    assert!(matches!(lost, Err(StoreError::Unknown { .. })), "{lost:?}");
    let took = began.elapsed();
    assert!((Duration::from_millis(4_500)..Duration::from_millis(4_570)).contains(&took), "{took:?}");
    assert_eq!((table.calls() - before, link.timeouts(), link.repetitions()), (3, 3, 2));
    // One that stalls once is not noticed.
    table.fail(Faults::scripted([STALL]));
    granted(&store, 2).await;
    // And what was lost is asked for again.
    granted(&store, 1).await;
}

/// Open, the breaker keeps everything from the database; its one probe finds out whether it is back.
// covers: S2
#[tokio::test(start_paused = true)]
async fn a_database_that_is_away_is_left_alone_until_a_probe_finds_it_back() {
    let (table, clock) = (Table::default(), kit::clock());
    let store = open(&table, &clock, 1).await;
    let link = link(&store).await;
    table.fail(Faults::scripted([Fault::Refused; 6]));
    for number in 1..=2 {
        let away = store.claim(claim(number)).await;
        assert!(matches!(away, Err(StoreError::Unavailable { .. })), "{away:?}");
    }
    // The fifth failure opened it: the sixth try was not made.
    assert_eq!((link.breaker(), link.breaker_openings(), link.refusals()), (BreakerState::Open, 1, 1));
    let (before, began) = (table.calls(), Instant::now());
    let refused = [store.claim(claim(3)).await.map(drop), store.get(kit::id(1)).await.map(drop)];
    for refused in refused {
        assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    }
    assert_eq!((table.calls() - before, began.elapsed()), (0, Duration::ZERO));
    // The probe fails: twice as long.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(store.claim(claim(3)).await.is_err());
    assert_eq!((table.calls() - before, link.breaker_openings()), (1, 2));
    // The database is back.
    table.fail(Faults::scripted([]));
    tokio::time::sleep(Duration::from_secs(1)).await;
    granted(&store, 3).await;
    assert_eq!(link.breaker(), BreakerState::Closed);
    granted(&store, 4).await;
}

/// What an earlier copy may have done is not denied because a later one was refused.
// covers: L11
#[tokio::test(start_paused = true)]
async fn a_refusal_after_a_lost_answer_is_still_a_lost_answer() {
    let (table, clock) = (Table::default(), kit::clock());
    let store = open(&table, &clock, 1).await;
    table.fail(Faults::scripted([Fault::AnswerLost, Fault::Refused, Fault::Refused]));
    let lost = store.claim(claim(1)).await;
    assert!(matches!(lost, Err(StoreError::Unknown { .. })), "{lost:?}");
    granted(&store, 1).await;
}

/// Lines that may stand already are not appended again by the store itself.
// covers: A1
#[tokio::test(start_paused = true)]
async fn audit_lines_whose_answer_was_lost_are_not_sent_again() {
    use onceward_store::{AuditCursor, AuditLog, StoredAudit};
    let (table, clock) = (Table::default(), kit::clock());
    let store = open(&table, &clock, 1).await;
    let line = StoredAudit { at: now(), key: None, json: "{}".to_owned() };
    table.fail(Faults::scripted([Fault::AnswerLost]));
    let lost = store.append(vec![line.clone()]).await;
    assert!(matches!(lost, Err(StoreError::Unknown { .. })), "{lost:?}");
    // What was refused was not written, and is sent again.
    table.fail(Faults::scripted([Fault::Refused]));
    store.append(vec![line.clone()]).await.expect("appended");
    let lines = store.read(AuditCursor(0), None, 10).await.expect("read");
    assert_eq!(lines.into_iter().map(|(_, line)| line).collect::<Vec<_>>(), [line.clone(), line]);
}

/// Where every part that was asked is away, the database is: the breaker keeps askers from it.
// covers: S2
#[tokio::test(start_paused = true)]
async fn an_exchange_of_failures_only_counts_against_the_database() {
    for (cut, calls) in [(Cut::Away, 5), (Cut::Mute, 5)] {
        let (table, clock) = (Table::default(), kit::clock());
        let store = open(&table, &clock, 1).await;
        let link = link(&store).await;
        let before = table.calls();
        table.cut(kit::id(1), Some(cut));
        for _ in 0..2 {
            store.claim(claim(1)).await.expect_err("cut off");
        }
        assert_eq!((link.breaker(), link.breaker_openings()), (BreakerState::Open, 1), "{cut:?}");
        assert_eq!(table.calls() - before, calls, "{cut:?}");
    }
}

/// Panics as often as it is told to, and else says the time.
#[derive(Debug)]
struct Unsound {
    clock: Arc<ManualClock>,
    /// Readings until the next panic; none where it is negative.
    readings: AtomicI64,
}

impl Clock for Unsound {
    fn now(&self) -> Timestamp {
        assert_ne!(self.readings.fetch_sub(1, Ordering::SeqCst), 0, "an unsound clock");
        self.clock.now()
    }
}

async fn open_unsound(table: &Table, clock: &Arc<ManualClock>) -> (Shared, Arc<Unsound>) {
    let unsound = Arc::new(Unsound { clock: Arc::clone(clock), readings: AtomicI64::new(-1) });
    let options = TableOptions { clock: Some(Arc::<Unsound>::clone(&unsound)), seed: 1 };
    (table.open(options).await.expect("the table answers"), unsound)
}

/// A panic while rows are exchanged is a lost answer to who is in the batch, and the end of nothing.
// covers: L11
#[tokio::test(start_paused = true)]
async fn a_panic_in_an_exchange_costs_its_batch_and_no_more() {
    let (table, clock) = (Table::default(), kit::clock());
    let (store, unsound) = open_unsound(&table, &clock).await;
    // More often than there are tasks that exchange rows.
    for _ in 0..5 {
        // The claim is decided at the first reading and sent at the second.
        unsound.readings.store(1, Ordering::SeqCst);
        let lost = tokio::time::timeout(Duration::from_secs(60), store.claim(claim(1))).await;
        assert!(matches!(lost, Ok(Err(StoreError::Unknown { .. }))), "{lost:?}");
    }
    granted(&store, 1).await;
    assert_eq!(link(&store).await.queued(), 0);
}

/// A panic in a task that a store keeps beside its operations is not the task's end.
// covers: W1
#[tokio::test(start_paused = true)]
async fn a_panic_while_an_end_is_waited_for_is_not_the_end_of_the_watch() {
    let (table, clock) = (Table::default(), kit::clock());
    let here = open(&table, &clock, 2).await;
    let (there, unsound) = open_unsound(&table, &clock).await;
    let holder = granted(&here, 1).await;
    unsound.readings.store(0, Ordering::SeqCst);
    let end = async {
        while unsound.readings.load(Ordering::SeqCst) >= 0 {
            // waits: for the watch's next look, on a paused clock
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        here.settle(kit::id(1), holder, Settle::Release).await.expect("the store answers");
    };
    let heard =
        async { tokio::time::timeout(Duration::from_secs(60), there.changed_elsewhere(kit::id(1))).await };
    let (heard, ()) = tokio::join!(heard, end);
    assert!(heard.is_ok(), "nobody looks any more");
}
