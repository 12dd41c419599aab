//! How many pairs of claim and completion a second a Postgres store makes, beside a bare loop of multi-row statements.
//!
//! `cargo run --release -p onceward-store --features postgres --example postgres_rate -- [seconds]`

use std::{
    env,
    error::Error,
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use onceward_core::{
    actor::{ActorTag, KeyTag, Label, LookupId, Tenant},
    fingerprint::Fingerprint,
    record::{AfterRetention, AttemptId, Decision, OnLapse, OnMismatch, Sealed, Terms},
};
use onceward_store::{Claim, PostgresOptions, Reply, Settle, Store, Undated};
use onceward_testbed::postgres::Postgres;
use tokio::task::JoinSet;
use tokio_postgres::NoTls;

/// Bytes of an answer: a short JSON body with its fields, sealed.
const OUTCOME_BYTES: usize = 512;

/// Bytes of the bare loop's heads: what a record of this example takes.
const HEAD_BYTES: usize = 260;

/// Plans by primary key, made once: as the store's function has them.
const PINNED: &str = "-cenable_seqscan%3Doff%20-cenable_hashjoin%3Doff%20-cenable_mergejoin%3Doff%20-cplan_cache_mode%3Dforce_generic_plan%20-cjit%3Doff";

const INSERT: &str = "INSERT INTO bare SELECT s.id, 1, s.head FROM unnest($1::bytea[], $2::bytea[]) AS s (id, head) ON CONFLICT DO NOTHING";

const UPDATE: &str = "
UPDATE bare AS b SET due = 2, head = s.head, outcome = s.outcome
FROM unnest($1::bytea[], $2::bytea[], $3::bytea[]) AS s (id, head, outcome) WHERE b.id = s.id";

const TASKS: [u64; 3] = [1, 16, 256];

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Outcome<()> {
    let seconds = env::args().nth(1).map_or(Ok(4), |text| text.parse())?;
    let server = Postgres::start(&[])?;
    let store: Arc<dyn Store> = Arc::new(PostgresOptions::new(server.url(), [1; 32]).open().await?);
    // It answers once it knows the time, which is not measured.
    store.health().await?;
    println!("tasks  store pairs/s  p50 ms  p99 ms  bare pairs/s");
    for tasks in TASKS {
        let time = Duration::from_secs(seconds);
        let (pairs, mut latencies) = through_store(&store, tasks, time).await?;
        latencies.sort_unstable();
        let at = |share: usize| {
            latencies.get(latencies.len() * share / 100).map_or(0.0, |us| f64::from(*us) / 1e3)
        };
        let bare = bare(&server, tasks, time).await?;
        println!("{tasks:>5} {pairs:>14} {:>7.2} {:>7.2} {bare:>13}", at(50), at(99));
    }
    println!("{}", server.execute("SELECT count(*) || ' records, ' || pg_total_relation_size('onceward.records') / count(*) || ' bytes each' FROM onceward.records")?);
    Ok(())
}

/// Pairs a second, and how long each took, in microseconds.
async fn through_store(store: &Arc<dyn Store>, tasks: u64, time: Duration) -> Outcome<(u64, Vec<u32>)> {
    static KEYS: AtomicU64 = AtomicU64::new(0);
    let mut workers = JoinSet::new();
    let began = Instant::now();
    for _ in 0..tasks {
        let store = Arc::clone(store);
        workers.spawn(async move {
            let mut latencies = Vec::new();
            while began.elapsed() < time {
                let (key, asked) = (KEYS.fetch_add(1, Ordering::Relaxed), Instant::now());
                let claim = claim(key)?;
                let id = claim.id;
                let Reply::Decided { decision: Decision::Execute(attempt), .. } = store.claim(claim).await?
                else {
                    return Err("a claim was not granted".into());
                };
                store.settle(id, attempt, Settle::Complete(Sealed(vec![7; OUTCOME_BYTES]))).await?;
                latencies.push(u32::try_from(asked.elapsed().as_micros())?);
            }
            Outcome::Ok(latencies)
        });
    }
    let mut all = Vec::new();
    for latencies in workers.join_all().await {
        all.extend(latencies?);
    }
    Ok((per_second(all.len(), began.elapsed()), all))
}

fn per_second(pairs: usize, time: Duration) -> u64 {
    pairs as u64 * 1_000 / u64::try_from(time.as_millis()).unwrap_or(1).max(1)
}

fn spread(key: u64) -> [u8; 32] {
    let mut id = [0; 32];
    for (part, factor) in id.chunks_mut(8).zip([0x9e37_79b9_7f4a_7c15_u64, 3, 5, 7]) {
        part.copy_from_slice(&(key + 1).wrapping_mul(factor).to_be_bytes());
    }
    id
}

fn claim(key: u64) -> Outcome<Claim> {
    Ok(Claim {
        id: LookupId::from_bytes(spread(key)),
        attempt: AttemptId([7; 16]),
        fingerprint: Fingerprint::from_bytes(&[1; 33])?,
        terms: Terms {
            lease: Duration::from_secs(30),
            on_lapse: OnLapse::Doubt,
            retention: Duration::from_hours(24),
            remember: Duration::from_hours(9_600),
            after_retention: AfterRetention::Refuse,
            on_mismatch: OnMismatch::Refuse,
        },
        label: Label {
            tenant: Tenant::single(),
            actor: ActorTag::from_bytes((key % 1_000).to_be_bytes()),
            key: KeyTag::from_bytes(key.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()),
            effect: "POST https://shop.example/orders".to_owned(),
        },
        issued_at: None,
        undated: Undated::Execute,
    })
}

/// The same rows by nothing but statements: two connections, or one for one task, each with its share of the tasks in a batch.
async fn bare(server: &Postgres, tasks: u64, time: Duration) -> Outcome<u64> {
    server.execute(
        "DROP TABLE IF EXISTS bare; CREATE TABLE bare (id bytea PRIMARY KEY, due bigint, head bytea NOT NULL, outcome bytea);
         CREATE INDEX ON bare (due); ALTER TABLE bare ALTER outcome SET STORAGE EXTERNAL",
    )?;
    let mut loops = JoinSet::new();
    let began = Instant::now();
    let connections = tasks.min(2);
    for connection in 0..connections {
        let url = server.url();
        let rows = usize::try_from(tasks / connections)?;
        loops.spawn(async move {
            let (client, mut wire) =
                tokio_postgres::connect(&format!("{url}&options={PINNED}"), NoTls).await?;
            let driver = tokio::spawn(async move {
                while poll_fn(|context| wire.poll_message(context)).await.is_some() {}
            });
            let insert = client.prepare(INSERT).await?;
            let update = client.prepare(UPDATE).await?;
            let (head, outcome) = ([1_u8; HEAD_BYTES], [2_u8; OUTCOME_BYTES]);
            let (heads, outcomes) = (vec![head.as_slice(); rows], vec![outcome.as_slice(); rows]);
            let (mut first, mut pairs) = (connection << 40, 0);
            while began.elapsed() < time {
                let mut ids: Vec<_> = (first..).take(rows).map(spread).collect();
                ids.sort_unstable();
                let ids: Vec<&[u8]> = ids.iter().map(<[u8; 32]>::as_slice).collect();
                client.query(&insert, &[&ids, &heads]).await?;
                client.query(&update, &[&ids, &heads, &outcomes]).await?;
                first += rows as u64;
                pairs += rows;
            }
            drop(client);
            driver.await?;
            Outcome::Ok(pairs)
        });
    }
    let mut pairs = 0;
    for done in loops.join_all().await {
        pairs += done?;
    }
    Ok(per_second(pairs, began.elapsed()))
}
