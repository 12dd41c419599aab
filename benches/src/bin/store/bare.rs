//! The same rows in a database without any rule: what a store on it could do at the most.

mod mysql;
mod postgres;
mod redis;

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use onceward_testbed::redis::Keeping;
use tokio::task::JoinSet;

use crate::{Done, whole_us};

/// Bytes of a row without its answer, as records of these pairs have it.
const HEAD_BYTES: usize = 230;

/// Inserts rows and completes them, batch by batch.
trait Batches: Send + 'static {
    /// Does one batch, whose numbers are its alone.
    fn batch(&mut self, numbers: Vec<u64>) -> impl Future<Output = Result<()>> + Send;
}

/// Loops that are connected and have not begun.
pub(crate) struct Loops {
    kind: Kind,
    /// Pairs of one batch.
    batch: usize,
    _server: Box<dyn Any>,
}

enum Kind {
    Postgres(Vec<postgres::Connection>),
    Mysql(Vec<mysql::Connection>),
    Redis(Vec<redis::Connection>),
}

/// Starts a server, and connects as many loops to it as the store has connections, or tasks where those are fewer. Each stands for
/// its share of the tasks.
pub(crate) async fn ready(name: &str, tasks: usize) -> Result<Loops> {
    match name {
        "postgres" => {
            let (server, connections) = postgres::ready(tasks).await?;
            Ok(Loops::new(Kind::Postgres(connections), tasks, server))
        }
        "mysql" => {
            let (server, connections) = mysql::ready(tasks).await?;
            Ok(Loops::new(Kind::Mysql(connections), tasks, server))
        }
        "redis-power" | "redis-process" => {
            let keeping = if name == "redis-power" { Keeping::Always } else { Keeping::EverySecond };
            let (server, connections) = redis::ready(keeping, tasks).await?;
            Ok(Loops::new(Kind::Redis(connections), tasks, server))
        }
        _ => bail!("there is no bare loop for {name}"),
    }
}

impl Loops {
    fn new(kind: Kind, tasks: usize, server: impl Any) -> Self {
        let loops = match &kind {
            Kind::Postgres(connections) => connections.len(),
            Kind::Mysql(connections) => connections.len(),
            Kind::Redis(connections) => connections.len(),
        };
        Self { kind, batch: tasks / loops.max(1), _server: Box::new(server) }
    }

    pub(crate) async fn run(self, span: Duration) -> Result<Done> {
        let Self { kind, batch, _server } = self;
        match kind {
            Kind::Postgres(connections) => run(connections, batch, span).await,
            Kind::Mysql(connections) => run(connections, batch, span).await,
            Kind::Redis(connections) => run(connections, batch, span).await,
        }
    }
}

async fn run<B: Batches>(connections: Vec<B>, batch: usize, span: Duration) -> Result<Done> {
    let (numbers, began) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let mut running = JoinSet::new();
    for mut connection in connections {
        let numbers = Arc::clone(&numbers);
        running.spawn(async move {
            let mut latencies_us = Vec::new();
            while began.elapsed() < span {
                let first = numbers.fetch_add(batch as u64, Ordering::Relaxed);
                let began = Instant::now();
                connection.batch((first..first + batch as u64).collect()).await?;
                latencies_us.extend(vec![whole_us(began.elapsed())?; batch]);
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
