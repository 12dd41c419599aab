//! The history barrier, raised by hand after a backup was put back.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use onceward_testbed::{
    postgres::Postgres,
    redis::{Keeping, Redis},
};
use serde_json::Value;

use crate::kit::{Answer, Exchange, Home, Origin, Server, Then};

/// A UUIDv7 that was made so long ago (RFC 9562, 5.7: 48 bits of milliseconds, the version, the variant, and the rest at will).
fn key(ago: Duration, rest: u16) -> String {
    let ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().saturating_sub(ago).as_millis();
    let digits = format!("{ms:012x}");
    format!("{}-{}-7000-8000-00000000{rest:04x}", &digits[..8], &digits[8..])
}

const HOUR: Duration = Duration::from_secs(60 * 60);

struct Shop {
    home: Home,
    store: Option<String>,
    origin: Origin,
}

impl Shop {
    fn over(store: Option<String>) -> Self {
        Self { home: Home::new(), store, origin: Origin::start(&[Then::Answer; 16]) }
    }

    fn flags(&self) -> Vec<&str> {
        self.store.iter().flat_map(|store| ["--store", store.as_str()]).collect()
    }

    fn gateway(&self) -> Server {
        let mut command = self.home.command(&["gateway", "--listen", "127.0.0.1:0", "--json"]);
        Server::start(command.args(["--upstream", &self.origin.url()]).args(self.flags()))
    }

    fn barrier(&self, arguments: &[&str]) -> Value {
        let flags = [["store", "barrier", "--json"].as_slice(), arguments, &self.flags()].concat();
        self.home.run(&flags).json()["history_barrier"].take()
    }
}

fn order(server: &Server, key: &str) -> Answer {
    let request = format!(
        "POST /orders HTTP/1.1\r\nhost: shop.example\r\ncontent-type: application/json\r\n\
         idempotency-key: {key}\r\ncontent-length: 9\r\nconnection: close\r\n\r\n{{\"tea\":1}}"
    );
    Exchange::start(server.address, &request).answer()
}

/// What holds over every store; `others` are more gateways over the same one.
fn a_raised_barrier_refuses_what_is_old_and_unknown(shop: &Shop, gateway: &Server, others: &[Server]) {
    let known = key(HOUR, 1);
    assert_eq!(order(gateway, &known).status, 201);
    assert_eq!(shop.barrier(&[]), Value::Null);
    let raised = shop.barrier(&["--raise", "--yes"]);
    assert!(raised.is_string(), "{raised}");
    assert_eq!(shop.barrier(&[]), raised);
    for (number, server) in (2..).zip([gateway].into_iter().chain(others)) {
        assert_eq!(order(server, &key(HOUR, number)).problem(), (409, "history-lost".to_owned()));
        let again = order(server, &known);
        assert_eq!((again.status, again.field("idempotent-replayed")), (201, Some("true")));
        assert_eq!(order(server, &key(Duration::ZERO, number)).status, 201, "made after it");
    }
    assert_eq!(shop.barrier(&["--raise", "--yes", "--at", "2026-01-01T00:00:00Z"]), raised, "it fell");
    let orders = 2 + others.len();
    assert_eq!(shop.origin.booked_besides(), orders);
}

// covers: T5, K7
#[test]
fn a_barrier_raised_by_hand_over_sqlite_holds_with_a_server_and_without() {
    let shop = Shop::over(None);
    let missing = shop.home.run(&["store", "barrier"]);
    assert_eq!((missing.code, missing.stdout.as_str()), (Some(3), ""), "{}", missing.stderr);
    let gateway = shop.gateway();
    a_raised_barrier_refuses_what_is_old_and_unknown(&shop, &gateway, &[]);
    let held = shop.barrier(&[]);
    gateway.kill();
    // Without a server the command opens the store itself.
    assert_eq!(shop.barrier(&[]), held);
    let unasked = shop.home.run(&["store", "barrier", "--raise"]);
    assert_eq!((unasked.code, unasked.stdout.as_str()), (Some(2), ""));
    assert!(unasked.stderr.contains("--yes"), "{}", unasked.stderr);
    let wrong = shop.home.run(&["store", "barrier", "--raise", "--yes", "--at", "yesterday"]);
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.stderr.contains("2026-11-21T12:00:00Z"), "{}", wrong.stderr);
    assert_eq!(shop.barrier(&[]), held);
    let again = shop.barrier(&["--raise", "--yes"]);
    assert!(again.as_str() >= held.as_str(), "{again} after {held}");
    let said = shop.home.run(&["store", "barrier"]);
    assert_eq!(said.code, Some(0));
    assert!(said.stdout.starts_with(again.as_str().unwrap()), "{}", said.stdout);
    let listed = shop.home.run(&["store", "stats", "--json"]).json();
    assert!(listed["audit_lines"].as_u64() >= Some(3), "each raising is written down: {listed}");
}

// covers: T5, K7
#[test]
fn a_barrier_raised_by_hand_over_postgres_holds_for_every_gateway() {
    let server = Postgres::start(&[]).unwrap();
    let shop = Shop::over(Some(server.url()));
    let (gateway, other) = (shop.gateway(), shop.gateway());
    a_raised_barrier_refuses_what_is_old_and_unknown(&shop, &gateway, &[other]);
}

// covers: T5, K7
#[test]
fn a_barrier_raised_by_hand_over_redis_holds_for_every_gateway() {
    let server = Redis::start(Keeping::Always, &[]).unwrap();
    let shop = Shop::over(Some(server.url()));
    let (gateway, other) = (shop.gateway(), shop.gateway());
    a_raised_barrier_refuses_what_is_old_and_unknown(&shop, &gateway, &[other]);
}
