//! Measures pairs of claim and completion a second: `cargo run --release -p onceward-store --example store_rate [DIRECTORY]`.
//!
//! Prints one JSON object for each store and number of tasks. The directory should lie on the disk that matters.

use std::{
    io::Write,
    path::{Path, PathBuf},
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
    time::Timestamp,
};
use onceward_store::{
    Claim, Durability, Memory, MemoryLimits, Reply, Settle, Sqlite, SqliteOptions, Store, SystemClock,
    Undated,
};

/// Bytes of an answer: what a record of `stores.md` holds, about.
const OUTCOME_BYTES: usize = 900;

/// How long each figure is measured for.
const SPAN: Duration = Duration::from_secs(4);

type Failed = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failed> {
    let directory = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = directory.join(format!("store-rate-{}", std::process::id()));
    std::fs::create_dir(&directory)?;
    let measured = measure_all(&directory).await;
    std::fs::remove_dir_all(&directory)?;
    measured
}

async fn measure_all(directory: &Path) -> Result<(), Failed> {
    for tasks in [1, 16, 256] {
        let clock = Arc::new(SystemClock::starting_at(Timestamp::from_ms(0)));
        let limits = MemoryLimits { records_max: u64::MAX, bytes_max: u64::MAX, ..MemoryLimits::default() };
        measure("memory", Arc::new(Memory::new(limits, clock)), tasks, Duration::ZERO).await?;
    }
    for durability in [Durability::Power, Durability::Process] {
        for tasks in [1, 16, 256] {
            let path = directory.join(format!("{}-{tasks}.db", durability.as_str()));
            let opening = Instant::now();
            let options = SqliteOptions { durability, ..SqliteOptions::new([0; 32]) };
            let store = Sqlite::open(&path, options)?;
            let name = format!("sqlite-{}", durability.as_str());
            measure(&name, Arc::new(store), tasks, opening.elapsed()).await?;
        }
    }
    Ok(())
}

async fn measure(name: &str, store: Arc<dyn Store>, tasks: usize, opened: Duration) -> Result<(), Failed> {
    let (numbers, started, cpu_before_us) = (Arc::new(AtomicU64::new(0)), Instant::now(), cpu_us());
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..tasks {
        let (store, numbers) = (Arc::clone(&store), Arc::clone(&numbers));
        running.spawn(async move {
            let mut latencies_us = Vec::new();
            while started.elapsed() < SPAN {
                let begun = Instant::now();
                pair(&*store, numbers.fetch_add(1, Ordering::Relaxed)).await?;
                latencies_us.push(begun.elapsed().as_micros());
            }
            Ok::<_, Failed>(latencies_us)
        });
    }
    let mut latencies_us = Vec::new();
    while let Some(ended) = running.join_next().await {
        latencies_us.extend(ended??);
    }
    let pairs_per_s = latencies_us.len() as f64 / started.elapsed().as_secs_f64();
    let cpu_us = cpu_us().saturating_sub(cpu_before_us) / (latencies_us.len() as u64).max(1);
    latencies_us.sort_unstable();
    let quantile =
        |percent: usize| latencies_us.get(latencies_us.len() * percent / 100).copied().unwrap_or(0);
    writeln!(
        std::io::stdout(),
        r#"{{"store":"{name}","tasks":{tasks},"pairs_per_s":{pairs_per_s:.0},"p50_us":{},"p99_us":{},"cpu_us":{cpu_us},"open_ms":{}}}"#,
        quantile(50),
        quantile(99),
        opened.as_millis(),
    )?;
    Ok(())
}

/// What this process used so far, of all processors: on a shared machine it says more than the wall does. 0 where the system does not
/// say it the way Linux does (proc(5); a tick is 10 ms).
fn cpu_us() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or("").split_whitespace().skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10_000
}

/// One effect: claimed, run (in no time), completed.
async fn pair(store: &dyn Store, number: u64) -> Result<(), Failed> {
    // Spread over the index as digests are: an odd multiplier visits every value once.
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    let mut id = [0; 32];
    id.chunks_mut(8).for_each(|part| part.copy_from_slice(&spread));
    let id = LookupId::from_bytes(id);
    let claim = Claim {
        id,
        attempt: AttemptId([7; 16]),
        fingerprint: Fingerprint::from_bytes(&[0; 33])?,
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
            key: KeyTag::from_bytes(spread),
            effect: "POST https://shop.example/orders".to_owned(),
        },
        issued_at: None,
        undated: Undated::Execute,
    };
    let Reply::Decided { decision: Decision::Execute(attempt), .. } = store.claim(claim).await? else {
        return Err("a new key was not granted".into());
    };
    let outcome = Settle::Complete(Sealed(vec![0x5a; OUTCOME_BYTES]));
    match store.settle(id, attempt, outcome).await? {
        Reply::Decided { decision: Decision::Settled, .. } => Ok(()),
        other => Err(format!("a completion was answered {other:?}").into()),
    }
}
