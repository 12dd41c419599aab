//! Several processes on one table.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use onceward_core::record::{Alarm, Decision, Denial, DoubtReason, Drift, State, Verdict};
use onceward_store::{Resolution, ResolutionChange, Settle, Store, StoredAudit, Swept, Table};
use tokio::{task::JoinSet, time::Instant};

use super::kit::{again, granted_to, now, open, waits};
use crate::kit::{self, LEASE, answer, claim, decision, granted, id};

/// A thousand requests with one key, at two processes at once: one runs, and the table is not asked a thousand times.
// covers: L1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_a_thousand_duplicates_at_two_processes_runs() {
    let (table, clock) = (Table::default(), kit::clock());
    let stores = [Arc::new(open(&table, &clock, 1).await), Arc::new(open(&table, &clock, 2).await)];
    let all = async |attempts: u64| {
        let mut claims = JoinSet::new();
        for attempt in 0..attempts {
            let store = Arc::clone(&stores[usize::from(attempt % 2 == 1)]);
            let mut claim = claim(1);
            claim.attempt.0[..8].copy_from_slice(&attempt.to_be_bytes());
            claims.spawn(async move { decision(store.claim(claim).await) });
        }
        claims.join_all().await
    };
    let decisions = all(1_000).await;
    let granted: Vec<_> = (decisions.iter())
        .filter_map(|decision| if let Decision::Execute(attempt) = decision { Some(*attempt) } else { None })
        .collect();
    assert_eq!(granted.len(), 1);
    assert_eq!(decisions.iter().filter(|decision| **decision == waits(Duration::ZERO)).count(), 999);

    let before = table.calls();
    // The process that does not hold the claim settles it just as well.
    for store in &stores {
        let settled = store.settle(id(1), granted[0], Settle::Complete(answer(1))).await;
        assert_eq!(decision(settled), Decision::Settled);
    }
    let replay = Decision::Replay { outcome: Some(answer(1)), age: Duration::ZERO, drift: Drift::Same };
    assert_eq!(all(1_000).await, vec![replay; 1_000]);
    let calls = table.calls() - before;
    assert!(calls < 200, "{calls} calls for a thousand duplicates");
}

/// What one process does to a record, the other has to go by, whatever it remembers of it.
// covers: L2, L13, D3
#[tokio::test]
async fn a_process_goes_by_what_another_made_of_its_claim() {
    let (table, clock) = (Table::default(), kit::clock());
    let (here, there) = (open(&table, &clock, 1).await, open(&table, &clock, 2).await);
    let holder = granted(&here, 1).await;
    assert_eq!(decision(there.claim(again(1, 2)).await), waits(Duration::ZERO));
    // Renewed there, by whoever speaks for the holder: the lease is longer here, too.
    clock.advance(Duration::from_secs(20));
    assert_eq!(decision(there.renew(id(1), holder).await), Decision::Renewed(after(&clock, LEASE)));
    clock.advance(Duration::from_secs(20));
    assert_eq!(decision(here.claim(again(1, 2)).await), waits(Duration::from_secs(20)));
    assert_eq!(decision(here.renew(id(1), holder).await), Decision::Renewed(after(&clock, LEASE)));

    // It lapses; the other process finds that, and a verdict there frees the key and has it run again.
    clock.advance(LEASE);
    let doubt = decision(there.claim(again(1, 2)).await);
    assert!(matches!(doubt, Decision::Refuse(Denial::InDoubt { .. })), "{doubt:?}");
    let verdict = ResolutionChange::Verdict { verdict: Verdict::Absent, judged: holder.epoch };
    assert_eq!(decision(there.resolve(resolution(1, verdict)).await), Decision::Settled);
    let second = granted_to(&there, again(1, 2)).await;
    assert!(second.epoch > holder.epoch);
    let late = here.settle(id(1), holder, Settle::Complete(answer(1))).await;
    assert_eq!(decision(late), Decision::Stale(Alarm::EffectAfterRelease));
    assert_eq!(decision(here.renew(id(1), holder).await), Decision::Stale(Alarm::None));
    let settled = there.settle(id(1), second, Settle::Complete(answer(2))).await;
    assert_eq!(decision(settled), Decision::Settled);
}

