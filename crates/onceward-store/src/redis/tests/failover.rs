//! Fail-over and re-sharding, with an independent ledger of grants.

use std::collections::BTreeMap;

use onceward_testbed::redis::{Cluster, Watched};

use super::*;
use crate::redis::layout::Partition;

const NEEDED: [&str; 4] = ["--min-replicas-to-write", "1", "--min-replicas-max-lag", "10"];

/// Keys and how often they were granted, kept outside of any database.
#[derive(Default)]
struct Ledger(BTreeMap<u64, u32>);

impl Ledger {
    /// Claims a key as a process does that knows of no barrier yet, and notes a grant.
    async fn claim(&mut self, database: &Database, number: u64, version: u64) -> Swapped {
        let answer = persistently(database, claim(number, version)).await;
        if answer == Swapped::Done {
            *self.0.entry(number).or_default() += 1;
        }
        answer
    }

    fn assert_at_most_once(&self) {
        let twice = self.0.iter().filter(|(_, grants)| **grants > 1).collect::<Vec<_>>();
        assert!(twice.is_empty(), "granted more than once: {twice:?}");
    }
}

/// The replica misses the last claims, and is promoted: they are gone, and none of them is granted again.
// covers: T5, L1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_that_a_failover_lost_are_not_granted_again() {
    let mut servers = Watched::start(Keeping::Always, &["--min-replicas-max-lag", "10"]).expect("servers");
    let lax = RedisOptions { strict: false, ..options(&servers.url()) };
    let database = lax.connect().await.expect("servers");
    let mut ledger = Ledger::default();
    for number in 0..100 {
        assert_eq!(ledger.claim(&database, number, 1).await, Swapped::Done);
    }
    servers.replica.process().pause().expect("paused");
    // What is under way to it would reach it when it goes on.
    servers.master.ask(&["CLIENT", "KILL", "TYPE", "replica"]).expect("cut");
    for number in 100..200 {
        assert_eq!(ledger.claim(&database, number, 1).await, Swapped::Done);
    }
    servers.master.process().kill().expect("killed");
    servers.replica.process().resume().expect("resumed");
    servers.wait_for_promotion().expect("promoted");
    let mut lost = 0;
    for number in 0..200 {
        match ledger.claim(&database, number, 2).await {
            Swapped::Found(Some(found)) => assert_eq!(found.mark, mark(1)),
            Swapped::History { barrier } => {
                assert_eq!(barrier, NOW);
                lost += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    ledger.assert_at_most_once();
    assert!(lost > 0, "the replica had everything, so that this shows nothing");
}

/// A process that does not hear from most Sentinels does not know who is master, and grants nothing.
// covers: S2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_most_sentinels_do_not_name_is_not_used() {
    let mut servers = Watched::start(Keeping::Always, &[]).expect("servers");
    let lax = RedisOptions { strict: false, ..options(&servers.url()) };
    let database = lax.connect().await.expect("servers");
    assert_eq!(exchanged(&database, claim(1, 1)).await, Swapped::Done);
    servers.lose_most_sentinels().expect("lost");
    let refused = Swapped::Unavailable { reason: "too few Sentinels name a master" };
    let began = Instant::now();
    while exchanged(&database, claim(2, 1)).await != refused {
        // waits: for the Sentinels' last word to be too old.
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(began.elapsed() < Duration::from_secs(10), "it goes on");
    }
    assert!(servers.master.ask(&["PING"]).expect("an answer").contains("PONG"));
}

/// In a Cluster, the same for the keys of one master; the others go on as if nothing had been.
// covers: T5, L1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_goes_on_after_a_master_is_lost() {
    let mut cluster = Cluster::start(Keeping::Always, true, &NEEDED[2..]).expect("a cluster");
    let lax = RedisOptions { strict: false, ..options(&cluster.url()) };
    let database = lax.connect().await.expect("a cluster");
    let mut ledger = Ledger::default();
    for number in 0..150 {
        assert_eq!(ledger.claim(&database, number, 1).await, Swapped::Done);
    }
    let lost_master = cluster.servers[0].address().port();
    let owners = database.calls.links.owners(&Partition::all().collect::<Vec<_>>()).await.expect("owners");
    let of_lost = |number: u64| owners[Partition::of(id(number)).index()].port == lost_master;
    cluster.servers[0].process().kill().expect("killed");
    let others =
        (150..200).filter(|number| !of_lost(*number)).map(|number| claim(number, 1)).collect::<Vec<_>>();
    let (count, mixed) = (others.len(), claim((150..).find(|number| of_lost(*number)).expect("one"), 1));
    let mut batch = others;
    batch.push(mixed);
    let mut swapped = database.exchange(batch.into(), NOW).await.expect("answers");
    let of_the_lost = swapped.pop().expect("an answer");
    assert!(matches!(of_the_lost, Swapped::Unavailable { .. } | Swapped::Unknown { .. }), "{of_the_lost:?}");
    assert_eq!(swapped, vec![Swapped::Done; count]);
    for number in 0..150 {
        match ledger.claim(&database, number, 2).await {
            Swapped::Found(Some(found)) => assert_eq!(found.mark, mark(1)),
            Swapped::History { barrier } => assert!(of_lost(number) && barrier == NOW, "{number}"),
            other => panic!("{other:?}"),
        }
    }
    let unknown = (1_000..).find(|number| of_lost(*number)).expect("one");
    assert_eq!(ledger.claim(&database, unknown, 1).await, Swapped::History { barrier: NOW });
    ledger.assert_at_most_once();
}

/// Slots go from one master to another while keys are claimed: each is granted once, and no barrier rises, for nothing is lost.
// covers: T5, L1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_loses_nothing() {
    let cluster = Cluster::start(Keeping::EverySecond, false, &[]).expect("a cluster");
    let database = Arc::new(open(&cluster.url()).await);
    let mut first = Ledger::default();
    for number in 0..300 {
        assert_eq!(first.claim(&database, number, 1).await, Swapped::Done);
    }
    let load = Arc::clone(&database);
    let claims = tokio::spawn(async move {
        let mut ledger = Ledger::default();
        for number in 300..900 {
            assert_eq!(ledger.claim(&load, number, 1).await, Swapped::Done, "{number}");
            let again = ledger.claim(&load, number - 300, 2).await;
            assert_eq!(again, Swapped::Found(Some(stored(&row(number - 300, 1, 0)))), "{number}");
        }
        ledger.assert_at_most_once();
    });
    let moved = tokio::task::spawn_blocking(move || {
        let [from, to, _] = cluster.servers.as_slice() else { panic!("three servers") };
        for partition in Partition::all().filter(|partition| partition.0 % 8 == 0) {
            let key = format!("{{ow{}}}", partition.0);
            let slot =
                from.ask(&["CLUSTER", "KEYSLOT", &key]).expect("a slot").trim().parse().expect("a number");
            if slot < 5_461 {
                cluster.move_slot(slot, from, to).expect("moved");
            }
        }
        cluster
    });
    let _cluster = moved.await.expect("moved");
    claims.await.expect("claimed");
    assert_eq!(database.barrier(NOW).await.expect("an answer"), None);
}
