//! The suite, on a lone server and on a Cluster.

use std::sync::Arc;

use onceward_core::actor::LookupId;
use onceward_store::{
    AuditLog, ManualClock, Shared, Store,
    conformance::{Damage, Subject, Survival},
};
use onceward_testbed::redis::{Cluster, Keeping, Place, shared};

use super::open;
use crate::kit;

/// The servers, and how to talk to them.
enum Servers {
    One(Box<Place>),
    Many(Cluster),
}

struct Database {
    store: Arc<Shared>,
    clock: Arc<ManualClock>,
    servers: Servers,
}

async fn one() -> Database {
    database(Servers::One(Box::new(shared().expect("a server")))).await
}

async fn many() -> Database {
    database(Servers::Many(Cluster::start(Keeping::EverySecond, false, &[]).expect("a cluster"))).await
}

async fn database(servers: Servers) -> Database {
    let clock = kit::clock();
    let store = Arc::new(open(&servers.url(), servers.prefix(), &clock).await);
    Database { store, clock, servers }
}

impl Servers {
    fn url(&self) -> String {
        match self {
            Self::One(place) => place.url().to_owned(),
            Self::Many(cluster) => cluster.url(),
        }
    }

    fn prefix(&self) -> &str {
        match self {
            Self::One(place) => place.prefix(),
            Self::Many(_) => "suite",
        }
    }

    /// What all servers answer.
    fn converse(&self, command: &[&[u8]]) -> Vec<Vec<u8>> {
        match self {
            Self::One(place) => place.converse(command).expect("an answer"),
            Self::Many(cluster) => {
                let answers =
                    cluster.servers.iter().map(|server| server.converse(command).expect("an answer"));
                answers.flatten().filter(|answer| !answer.starts_with(b"MOVED")).collect()
            }
        }
    }
}

impl Subject for Database {
    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    fn audit(&self) -> Arc<dyn AuditLog> {
        self.store.clone()
    }

    fn clock(&self) -> Arc<ManualClock> {
        Arc::clone(&self.clock)
    }

    /// Another process opens what this one leaves.
    async fn crash(&mut self) -> Survival {
        self.store = Arc::new(open(&self.servers.url(), self.servers.prefix(), &self.clock).await);
        Survival::Leases
    }

    fn bytes(&self) -> Vec<u8> {
        let pattern = format!("{}:*", self.servers.prefix());
        let mut bytes = Vec::new();
        for key in self.servers.converse(&[b"KEYS", pattern.as_bytes()]) {
            let read: &[&[u8]] = match self.servers.converse(&[b"TYPE", &key]).concat().as_slice() {
                b"string" => &[b"GET", &key],
                b"hash" => &[b"HGETALL", &key],
                b"zset" => &[b"ZRANGE", &key, b"0", b"-1"],
                other => panic!("{}", String::from_utf8_lossy(other)),
            };
            bytes.extend(self.servers.converse(read).concat());
            bytes.extend(key);
        }
        bytes
    }

    async fn damage(&mut self, id: LookupId) -> Damage {
        // The head begins behind 37 bytes of the row.
        const PLACE: &[u8] = b"87";
        let [first, ..] = id.as_bytes();
        let mut key = format!("{}:{{ow{first}}}:row:", self.servers.prefix()).into_bytes();
        key.extend(id.as_bytes());
        let byte = self.servers.converse(&[b"GETRANGE", &key, PLACE, PLACE]).concat();
        assert_eq!(byte.len(), 1);
        self.servers.converse(&[b"SETRANGE", &key, PLACE, &[byte[0] ^ 1]]);
        Damage::Done
    }
}

mod suite_one {
    onceward_store::conformance_suite!(super::one);
}

mod suite_many {
    onceward_store::conformance_suite!(super::many);
}