fn after(clock: &Arc<onceward_store::ManualClock>, by: Duration) -> onceward_core::time::Timestamp {
    onceward_store::Clock::now(&**clock).after(by)
}

fn resolution(number: u64, change: ResolutionChange) -> Resolution {
    let claim = claim(number);
    let audit = StoredAudit { at: now(), key: Some(claim.label.key), json: "{}".to_owned() };
    Resolution { id: claim.id, change, label: claim.label, audit: Some(audit) }
}

/// Both sweep, at once: each record is visited once, and each lapsed lease is counted by one of the processes.
// covers: L4, T3, A2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_processes_sweep_is_counted_once() {
    let (table, clock) = (Table::default(), kit::clock());
    let (here, there) = (open(&table, &clock, 1).await, open(&table, &clock, 2).await);
    for number in 0..100 {
        granted(&here, number).await;
    }
    clock.advance(LEASE);
    let (swept_here, swept_there) = tokio::join!(here.sweep(200), there.sweep(200));
    let swept = [swept_here, swept_there].map(|swept| swept.expect("the store answers"));
    assert_eq!(swept.iter().map(|swept| swept.doubted).sum::<u64>(), 100, "{swept:?}");
    let mut lapsed = 0;
    for store in [&here, &there] {
        let tally = store.health().await.expect("the store answers").tally;
        assert_eq!(tally.in_doubt(), 100);
        assert_eq!(tally.doubts().values().sum::<u64>(), tally.leases_lapsed());
        lapsed += tally.leases_lapsed();
    }
    assert_eq!(lapsed, 100);
    assert_eq!(here.sweep(200).await.expect("the store answers"), Swept::default());
}

/// A duplicate that waits in one process hears within 50 ms of the end in the other. In tokio's time, which stands still while there is
/// work: what passes is what the store waits for of its own accord.
// covers: W1
#[tokio::test(start_paused = true)]
async fn a_waiter_hears_of_an_end_in_another_process() {
    let (table, clock) = (Table::default(), kit::clock());
    let here = open(&table, &clock, 1).await;
    let there = Arc::new(open(&table, &clock, 2).await);
    let ends: BTreeMap<u64, Settle> = BTreeMap::from([
        (1, Settle::Complete(answer(1))),
        (2, Settle::Release),
        (3, Settle::Doubt(DoubtReason::AnswerCut)),
    ]);
    for (number, end) in ends {
        let holder = granted(&here, number).await;
        let mut waiting = JoinSet::new();
        for _ in 0..10 {
            let there = Arc::clone(&there);
            waiting.spawn(async move { there.changed_elsewhere(id(number)).await });
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(waiting.try_join_next().is_none(), "woken while the claim is live");
        let settled = here.settle(id(number), holder, end).await;
        assert_eq!(decision(settled), Decision::Settled);
        let ended = Instant::now();
        waiting.join_all().await;
        assert!(ended.elapsed() <= Duration::from_millis(50), "{:?}", ended.elapsed());
    }
    // A lease that lapses is an end, too.
    granted(&here, 4).await;
    clock.advance(LEASE);
    there.changed_elsewhere(id(4)).await;
    // Nobody waits any more, and nobody looks.
    let before = table.calls();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(table.calls(), before);
}

/// What a process hands in before it is dropped is made, as with a process that ends in order.
// covers: L6
#[tokio::test]
async fn what_was_handed_in_before_the_end_is_made() {
    let (table, clock) = (Table::default(), kit::clock());
    let store = open(&table, &clock, 1).await;
    let mut claiming = store.claim(claim(1));
    let polled = std::future::poll_fn(|context| {
        std::task::Poll::Ready(std::pin::Pin::new(&mut claiming).poll(context).is_ready())
    });
    assert!(!polled.await, "a claim was answered at once");
    drop(claiming);
    drop(store);
    let other = open(&table, &clock, 2).await;
    // waits: for the tasks of the dropped store, which nobody can be told the end of.
    let deadline = Instant::now() + Duration::from_secs(10);
    let state = loop {
        match kit::record(&other, 1).await {
            None if Instant::now() < deadline => tokio::task::yield_now().await,
            record => break record.map(|record| record.state),
        }
    };
    assert!(matches!(state, Some(State::Claimed { .. })), "{state:?}");
}
