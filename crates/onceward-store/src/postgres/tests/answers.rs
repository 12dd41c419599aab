//! Answers that are lost, late, or say less than they seem to: at most one grant a key, whatever happens on the way.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use onceward_testbed::postgres::{Bouncer, Postgres as Server, wait_until};
use tokio::{task::JoinSet, time::timeout};

use super::*;
use crate::StoreError;

/// Claimants, each after every key.
const CLAIMANTS: u64 = 4;

/// Keys of one contest.
const KEYS: u64 = 240;

/// Keys in one batch.
const BATCH: u64 = 8;

/// How long a claimant waits for an answer before it asks again: as `Shared` does, and shorter.
const PATIENCE: Duration = Duration::from_millis(700);

/// All claimants claim all keys, and repeat a claim, under its mark, for as long as its answer is unknown. Gives who was granted each key.
async fn contest(stores: Vec<Arc<Postgres>>) -> HashMap<u64, Vec<u64>> {
    let mut claimants = JoinSet::new();
    for (claimant, store) in (1..=CLAIMANTS).zip(stores.into_iter().cycle()) {
        claimants.spawn(async move {
            let mut granted = Vec::new();
            for first in (0..KEYS).step_by(BATCH as usize) {
                let keys = first..first + BATCH;
                let claim = |key| swap(key, NOTHING, Put::Row(row(claimant * 1_000_000 + key)));
                let batch: Vec<_> = keys.clone().map(claim).collect();
                let swapped = loop {
                    match timeout(PATIENCE, store.exchange(batch.clone().into(), now())).await {
                        Ok(Ok(swapped)) => break swapped,
                        Ok(Err(StoreError::Full { limit })) => panic!("{limit}"),
                        // waits: the server is away for a while, in real time
                        Ok(Err(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
                        Err(_elapsed) => {}
                    }
                };
                granted.extend(
                    keys.zip(swapped).filter(|(_, swapped)| *swapped == Swapped::Done).map(|(key, _)| key),
                );
            }
            (claimant, granted)
        });
    }
    let mut ledger = HashMap::<u64, Vec<u64>>::new();
    for (claimant, granted) in claimants.join_all().await {
        granted.into_iter().for_each(|key| ledger.entry(key).or_default().push(claimant));
    }
    ledger
}

/// Every key was granted to exactly one, and that one's row is there.
async fn judge(ledger: HashMap<u64, Vec<u64>>, store: &Postgres) {
    for key in 0..KEYS {
        let [holder] = ledger[&key][..] else { panic!("key {key} was granted to {:?}", ledger[&key]) };
        assert_eq!(fetched(store, key).await, Some(kept(holder * 1_000_000 + key)));
    }
}

/// Two processes at `urls`, which claim while `disturb` runs again and again.
async fn disturbed(urls: [String; 2], disturb: impl FnMut() + Send + 'static) {
    let (mut stores, mut disturb) = (Vec::new(), disturb);
    for url in &urls {
        stores.push(Arc::new(at(url).await));
    }
    let over = Arc::new(AtomicBool::new(false));
    let watched = Arc::clone(&over);
    let disturber = thread::spawn(move || {
        while !watched.load(Ordering::Relaxed) {
            disturb();
        }
        disturb
    });
    let ledger = timeout(Duration::from_secs(60), contest(stores.clone())).await;
    over.store(true, Ordering::Relaxed);
    // What it holds, a server maybe, is needed to the end.
    let _disturb = disturber.join().expect("no panic");
    let store = at(&urls[1]).await;
    judge(ledger.expect("the contest ends"), &store).await;
}

// covers: L11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swallowed_answers_and_cut_connections_grant_nothing_twice() {
    let server = Server::start(&[]).expect("a server");
    let wire = Wire::to(server.address()).expect("a wire");
    let urls = [through(&wire), server.url()];
    let mut cuts = 0;
    disturbed(urls, move || {
        // waits: long enough to connect again; some answers pass then, some are lost
        thread::sleep(Duration::from_millis(80));
        if cuts < 12 {
            wire.swallow();
            // waits: some requests are answered by nobody
            thread::sleep(Duration::from_millis(5));
            wire.cut();
            cuts += 1;
        }
    })
    .await;
}

// covers: L11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_in_the_middle_grants_nothing_twice() {
    let mut server = Server::start(&[]).expect("a server");
    let urls = [server.url(), server.url()];
    let mut kills = 0;
    disturbed(urls, move || {
        // waits: some claims are through
        thread::sleep(Duration::from_millis(40));
        if kills < 3 {
            server.kill().expect("killed");
            server.start_again().expect("started");
            kills += 1;
        }
    })
    .await;
}

// covers: L11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_for_a_while_grants_nothing_twice() {
    let server = Server::start(&[]).expect("a server");
    let urls = [server.url(), server.url()];
    let mut pauses = 0;
    disturbed(urls, move || {
        // waits: some claims are through
        thread::sleep(Duration::from_millis(40));
        if pauses < 2 {
            server.pause().expect("paused");
            // waits: longer than the claimants do
            thread::sleep(PATIENCE + Duration::from_millis(200));
            server.resume().expect("resumed");
            pauses += 1;
        }
    })
    .await;
}

// covers: L1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_in_transaction_mode_may_stand_between() {
    let server = Server::start(&[]).expect("a server");
    let bouncer = Bouncer::before(server.address(), 2).expect("a pooler");
    disturbed([bouncer.url(), server.url()], thread::yield_now).await;
}

// covers: L11
#[tokio::test]
async fn a_commit_that_no_standby_has_is_no_success() {
    let server = Arc::new(Server::start(&[]).expect("a server"));
    let store = at(&server.url()).await;
    put(&store, 1, 1).await;
    let standbys = |names: &str| {
        server.execute(&format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'")).expect("set");
        server.execute("SELECT pg_reload_conf()").expect("reloaded");
        let set = || server.execute("SHOW synchronous_standby_names").is_ok_and(|set| set == names);
        wait_until("the setting", set).expect("taken over");
    };
    standbys("absent");
    let cancelled = || {
        let server = Arc::clone(&server);
        let cancel =
            "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        let waits = move || server.execute(cancel).is_ok_and(|count| count != "0");
        let cancelled = tokio::task::spawn_blocking(|| wait_until("a commit that waits", waits));
        async { cancelled.await.expect("no panic").expect("cancelled") }
    };
    // The commit itself; a copy of it; who finds it under a mark of its own, as the holder does who claims anew; who bears it out; and
    // two of which one applies. What waits behind the first is what makes sure of it.
    let (copy, keep) = (swap(2, NOTHING, Put::Row(row(2))), swap(2, Expected::Row(mark(2)), Put::Keep));
    let (anew, new) = (swap(2, NOTHING, Put::Row(row(12))), swap(3, NOTHING, Put::Row(row(3))));
    for batch in [vec![copy.clone()], vec![copy], vec![anew.clone()], vec![keep], vec![anew.clone(), new]] {
        let (answer, ()) = tokio::join!(store.exchange(batch.clone().into(), now()), cancelled());
        assert!(matches!(answer, Err(StoreError::Unknown { .. })), "{batch:?}: {answer:?}");
    }
    let (fetched, ()) = tokio::join!(store.fetch(vec![id(2)], true), cancelled());
    assert!(matches!(fetched, Err(StoreError::Unavailable { .. })), "{fetched:?}");
    standbys("");
    assert_eq!(exchanged(&store, vec![anew]).await, [Swapped::Found(Some(kept(2)))]);
}
