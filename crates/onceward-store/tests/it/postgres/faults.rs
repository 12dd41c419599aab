//! Two processes after the same keys, while the way to the database and the database itself fail: at most one grant a key.

use std::{collections::HashMap, sync::Arc, thread, time::Duration};

use onceward_core::record::{AttemptId, Decision};
use onceward_store::{Claim, PostgresOptions, Reply, Settle, Store};
use onceward_testbed::{Wire, postgres::Postgres};
use tokio::task::JoinSet;

use crate::kit;

/// Claimants of each process, each after every key.
const CLAIMANTS: u8 = 3;

const KEYS: u64 = 40;

/// Claims every key, and repeats a claim under its attempt until it is answered; completes what is granted. Gives the granted keys.
async fn claimant(store: Arc<dyn Store>, attempt: AttemptId) -> Vec<u64> {
    let mut granted = Vec::new();
    for key in 0..KEYS {
        let decision = loop {
            match store.claim(Claim { attempt, ..kit::claim(key) }).await {
                Ok(Reply::Decided { decision, .. }) => break decision,
                Ok(other) => panic!("key {key}: {other:?}"),
                // waits: the server is away for a while, in real time
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        if let Decision::Execute(held) = decision {
            granted.push(key);
            while store.settle(kit::id(key), held, Settle::Complete(kit::answer(key))).await.is_err() {
                // waits: as above
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
    granted
}

// covers: L1, L11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_on_the_way_and_of_the_server_grant_nothing_twice() {
    let mut server = Postgres::start(&[]).expect("a server");
    let wire = Wire::to(server.address()).expect("a wire");
    let far = server.url().replace(&server.address().to_string(), &wire.address().to_string());
    let mut claimants = JoinSet::new();
    for (process, url) in [(1, server.url()), (2, far)] {
        let store = PostgresOptions::new(url, kit::SECRET_CHECK).open().await.expect("a store");
        let store: Arc<dyn Store> = Arc::new(store);
        for number in 0..CLAIMANTS {
            claimants.spawn(claimant(Arc::clone(&store), AttemptId([process * 16 + number; 16])));
        }
    }
    let disturber = thread::spawn(move || {
        for round in 0..5 {
            // waits: some claims are through
            thread::sleep(Duration::from_millis(150));
            wire.swallow();
            // waits: some requests are answered by nobody
            thread::sleep(Duration::from_millis(10));
            wire.cut();
            if round == 1 {
                server.kill().expect("killed");
                server.start_again().expect("started");
            }
        }
        (server, wire)
    });
    let mut ledger = HashMap::<u64, u32>::new();
    let granted = tokio::time::timeout(Duration::from_secs(60), claimants.join_all()).await;
    let (server, _wire) = disturber.join().expect("no panic");
    granted
        .expect("every claim is answered")
        .into_iter()
        .flatten()
        .for_each(|key| *ledger.entry(key).or_default() += 1);
    assert_eq!(ledger, (0..KEYS).map(|key| (key, 1)).collect());
    let done = server.execute("SELECT count(*) FROM onceward.records WHERE kind = 2").expect("counted");
    assert_eq!(done, KEYS.to_string());
}
