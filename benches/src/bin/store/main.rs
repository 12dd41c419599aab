//! Pairs of claim and completion, by many tasks at once: `bench-store STORE TASKS SECONDS DIRECTORY`.
//!
//! Prints one JSON object. The directory should lie on the disk that matters; database servers keep theirs in the system's temporary
//! folder.

mod bare;
mod disk;
mod opened;
mod pair;

use std::{
    env,
    io::Write,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use onceward_store::Store;
use tokio::task::JoinSet;

use crate::{opened::Opened, pair::pair};

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
            let file = disk::allocated(&directory.join("pages"))?;
            cpu_before_us = cpu_us()?;
            disk::sync_twice_a_pair(file, span)?
        }
        name => match name.strip_prefix("bare-") {
            Some(name) => {
                let loops = bare::ready(name, tasks).await?;
                cpu_before_us = cpu_us()?;
                loops.run(span).await?
            }
            None => {
                let opened = Opened::named(name, directory).await?;
                cpu_before_us = cpu_us()?;
                measure(opened.store(), tasks, span).await?
            }
        },
    };
    print(done, cpu_us()? - cpu_before_us)
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
