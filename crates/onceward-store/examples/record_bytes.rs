//! Measures what a record costs in the memory store: `cargo run --release -p onceward-store --example record_bytes [RECORDS]`.
//!
//! Claims as many keys (default: a million), completes each with an answer, then has each take the mark of a meaning of its own (P5). Prints
//! one JSON object for each of the three states: resident bytes a record or mark, the answer's own bytes not counted, and how long an
//! operation took. Linux only: it reads proc(5).

use std::{
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use onceward_core::{
    actor::{ActorTag, KeyTag, Label, LookupId, Tenant},
    fingerprint::Fingerprint,
    record::{AfterRetention, Attempt, AttemptId, Decision, Epoch, OnLapse, OnMismatch, Sealed, Terms},
    time::Timestamp,
    twin::{Bid, Holder, TwinId},
};
use onceward_store::{Claim, Marked, Memory, MemoryLimits, Reply, Settle, Store, SystemClock, Twin, Undated};

/// Bytes of an answer, as in the benchmark of the stores.
const OUTCOME_BYTES: u64 = 900;

type Failed = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failed> {
    let records = std::env::args().nth(1).map_or(Ok(1_000_000), |records| records.parse::<usize>())?;
    // Written to before the first measurement, so that none of it counts as the store's.
    let mut attempts = vec![Attempt { epoch: Epoch(1), id: AttemptId([1; 16]) }; records];
    let mut latencies_ns = vec![1; records];
    let limits = MemoryLimits {
        records_max: u64::MAX,
        records_per_actor_max: u64::MAX,
        bytes_max: u64::MAX,
        ..MemoryLimits::default()
    };
    let clock = Arc::new(SystemClock::starting_at(Timestamp::from_ms(0)));
    let store = Memory::new(limits, clock);
    let empty_bytes = resident_bytes()?;

    for ((number, attempt), latency_ns) in (0..).zip(&mut attempts).zip(&mut latencies_ns) {
        let claim = claim(number)?;
        let begun = Instant::now();
        let reply = store.claim(claim).await?;
        *latency_ns = begun.elapsed().as_nanos();
        let Reply::Decided { decision: Decision::Execute(granted), .. } = reply else {
            return Err(format!("a new key was answered {reply:?}").into());
        };
        *attempt = granted;
    }
    report("claimed", &mut latencies_ns, resident_bytes()?.saturating_sub(empty_bytes))?;

    for ((number, attempt), latency_ns) in (0..).zip(&attempts).zip(&mut latencies_ns) {
        let answer = Sealed(vec![0x5a; OUTCOME_BYTES as usize]);
        let begun = Instant::now();
        let reply = store.settle(id(number), *attempt, Settle::Complete(answer)).await?;
        *latency_ns = begun.elapsed().as_nanos();
        let Reply::Decided { decision: Decision::Settled, .. } = reply else {
            return Err(format!("a completion was answered {reply:?}").into());
        };
    }
    let answer_bytes = OUTCOME_BYTES * records as u64;
    let full_bytes = resident_bytes()?.saturating_sub(empty_bytes);
    report("done", &mut latencies_ns, full_bytes.saturating_sub(answer_bytes))?;

    for ((number, attempt), latency_ns) in (0..).zip(&attempts).zip(&mut latencies_ns) {
        let holder = Holder { id: id(number), epoch: attempt.epoch };
        let bid = Bid { holder, window: Duration::from_mins(10), replaces: None };
        let meaning = TwinId::from_bytes(*id(number).as_bytes());
        let twin = Twin { id: meaning, actor: ActorTag::from_bytes([1; 8]), bid };
        let begun = Instant::now();
        let marked = store.mark_twin(twin).await?;
        *latency_ns = begun.elapsed().as_nanos();
        if marked != Marked::Held {
            return Err(format!("a new mark was answered {marked:?}").into());
        }
    }
    let mark_bytes = resident_bytes()?.saturating_sub(empty_bytes).saturating_sub(full_bytes);
    report("marked", &mut latencies_ns, mark_bytes)
}

fn report(state: &str, latencies_ns: &mut [u128], bytes: u64) -> Result<(), Failed> {
    let records = latencies_ns.len();
    let bytes_resident_per_record = bytes as f64 / records.max(1) as f64;
    latencies_ns.sort_unstable();
    let quantile = |percent: usize| latencies_ns.get(records * percent / 100).copied().unwrap_or(0);
    writeln!(
        std::io::stdout(),
        r#"{{"records":{records},"state":"{state}","bytes_resident_per_record":{bytes_resident_per_record:.1},"p50_ns":{},"p99_ns":{}}}"#,
        quantile(50),
        quantile(99),
    )?;
    Ok(())
}

/// What this process has in memory now. Not from `statm`, whose counters lag behind (proc(5)).
fn resident_bytes() -> Result<u64, Failed> {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup")?;
    let resident = rollup.lines().find_map(|line| line.strip_prefix("Rss:")?.strip_suffix("kB"));
    Ok(resident.ok_or("smaps_rollup says nothing of Rss")?.trim().parse::<u64>()? * 1024)
}

fn id(number: u64) -> LookupId {
    // Spread over the index as digests are: an odd multiplier visits every value once.
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    let mut id = [0; 32];
    id.chunks_mut(8).for_each(|part| part.copy_from_slice(&spread));
    LookupId::from_bytes(id)
}

fn claim(number: u64) -> Result<Claim, Failed> {
    Ok(Claim {
        id: id(number),
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
            key: KeyTag::from_bytes(number.to_be_bytes()),
            effect: "POST https://shop.example/orders".to_owned(),
        },
        issued_at: None,
        undated: Undated::Execute,
        request: None,
    })
}
