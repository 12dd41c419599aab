//! Pairs of claim and completion per second on MariaDB, through the store and by a bare loop of multi-row statements on as many
//! connections: `cargo run --release -p onceward-store --features mysql,conformance --example mysql_rate [mysql://root@host:3306]`.
//!
//! Without an address a server is started here, with every commit synced.

use std::{
    fmt::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use mysql_async::{Conn, Opts, prelude::Queryable};
use onceward_core::{
    actor::{ActorTag, KeyTag, Label, LookupId, Tenant},
    fingerprint::Fingerprint,
    record::{AfterRetention, AttemptId, Decision, OnLapse, OnMismatch, Sealed, Terms},
};
use onceward_store::{Claim, MysqlOptions, Reply, Settle, Store, Undated};
use onceward_testbed::mysql::Mysql;
use tokio::task::JoinSet;

/// How long each figure is measured.
const TIME: Duration = Duration::from_secs(5);

/// Connections that exchange at once, as the store has them.
const CONNECTIONS: u64 = 4;

/// Bytes of an answer: a small JSON body and its header fields, sealed.
const ANSWER_BYTES: usize = 512;

/// Bytes of a head, as records of these claims have it.
const HEAD_BYTES: usize = 190;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn id(number: u64) -> [u8; 32] {
    let mut id = [0xee; 32];
    let (first, _) = id.split_at_mut(8);
    first.copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    id
}

fn claim(number: u64) -> Result<Claim, Failure> {
    Ok(Claim {
        id: LookupId::from_bytes(id(number)),
        attempt: AttemptId([1; 16]),
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
            actor: ActorTag::from_bytes([1; 8]),
            key: KeyTag::from_bytes(number.to_be_bytes()),
            effect: "POST https://shop.example/orders".to_owned(),
        },
        issued_at: None,
        undated: Undated::Execute,
    })
}

/// Runs `tasks` of them until the time is over; says how many pairs they made a second.
async fn rate<F>(tasks: u64, pairs_each: impl Fn(u64) -> F) -> Result<f64, Failure>
where
    F: Future<Output = Result<u64, Failure>> + Send + 'static,
{
    let (began, mut running) = (Instant::now(), JoinSet::new());
    for task in 0..tasks {
        running.spawn(pairs_each(task));
    }
    let mut pairs = 0;
    while let Some(ended) = running.join_next().await {
        pairs += ended??;
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate to three digits")]
    Ok(pairs as f64 / began.elapsed().as_secs_f64())
}

/// Claims and completes keys of its own, one after another.
async fn through_the_store(store: Arc<dyn Store>, first: u64) -> Result<u64, Failure> {
    let (began, mut pairs) = (Instant::now(), 0);
    while began.elapsed() < TIME {
        let claim = claim(first + pairs)?;
        let id = claim.id;
        let Reply::Decided { decision: Decision::Execute(attempt), .. } = store.claim(claim).await? else {
            return Err("a fresh key was not granted".into());
        };
        store.settle(id, attempt, Settle::Complete(Sealed(vec![7; ANSWER_BYTES]))).await?;
        pairs += 1;
    }
    Ok(pairs)
}

/// Inserts a batch of rows and updates them, each with one statement and one commit.
async fn bare(url: String, first: u64, batch: u64) -> Result<u64, Failure> {
    let mut conn = Conn::new(Opts::from_url(&url)?).await?;
    let (began, mut pairs) = (Instant::now(), 0);
    let (head, answer) = ("5a".repeat(HEAD_BYTES), "07".repeat(ANSWER_BYTES));
    while began.elapsed() < TIME {
        let (mut claims, mut ends) = (String::new(), String::new());
        for number in first + pairs..first + pairs + batch {
            let comma = if claims.is_empty() { "" } else { ", " };
            let id: String = id(number).iter().map(|byte| format!("{byte:02x}")).collect();
            write!(claims, "{comma}(x'{id}', 1, x'{head}', NULL)")?;
            write!(ends, "{comma}(x'{id}', 2, x'{head}', x'{answer}')")?;
        }
        conn.query_drop(format!("INSERT INTO bare VALUES {claims}")).await?;
        let end =
            "ON DUPLICATE KEY UPDATE state = VALUES(state), head = VALUES(head), outcome = VALUES(outcome)";
        conn.query_drop(format!("INSERT INTO bare VALUES {ends} {end}")).await?;
        pairs += batch;
    }
    conn.disconnect().await?;
    Ok(pairs)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let own = match std::env::args().nth(1) {
        Some(_) => None,
        None => Some(Mysql::start(&["--innodb-buffer-pool-size=1G", "--innodb-log-file-size=1G"])?),
    };
    let server = own.as_ref().map(|own| own.url("root", "")).or(std::env::args().nth(1)).unwrap_or_default();
    let url = format!("{}/onceward_rate", server.trim_end_matches('/'));
    let mut admin = Conn::new(Opts::from_url(&server)?).await?;
    admin.query_drop("DROP DATABASE IF EXISTS onceward_rate").await?;
    admin.query_drop("CREATE DATABASE onceward_rate").await?;
    let table = "CREATE TABLE onceward_rate.bare (id BINARY(32) PRIMARY KEY, state TINYINT NOT NULL, head MEDIUMBLOB NOT NULL, outcome LONGBLOB)";
    admin.query_drop(table).await?;

    let store: Arc<dyn Store> = Arc::new(MysqlOptions::new(&url, [0x5e; 32]).open().await?);
    // It answers once it knows the time, which is not measured.
    store.health().await?;
    for (round, tasks) in [1, 16, 256].into_iter().enumerate() {
        // Keys of one round, and of one task in it, are nobody else's.
        let first = move |task: u64| (round as u64 + 1) << 56 | task << 32;
        let kept = rate(tasks, |task| through_the_store(Arc::clone(&store), first(task))).await?;
        let connections = tasks.min(CONNECTIONS);
        let bound = rate(connections, |task| bare(url.clone(), first(task), tasks / connections)).await?;
        println!(
            "{tasks:>4} tasks: {kept:>7.0} pairs/s, bare loop on {connections}: {bound:>7.0} ({:.2})",
            kept / bound
        );
    }
    let counted: Option<(u64, u64)> = admin
        .query_first("SELECT TABLE_ROWS, DATA_LENGTH + INDEX_LENGTH FROM information_schema.TABLES WHERE TABLE_NAME = 'onceward_records'")
        .await?;
    if let Some((rows, bytes)) = counted {
        println!("{rows} rows or so, {} bytes each with all indexes", bytes / rows.max(1));
    }
    drop(store);
    admin.query_drop("DROP DATABASE onceward_rate").await?;
    admin.disconnect().await?;
    Ok(())
}
