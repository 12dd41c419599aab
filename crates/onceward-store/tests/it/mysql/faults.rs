//! What goes wrong between the store and its server, and at the server, while keys are claimed: a ledger that knows nothing of either
//! counts how often each was granted.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use onceward_core::record::{AttemptId, Decision};
use onceward_store::{Claim, MysqlOptions, Reply, Settle, Shared, Store, StoreError};
use onceward_testbed::{Wire, mysql::Mysql};
use tokio::task::JoinSet;

use super::kit::{own, tell};
use crate::kit::{SECRET_CHECK, answer, claim, id};

/// Clients of each store: all of them want the same keys.
const CLIENTS: u64 = 6;

/// Grants of each key, the keys whose answer was acknowledged, and how often a client was told that something went wrong.
#[derive(Debug, Default)]
struct Ledger {
    grants: BTreeMap<u64, Vec<AttemptId>>,
    answered: Vec<u64>,
    failures: u64,
}

fn by(number: u64, client: u64) -> Claim {
    let mut attempt = [0; 16];
    attempt[..8].copy_from_slice(&client.to_be_bytes());
    Claim { attempt: AttemptId(attempt), ..claim(number) }
}

async fn open(url: &str) -> Shared {
    MysqlOptions::new(url, SECRET_CHECK).open().await.expect("opened")
}

/// Wants one key after another, each until the server says what became of it; a grant is written down once for each attempt.
async fn want(store: Arc<Shared>, client: u64, ledger: Arc<Mutex<Ledger>>, over: Arc<AtomicBool>) {
    for number in 0.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        loop {
            match store.claim(by(number, client)).await {
                Ok(Reply::Decided { decision: Decision::Execute(attempt), .. }) => {
                    note(&ledger, |ledger| {
                        let grants = ledger.grants.entry(number).or_default();
                        if !grants.contains(&attempt.id) {
                            grants.push(attempt.id);
                        }
                    });
                    // Again with the same attempt for as long as the answer is lost.
                    let settle = || store.settle(id(number), attempt, Settle::Complete(answer(number)));
                    while settle().await.is_err() {
                        note(&ledger, |ledger| ledger.failures += 1);
                        tokio::task::yield_now().await;
                    }
                    note(&ledger, |ledger| ledger.answered.push(number));
                    break;
                }
                Ok(Reply::Decided { decision: Decision::Replay { .. }, .. }) => break,
                Ok(Reply::Decided { decision: Decision::Wait { .. }, .. }) => {}
                Err(
                    StoreError::Unavailable { .. } | StoreError::Unknown { .. } | StoreError::Busy { .. },
                ) => {
                    note(&ledger, |ledger| ledger.failures += 1);
                }
                other => panic!("{other:?}"),
            }
            // waits: for the other claimant, or for the server to come back
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Waits until the clients have got on by some keys: whatever comes then comes in the middle of exchanges.
async fn got_on(ledger: &Mutex<Ledger>) {
    const KEYS: usize = 10;
    let answered = || ledger.lock().expect("unpoisoned").answered.len();
    let until = answered() + KEYS;
    while answered() < until {
        // waits: the clients run beside this
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn note(ledger: &Mutex<Ledger>, write: impl FnOnce(&mut Ledger)) {
    write(&mut ledger.lock().expect("unpoisoned"));
}

/// Runs two stores' clients for as long as `fault` has its way, and holds the ledger against what the database says afterwards.
async fn under(server: Mysql, url: String, fault: impl AsyncFnOnce(Mysql, &Mutex<Ledger>) -> Mysql) {
    let (ledger, over) = (Arc::<Mutex<Ledger>>::default(), Arc::<AtomicBool>::default());
    let stores = [Arc::new(open(&url).await), Arc::new(open(&url).await)];
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        for (number, store) in (0..).zip(&stores) {
            let (store, ledger, over) = (Arc::clone(store), Arc::clone(&ledger), Arc::clone(&over));
            clients.spawn(want(store, 1 + client * 2 + number, ledger, over));
        }
    }
    let server = fault(server, &ledger).await;
    over.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.expect("a client that ends");
    }
    let mut met = 0;
    for store in &stores {
        let link = store.health().await.expect("answered").link.expect("a shared store has one");
        met += link.repetitions() + link.timeouts();
    }
    let ledger = std::mem::take(&mut *ledger.lock().expect("unpoisoned"));
    assert!(met + ledger.failures > 0, "the fault met nobody");
    let keys = ledger.grants.len() as u64;
    let grants: Vec<_> = ledger.grants.iter().map(|(number, grants)| (*number, grants.len())).collect();
    assert_eq!(grants, (0..keys).map(|number| (number, 1)).collect::<Vec<_>>());
    let mut answered = ledger.answered.clone();
    answered.sort_unstable();
    assert_eq!(answered, (0..keys).collect::<Vec<_>>());
    // Whatever was acknowledged is there for a process that comes later.
    let newcomer = open(&server.url("root", "onceward")).await;
    for number in answered {
        match newcomer.claim(by(number, 99)).await.expect("answered") {
            Reply::Decided { decision: Decision::Replay { outcome: Some(kept), .. }, .. } => {
                assert_eq!(kept, answer(number), "{number}");
            }
            other => panic!("{number}: {other:?}"),
        }
    }
}

// covers: L1, L11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_lost_on_the_way_grants_nothing_twice() {
    let server = own(&[]).await;
    let wire = Wire::to(server.address()).expect("a wire");
    let url = format!("mysql://root@{}/onceward", wire.address());
    under(server, url, async |server, ledger| {
        for round in 0..12 {
            got_on(ledger).await;
            if round % 2 == 0 {
                wire.swallow();
                // waits: so that clients ask and hear nothing for a while
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            wire.cut();
        }
        server
    })
    .await;
}

// covers: L1, S2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_keeps_what_it_acknowledged_and_grants_nothing_twice() {
    let server = own(&["--log-bin=binlog", "--sync-binlog=1"]).await;
    let url = server.url("root", "onceward");
    under(server, url, async |mut server, ledger| {
        for _ in 0..3 {
            got_on(ledger).await;
            server.server().kill().expect("killed");
            server.start_again().expect("started");
        }
        server
    })
    .await;
}

// covers: L1, S2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_or_is_restarted_grants_nothing_twice() {
    let server = own(&[]).await;
    let url = server.url("root", "onceward");
    under(server, url, async |mut server, ledger| {
        got_on(ledger).await;
        server.server().pause().expect("paused");
        // waits: past the time of an operation, so that clients give up and ask again
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        server.server().resume().expect("resumed");
        got_on(ledger).await;
        server.stop().expect("stopped");
        server.start_again().expect("started");
        got_on(ledger).await;
        server
    })
    .await;
}

/// A demoted primary takes nothing more, and says so; when it is one again, everything goes on.
// covers: S2, S3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_turns_read_only_refuses_and_nothing_is_granted_twice() {
    let server = own(&[]).await;
    let url = server.url("root", "onceward");
    under(server, url, async |server, ledger| {
        let admin = server.url("root", "mysql");
        for _ in 0..5 {
            got_on(ledger).await;
            tell(&admin, "SET GLOBAL read_only = 1").await;
            // waits: so that clients meet it
            tokio::time::sleep(Duration::from_millis(40)).await;
            tell(&admin, "SET GLOBAL read_only = 0").await;
        }
        server
    })
    .await;
}
