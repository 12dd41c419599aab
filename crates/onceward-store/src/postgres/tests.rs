//! The backend, through its trait, on real servers.

mod answers;
mod audit;
mod crowd;
mod encryption;
mod history;
mod rights;
mod swaps;

use std::{sync::Arc, time::Duration};

use onceward_core::{
    actor::{ActorTag, KeyTag, LookupId},
    time::Timestamp,
};
use onceward_testbed::{
    Wire,
    postgres::{Place, shared},
};

use super::{PostgresError, PostgresOptions, backend::Postgres};
use crate::{
    shared::backend::{Backend, Expected, Grant, Mark, NewRow, Put, StoredRow, Swap, Swapped},
    step::Kind,
};

/// A store's time, in milliseconds.
const NOW_MS: u64 = 1_700_000_000_000;

const SECRET_CHECK: [u8; 32] = [0x5e; 32];

fn options(url: &str, schema: &str) -> PostgresOptions {
    PostgresOptions { schema: schema.to_owned(), ..PostgresOptions::new(url, SECRET_CHECK) }
}

async fn begun(options: &PostgresOptions) -> Result<Postgres, PostgresError> {
    options.backend(&Arc::new(options.door()?)).await
}

/// A store in a place of its own.
async fn fresh() -> (Place, Postgres) {
    let place = shared().expect("a server");
    let store = begun(&options(place.url(), place.schema())).await.expect("a new store");
    (place, store)
}

fn id(number: u64) -> LookupId {
    let mut id = [0; 32];
    // Spread as digests are.
    id[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    LookupId::from_bytes(id)
}

fn mark(number: u64) -> Mark {
    let mut mark = [0xaa; 16];
    mark[..8].copy_from_slice(&number.to_be_bytes());
    Mark(mark)
}

fn now() -> Timestamp {
    Timestamp::from_ms(NOW_MS)
}

const NOTHING: Expected = Expected::Nothing;

/// Judged where nobody knew of a barrier.
const UNJUDGED: Grant = Grant { barrier: None };

/// A row named `number`, whose bytes say the same.
fn row(number: u64) -> NewRow {
    NewRow {
        mark: mark(number),
        kind: Kind::Claimed,
        due_at: Some(Timestamp::from_ms(NOW_MS + number)),
        key: KeyTag::from_bytes(number.to_be_bytes()),
        actor: ActorTag::from_bytes((number % 3).to_be_bytes()),
        head: format!("head {number}").into_bytes(),
        outcome: Some(format!("outcome {number}").into_bytes()),
    }
}

/// What is read of [`row`].
fn kept(number: u64) -> StoredRow {
    let NewRow { mark, head, outcome, .. } = row(number);
    StoredRow { mark, head, outcome }
}

fn swap(of: u64, expected: Expected, put: Put) -> Swap {
    let grant = matches!(put, Put::Row(_)).then_some(UNJUDGED);
    Swap { id: id(of), expected, grant, put, audit: None }
}

async fn exchanged(store: &Postgres, batch: Vec<Swap>) -> Vec<Swapped> {
    store.exchange(batch.into(), now()).await.expect("the server answers")
}

/// Puts `row(made)` under `id(of)`, where nothing is.
async fn put(store: &Postgres, of: u64, made: u64) {
    let swapped = exchanged(store, vec![swap(of, NOTHING, Put::Row(row(made)))]).await;
    assert_eq!(swapped, [Swapped::Done]);
}

async fn fetched(store: &Postgres, of: u64) -> Option<StoredRow> {
    store.fetch(vec![id(of)], true).await.expect("the server answers").remove(0)
}

/// A store in the usual schema at `url`.
async fn at(url: &str) -> Postgres {
    begun(&options(url, "onceward")).await.expect("a store")
}

/// `url`, by way of `wire`.
fn through(wire: &Wire) -> String {
    format!("postgres://postgres@{}/postgres?sslmode=disable", wire.address())
}

/// Puts `row(of)` as soon as there is a connection; half a minute at the most.
async fn put_at_last(store: &Postgres, of: u64) {
    let tries = async {
        while !matches!(store.exchange(vec![swap(of, NOTHING, Put::Row(row(of)))].into(), now()).await, Ok(done) if done == [Swapped::Done])
        {
            // waits: a server that comes back, in real time
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), tries).await.expect("the server comes back");
}

/// Looks until the store refuses for `reason`; half a minute at the most.
async fn refused_as(store: &Postgres, reason: &str) {
    let looks = async {
        let error = loop {
            match store.exchange(vec![swap(900, NOTHING, Put::Keep)].into(), now()).await {
                Err(error) if format!("{error:?}").contains(reason) => break error,
                // waits: for the next look at the server, in real time
                Err(_) | Ok(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        assert!(matches!(error, crate::StoreError::Unavailable { .. }), "{error:?}");
    };
    tokio::time::timeout(Duration::from_secs(30), looks).await.expect(reason);
}
