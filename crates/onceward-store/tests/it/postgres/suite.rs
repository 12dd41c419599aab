//! The suite, with the server itself and with a pooler in transaction mode before it.

use std::{net::SocketAddr, sync::Arc};

use onceward_core::actor::LookupId;
use onceward_store::{
    AuditLog, ManualClock, Shared, Store,
    conformance::{Damage, Subject, Survival},
};
use onceward_testbed::postgres::{Bouncer, Place, shared};

use super::open;
use crate::kit;

struct Database {
    store: Arc<Shared>,
    clock: Arc<ManualClock>,
    /// What the store connects to.
    url: String,
    _bouncer: Option<Bouncer>,
    place: Place,
}

async fn direct() -> Database {
    let place = shared().expect("a server");
    database(place.url().to_owned(), None, place).await
}

async fn pooled() -> Database {
    let place = shared().expect("a server");
    let bouncer = Bouncer::before(address(place.url()), 2).expect("a pooler");
    database(bouncer.url(), Some(bouncer), place).await
}

async fn database(url: String, bouncer: Option<Bouncer>, place: Place) -> Database {
    let clock = kit::clock();
    let store = Arc::new(open(&url, place.schema(), &clock).await);
    Database { store, clock, url, _bouncer: bouncer, place }
}

/// `postgres://user@address/…`
fn address(url: &str) -> SocketAddr {
    let rest = url.split_once('@').expect("a user").1;
    rest.split_once('/').expect("a database").0.parse().expect("an address")
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
        self.store = Arc::new(open(&self.url, self.place.schema(), &self.clock).await);
        Survival::Leases
    }

    fn bytes(&self) -> Vec<u8> {
        let schema = self.place.schema();
        let all =
            format!("SELECT r::text FROM {schema}.records AS r; SELECT a::text FROM {schema}.audit AS a");
        let printed = self.place.execute(&all).expect("read");
        // Bytes are printed in hexadecimal.
        let mut bytes = printed.clone().into_bytes();
        for text in printed.split("\\x") {
            let digits: Vec<_> = text.chars().map_while(|digit| digit.to_digit(16)).collect();
            bytes.extend(digits.chunks_exact(2).map(|pair| (pair[0] * 16 + pair[1]) as u8));
        }
        bytes
    }

    async fn damage(&mut self, id: LookupId) -> Damage {
        let id: String = id.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let flip = format!(
            "UPDATE {}.records SET head = set_byte(head, 50, get_byte(head, 50) # 1) WHERE id = '\\x{id}' RETURNING 'damaged'",
            self.place.schema()
        );
        assert_eq!(self.place.execute(&flip).expect("damaged"), "damaged");
        Damage::Done
    }
}

mod suite_direct {
    onceward_store::conformance_suite!(super::direct);
}

mod suite_pooled {
    onceward_store::conformance_suite!(super::pooled);
}
