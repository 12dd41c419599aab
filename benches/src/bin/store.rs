//! Pairs of claim and completion, by many tasks at once: `bench-store STORE TASKS SECONDS DIRECTORY`.
//!
//! Prints one JSON object. The directory should lie on the disk that matters.

use std::{
    env,
    fs::File,
    io::{Seek, SeekFrom, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
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
use tokio::task::JoinSet;

/// Bytes of an answer: a page of a shop with its head, or a JSON object with some items.
const OUTCOME_BYTES: usize = 900;

/// What is synced where the disk itself is measured: a page, over blocks that were allocated before.
const PAGE_BYTES: usize = 4_096;
const PAGES: u64 = 8_192;

/// How many pairs were done, and how long each took.
struct Done {
    span: Duration,
    latencies_us: Vec<u64>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [store, tasks, seconds, directory] = &*arguments else {
        bail!("bench-store STORE TASKS SECONDS DIRECTORY");
    };
    let tasks = tasks.parse().with_context(|| format!("a number of tasks, not {tasks}"))?;
    let span =
        Duration::from_secs(seconds.parse().with_context(|| format!("a number of seconds, not {seconds}"))?);
    let directory = Path::new(directory);
    let cpu_before_us;
    let done = match store.as_str() {
        "disk" => {
            let file = allocated(&directory.join("pages"))?;
            cpu_before_us = cpu_us()?;
            sync_twice_a_pair(file, span)?
        }
        name => {
            let store = open(name, directory)?;
            cpu_before_us = cpu_us()?;
            measure(store, tasks, span).await?
        }
    };
    print(done, cpu_us()? - cpu_before_us)
}

fn open(name: &str, directory: &Path) -> Result<Arc<dyn Store>> {
    let durability = match name {
        "memory" => {
            let clock = Arc::new(SystemClock::starting_at(Timestamp::from_ms(0)));
            let limits = MemoryLimits {
                records_max: u64::MAX,
                records_per_actor_max: u64::MAX,
                bytes_max: u64::MAX,
                ..MemoryLimits::default()
            };
            return Ok(Arc::new(Memory::new(limits, clock)));
        }
        "sqlite-power" => Durability::Power,
        "sqlite-process" => Durability::Process,
        _ => bail!("there is no store {name}"),
    };
    let options = SqliteOptions { durability, ..SqliteOptions::new([0; 32]) };
    Ok(Arc::new(Sqlite::open(&directory.join("records.db"), options)?))
}

async fn measure(store: Arc<dyn Store>, tasks: usize, span: Duration) -> Result<Done> {
    let (numbers, began) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let mut running = JoinSet::new();
    for _ in 0..tasks {
        let (store, numbers) = (Arc::clone(&store), Arc::clone(&numbers));
        running.spawn(async move {
            let mut latencies_us = Vec::new();
            while began.elapsed() < span {
                let began = Instant::now();
                pair(&*store, numbers.fetch_add(1, Ordering::Relaxed)).await?;
                latencies_us.push(whole_us(began.elapsed())?);
            }
            anyhow::Ok(latencies_us)
        });
    }
    let mut latencies_us = Vec::new();
    while let Some(ended) = running.join_next().await {
        latencies_us.extend(ended??);
    }
    Ok(Done { span: began.elapsed(), latencies_us })
}

fn allocated(path: &Path) -> Result<File> {
    let mut file = File::create(path).with_context(|| path.display().to_string())?;
    for _ in 0..PAGES {
        file.write_all(&[0; PAGE_BYTES])?;
    }
    file.sync_all()?;
    Ok(file)
}

/// What one writer without any batching could do at the most.
fn sync_twice_a_pair(mut file: File, span: Duration) -> Result<Done> {
    let (mut latencies_us, mut page, began) = (Vec::new(), 0, Instant::now());
    while began.elapsed() < span {
        let began = Instant::now();
        for _ in 0..2 {
            file.seek(SeekFrom::Start(page % PAGES * PAGE_BYTES as u64))?;
            file.write_all(&[0x5a; PAGE_BYTES])?;
            file.sync_data()?;
            page += 1;
        }
        latencies_us.push(whole_us(began.elapsed())?);
    }
    Ok(Done { span: began.elapsed(), latencies_us })
}

fn print(done: Done, cpu_us: u64) -> Result<()> {
    let Done { span, mut latencies_us } = done;
    latencies_us.sort_unstable();
    let quantile =
        |percent: usize| latencies_us.get(latencies_us.len() * percent / 100).copied().unwrap_or(0);
    let figures = serde_json::json!({
        "pairs": latencies_us.len(),
        "us": whole_us(span)?,
        "p50_us": quantile(50),
        "p99_us": quantile(99),
        "cpu_us": cpu_us,
    });
    writeln!(std::io::stdout(), "{figures}")?;
    Ok(())
}

fn whole_us(span: Duration) -> Result<u64> {
    u64::try_from(span.as_micros()).context("a span of ages")
}

/// What this process used so far, of all processors (proc(5); a tick is 10 ms).
fn cpu_us() -> Result<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").context("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').context("/proc/self/stat is not as proc(5) says")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    Ok(ticks.sum::<Result<u64, _>>()? * 10_000)
}

/// One effect: claimed, run (in no time), completed.
async fn pair(store: &dyn Store, number: u64) -> Result<()> {
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
        bail!("a new key was not granted");
    };
    let outcome = Settle::Complete(Sealed(vec![0x5a; OUTCOME_BYTES]));
    match store.settle(id, attempt, outcome).await? {
        Reply::Decided { decision: Decision::Settled, .. } => Ok(()),
        other => bail!("a completion was answered {other:?}"),
    }
}
