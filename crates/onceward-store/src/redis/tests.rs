//! The database through the trait, on real servers.

mod exchange;
mod failover;
mod faults;
mod history;
mod listing;
mod wire;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use onceward_core::{
    actor::{ActorTag, KeyTag, LookupId},
    time::Timestamp,
};
use onceward_testbed::redis::{Keeping, Place, Redis};

use super::{Database, RedisConnectError, RedisDurability, RedisOptions};
use crate::{
    shared::backend::{Backend, Expected, Grant, Mark, NewRow, Put, StoredRow, Swap, Swapped},
    step::Kind,
};

const SECRET_CHECK: [u8; 32] = [0x5e; 32];

/// The store's time of these tests, where it does not matter.
const NOW: Timestamp = Timestamp::from_ms(1_700_000_000_000);

fn options(url: &str) -> RedisOptions {
    RedisOptions { durability: RedisDurability::Process, ..RedisOptions::new(url, SECRET_CHECK) }
}

async fn open(url: &str) -> Database {
    options(url).connect().await.expect("a sound server")
}

async fn refused(options: RedisOptions) -> RedisConnectError {
    options.connect().await.expect_err("refused")
}

/// A server that the tests of this process share, and a prefix of one's own on it.
fn place() -> Place {
    onceward_testbed::redis::shared().expect("a server")
}

async fn open_at(place: &Place) -> Database {
    let prefix = place.prefix().to_owned();
    RedisOptions { prefix, ..options(place.url()) }.connect().await.expect("a sound server")
}

fn server(keeping: Keeping) -> Redis {
    Redis::start(keeping, &[]).expect("a server")
}

fn id(number: u64) -> LookupId {
    let mut id = [0xee; 32];
    id[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    LookupId::from_bytes(id)
}

fn mark(number: u64) -> Mark {
    let mut mark = [0; 16];
    mark[8..].copy_from_slice(&number.to_be_bytes());
    Mark(mark)
}

/// A claimed row of this key, due at this time.
fn row(number: u64, version: u64, due_ms: u64) -> NewRow {
    NewRow {
        mark: mark(version),
        kind: Kind::Claimed,
        due_at: Some(Timestamp::from_ms(due_ms)),
        key: KeyTag::from_bytes(number.to_be_bytes()),
        actor: ActorTag::from_bytes((number % 3).to_be_bytes()),
        head: format!("head {number}").into_bytes(),
        outcome: None,
    }
}

fn stored(row: &NewRow) -> StoredRow {
    StoredRow { mark: row.mark, head: row.head.clone(), outcome: row.outcome.clone() }
}

/// A claim of an unknown key, judged by this barrier.
fn claim_by(number: u64, version: u64, barrier: Option<Timestamp>) -> Swap {
    Swap {
        id: id(number),
        expected: Expected::Nothing,
        grant: Some(Grant { barrier }),
        put: Put::Row(row(number, version, NOW.as_ms() + 30_000)),
        audit: None,
    }
}

fn claim(number: u64, version: u64) -> Swap {
    claim_by(number, version, None)
}

async fn exchanged(database: &Database, swap: Swap) -> Swapped {
    exchanged_at(database, swap, NOW).await
}

async fn exchanged_at(database: &Database, swap: Swap, now: Timestamp) -> Swapped {
    let mut swapped = database.exchange(vec![swap].into(), now).await.expect("an answer");
    swapped.pop().expect("one answer")
}

/// The row of this key.
async fn fetched(database: &Database, number: u64) -> Option<StoredRow> {
    let rows = database.fetch(vec![id(number)], true).await.expect("an answer");
    rows.into_iter().next().expect("one answer")
}

/// Asks again and again until the database answers, for no longer than a fail-over may take.
async fn persistently(database: &Database, swap: Swap) -> Swapped {
    persistently_at(database, swap, NOW).await
}

async fn persistently_at(database: &Database, swap: Swap, now: Timestamp) -> Swapped {
    let began = Instant::now();
    loop {
        match exchanged_at(database, swap.clone(), now).await {
            Swapped::Unavailable { reason } | Swapped::Unknown { reason } => {
                assert!(began.elapsed() < Duration::from_secs(30), "{reason}");
                // waits: for servers that find each other again.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            answer @ (Swapped::Done
            | Swapped::Found(_)
            | Swapped::History { .. }
            | Swapped::Full { .. }
            | Swapped::Refused { .. }) => return answer,
        }
    }
}
