//! Pairs of claim and completion per second in Redis, through the store and by a bare loop of two scripts on one pipelined connection:
//! `cargo run --release -p onceward-store --features redis,conformance --example redis_rate [SECONDS]`.
//!
//! A server is started here for each figure, with every write synced, or synced once a second. The bare loop keeps no index, no history
//! and no time: it is what two round trips cost. Prints a JSON object a line, with the time of a pair.

use std::{
    io::Write,
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
use onceward_store::{Claim, RedisDurability, RedisOptions, Reply, Settle, Store, Undated};
use onceward_testbed::redis::{Keeping, Redis};
use redis::{Cmd, aio::MultiplexedConnection};
use tokio::task::JoinSet;

/// Bytes of an answer: a small JSON body and its header fields, sealed.
const ANSWER_BYTES: usize = 512;

/// Bytes of a row without its answer, as records of these claims have it.
const ROW_BYTES: usize = 230;

/// A claim: a row where there was none.
const BARE_CLAIM: &str = "return redis.call('SET', KEYS[1], ARGV[1], 'NX') and 1 or 0";

/// A settlement: another row for the expected one.
const BARE_SETTLE: &str = "if redis.call('GETRANGE', KEYS[1], 0, 15) ~= ARGV[1] then return 0 end \
                           redis.call('SET', KEYS[1], ARGV[2]) return 1";

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let seconds = std::env::args().nth(1).map_or(Ok(3), |seconds| seconds.parse::<u64>())?;
    for keeping in [Keeping::Always, Keeping::EverySecond] {
        for tasks in [1, 16, 256] {
            // In turns, so that a disturbance of the machine meets both.
            for _ in 0..2 {
                let bare = measured(keeping, tasks, Duration::from_secs(seconds), Way::Bare).await?;
                let store = measured(keeping, tasks, Duration::from_secs(seconds), Way::Store).await?;
                report(keeping, tasks, "bare", bare)?;
                report(keeping, tasks, "store", store)?;
            }
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Way {
    Bare,
    Store,
}

/// What was measured: pairs, in how long, and how long each took.
struct Measured {
    time: Duration,
    pairs_ns: Vec<u64>,
}

/// Something that runs pairs.
#[derive(Clone)]
enum Runner {
    Bare(Box<Bare>),
    Store(Arc<onceward_store::Shared>),
}

#[derive(Clone)]
struct Bare {
    connection: MultiplexedConnection,
    claim: String,
    settle: String,
}

async fn measured(keeping: Keeping, tasks: u64, time: Duration, way: Way) -> Result<Measured, Failure> {
    let server = Redis::start(keeping, &[])?;
    let runner = match way {
        Way::Bare => Runner::Bare(Box::new(bare(&server).await?)),
        Way::Store => {
            let durability = RedisDurability::Process;
            let options = RedisOptions { durability, ..RedisOptions::new(&server.url(), [7; 32]) };
            let store = options.open().await?;
            // It answers once it knows the time, which is not measured.
            store.health().await?;
            Runner::Store(Arc::new(store))
        }
    };
    let next = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..tasks {
        let (mut runner, next) = (runner.clone(), Arc::clone(&next));
        running.spawn(async move {
            let mut pairs_ns = Vec::new();
            while begun.elapsed() < time {
                let pair_begun = Instant::now();
                runner.pair(next.fetch_add(1, Ordering::Relaxed)).await?;
                pairs_ns.push(u64::try_from(pair_begun.elapsed().as_nanos())?);
            }
            Ok::<_, Failure>(pairs_ns)
        });
    }
    let mut measured = Measured { time: Duration::ZERO, pairs_ns: Vec::new() };
    while let Some(ended) = running.join_next().await {
        measured.pairs_ns.extend(ended??);
    }
    measured.time = begun.elapsed();
    measured.pairs_ns.sort_unstable();
    Ok(measured)
}

async fn bare(server: &Redis) -> Result<Bare, Failure> {
    let client = redis::Client::open(server.url())?;
    let connection = client.get_multiplexed_async_connection().await?;
    let load = async |script: &str| {
        let mut connection = connection.clone();
        redis::cmd("SCRIPT").arg("LOAD").arg(script).query_async::<String>(&mut connection).await
    };
    let (claim, settle) = (load(BARE_CLAIM).await?, load(BARE_SETTLE).await?);
    Ok(Bare { connection, claim, settle })
}

impl Runner {
    /// Claims a new key and completes it.
    async fn pair(&mut self, number: u64) -> Result<(), Failure> {
        match self {
            Self::Bare(bare) => bare.pair(number).await,
            Self::Store(store) => {
                let reply = store.claim(claim(number)?).await?;
                let Reply::Decided { decision: Decision::Execute(attempt), .. } = reply else {
                    return Err(format!("a new key was answered {reply:?}").into());
                };
                let answer = Sealed(vec![0x5a; ANSWER_BYTES]);
                let reply = store.settle(id(number), attempt, Settle::Complete(answer)).await?;
                match reply {
                    Reply::Decided { decision: Decision::Settled, .. } => Ok(()),
                    other => Err(format!("a completion was answered {other:?}").into()),
                }
            }
        }
    }
}

impl Bare {
    async fn pair(&mut self, number: u64) -> Result<(), Failure> {
        let key = [b"bare:".as_slice(), id(number).as_bytes()].concat();
        let claimed: u8 =
            script(&self.claim, &key).arg(vec![1; ROW_BYTES]).query_async(&mut self.connection).await?;
        let mut settle = script(&self.settle, &key);
        settle.arg(vec![1; 16]).arg(vec![2; ROW_BYTES + ANSWER_BYTES]);
        let settled: u8 = settle.query_async(&mut self.connection).await?;
        if (claimed, settled) == (1, 1) { Ok(()) } else { Err("a pair failed".into()) }
    }
}

fn script(name: &str, key: &[u8]) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(name).arg(1).arg(key);
    command
}

fn report(keeping: Keeping, tasks: u64, way: &str, measured: Measured) -> Result<(), Failure> {
    let Measured { time, pairs_ns } = measured;
    let rate = pairs_ns.len() as f64 / time.as_secs_f64();
    let quantile_us =
        |percent: usize| pairs_ns.get(pairs_ns.len() * percent / 100).copied().unwrap_or(0) / 1_000;
    writeln!(
        std::io::stdout(),
        r#"{{"keeping":"{keeping:?}","tasks":{tasks},"way":"{way}","pairs_per_second":{rate:.0},"p50_us":{},"p99_us":{}}}"#,
        quantile_us(50),
        quantile_us(99),
    )?;
    Ok(())
}

fn id(number: u64) -> LookupId {
    let mut id = [0xee; 32];
    let (first, _) = id.split_at_mut(8);
    first.copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    LookupId::from_bytes(id)
}

fn claim(number: u64) -> Result<Claim, Failure> {
    Ok(Claim {
        id: id(number),
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
