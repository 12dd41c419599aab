//! How many effects a second a store can keep.

use std::{process::Command, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    figures::{Latency, Sample, Unit},
    plan::Plan,
    rounds::{Case, Contender},
    stand::Stand,
    target::{Measure, Target},
};

pub(super) const ABOUT: &str = "\
A claim and its completion with an answer of 900 bytes, by many tasks at once, on both cores. `sqlite, power` has synced each to the disk when \
it is answered, `sqlite, process` has not. `two syncs` is the disk itself: one writer that appends a page and syncs it, twice a pair.";

/// Those of one process: what is shown, and what bench-store calls it.
const OWN: &[(&str, &str)] = &[
    ("memory", "memory"),
    ("sqlite, process", "sqlite-process"),
    ("sqlite, power", "sqlite-power"),
    ("two syncs", "disk"),
];

pub(super) const ABOUT_SHARED: &str = "\
The same through databases that processes share; server, store and tasks on both cores. `bare` writes the same rows without any rule: \
multi-row statements on as many connections for Postgres and MariaDB, two pipelined scripts a pair for Redis. `CPU us` is without the server's.";

const SHARED: &[(&str, &str)] = &[
    ("postgres, bare", "bare-postgres"),
    ("postgres", "postgres"),
    ("mariadb, bare", "bare-mysql"),
    ("mariadb", "mysql"),
    ("redis, power, bare", "bare-redis-power"),
    ("redis, power", "redis-power"),
    ("redis, process, bare", "bare-redis-process"),
    ("redis, process", "redis-process"),
];

/// What a store is to reach of its bare loop.
const SHARE_OF_BARE: f64 = 0.8;

pub(super) fn cases<'a>(stand: &'a Stand, plan: &'a Plan) -> Vec<Case<'a>> {
    let case = |&tasks: &usize| case(stand, plan, OWN, tasks, Vec::new());
    plan.tasks_varied.iter().map(case).collect()
}

pub(super) fn shared_cases<'a>(stand: &'a Stand, plan: &'a Plan) -> Vec<Case<'a>> {
    let targets = || {
        ["postgres", "mariadb", "redis, power", "redis, process"]
            .into_iter()
            .zip(["postgres, bare", "mariadb, bare", "redis, power, bare", "redis, process, bare"])
            .map(|(contender, bare)| Target { contender, measure: Measure::RateTo(bare, SHARE_OF_BARE) })
            .collect()
    };
    plan.tasks_varied.iter().map(|&tasks| case(stand, plan, SHARED, tasks, targets())).collect()
}

fn case<'a>(
    stand: &'a Stand,
    plan: &'a Plan,
    stores: &[(&'static str, &'static str)],
    tasks: usize,
    targets: Vec<Target>,
) -> Case<'a> {
    let contender =
        |&(name, store)| Contender { name, sample: Box::new(move || sample(stand, plan, store, tasks)) };
    Case {
        load: format!("{tasks} tasks"),
        unit: Unit::Pair,
        contenders: stores.iter().map(contender).collect(),
        targets,
    }
}

fn sample(stand: &Stand, plan: &Plan, store: &str, tasks: usize) -> Result<Sample> {
    let folder = stand.folder()?;
    let mut command = Command::new(stand.own("bench-store"));
    command.arg(store).arg(tasks.to_string()).arg(plan.seconds.to_string()).arg(folder.path());
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("bench-store")?;
    if !output.status.success() {
        bail!("bench-store ended with {}", output.status);
    }
    read(&output.stdout)
}

fn read(told: &[u8]) -> Result<Sample> {
    let figures: Value = serde_json::from_slice(told).context("what bench-store said")?;
    let figure = |name: &str| {
        figures.get(name).and_then(Value::as_u64).with_context(|| format!("bench-store said no {name}"))
    };
    let pairs = figure("pairs")?;
    if pairs == 0 {
        bail!("no pair was done");
    }
    Ok(Sample {
        count: pairs as f64,
        span: Duration::from_micros(figure("us")?),
        cpu: Duration::from_micros(figure("cpu_us")?),
        latency: Some(Latency {
            p50: Duration::from_micros(figure("p50_us")?),
            p99: Duration::from_micros(figure("p99_us")?),
        }),
        growth_bytes: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loops_figures_are_read() {
        let told = br#"{"pairs":5000,"us":2000000,"p50_us":180,"p99_us":900,"cpu_us":150000}"#;
        let expected = Sample {
            count: 5_000.0,
            span: Duration::from_secs(2),
            cpu: Duration::from_millis(150),
            latency: Some(Latency { p50: Duration::from_micros(180), p99: Duration::from_micros(900) }),
            growth_bytes: None,
        };
        assert_eq!(read(told).unwrap(), expected);
        assert_eq!(read(b"{}").unwrap_err().to_string(), "bench-store said no pairs");
    }
}
