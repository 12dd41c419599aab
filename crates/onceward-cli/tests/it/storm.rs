//! Gateways that are killed at each stage of a call, at any moment, and frozen past their lease, while clients repeat.

use std::path::PathBuf;

use onceward_storm::{Fate, Storm};
use onceward_testbed::{
    mysql::Mysql,
    postgres::Postgres,
    redis::{Keeping, Redis},
};

fn storm(store: Option<String>) -> Storm {
    Storm { program: PathBuf::from(env!("CARGO_BIN_EXE_onceward")), store, seed: 0 }
}

/// What holds over every store; `cargo xtask storm` goes on for as long as one likes.
fn is_explained(store: Option<String>) {
    let report = storm(store).run().unwrap();
    println!("{report}");
    let stages = ["before-claim", "after-claim", "after-commit", "after-store"].map(Fate::KilledAt);
    for fate in stages.into_iter().chain([Fate::Killed, Fate::Frozen]) {
        assert!(report.fates.contains_key(&fate), "no gateway was {fate}: {report}");
    }
    for saw in ["ran", "told", "unknown", "lost"] {
        assert!(report.saw.contains_key(saw), "nobody saw that: {saw}: {report}");
    }
}

// covers: L2, L4, L6, L10, L12, O1, D1
#[test]
fn a_storm_over_sqlite_is_explained() {
    is_explained(None);
}

// covers: L2, L4, L6, L12, O1, D1
#[test]
fn a_storm_over_postgres_is_explained() {
    is_explained(Some(Postgres::start(&[]).unwrap().url()));
}

// covers: L2, L4, L6, L12, O1, D1
#[test]
fn a_storm_over_mysql_is_explained() {
    let server = Mysql::start(&[]).unwrap();
    server.execute("CREATE DATABASE shop").unwrap();
    is_explained(Some(server.url("root", "shop")));
}

// covers: L2, L4, L6, L12, O1, D1
#[test]
fn a_storm_over_redis_is_explained() {
    is_explained(Some(Redis::start(Keeping::Always, &[]).unwrap().url()));
}

#[test]
fn a_storm_over_a_store_that_forgets_is_not() {
    let found = storm(Some(String::from("memory:"))).run().unwrap_err().to_string();
    assert!(found.starts_with("seed 0: no record explains what was seen of storm-0-"), "{found}");
}
