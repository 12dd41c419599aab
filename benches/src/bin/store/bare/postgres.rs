//! Two statements a batch, each of many rows.

use std::future::poll_fn;

use anyhow::Result;
use onceward_testbed::postgres::Postgres;
use tokio_postgres::{Client, NoTls, Statement};

use super::{Batches, HEAD_BYTES};
use crate::pair::{OUTCOME_BYTES, spread};

/// As the store writes.
const CONNECTIONS: usize = 2;

/// Plans by primary key, made once: as the store's function has them.
const PINNED: &str = "-cenable_seqscan%3Doff%20-cenable_hashjoin%3Doff%20-cenable_mergejoin%3Doff%20\
                      -cplan_cache_mode%3Dforce_generic_plan%20-cjit%3Doff";

const TABLE: &str =
    "CREATE TABLE bare (id bytea PRIMARY KEY, due bigint, head bytea NOT NULL, outcome bytea);
                     CREATE INDEX ON bare (due); ALTER TABLE bare ALTER outcome SET STORAGE EXTERNAL";

const INSERT: &str = "INSERT INTO bare SELECT s.id, 1, s.head
                      FROM unnest($1::bytea[], $2::bytea[]) AS s (id, head) ON CONFLICT DO NOTHING";

const UPDATE: &str = "UPDATE bare AS b SET due = 2, head = s.head, outcome = s.outcome
                      FROM unnest($1::bytea[], $2::bytea[], $3::bytea[]) AS s (id, head, outcome) WHERE b.id = s.id";

pub(super) struct Connection {
    client: Client,
    insert: Statement,
    update: Statement,
}

pub(super) async fn ready(tasks: usize) -> Result<(Postgres, Vec<Connection>)> {
    let server = Postgres::start(&[])?;
    server.execute(TABLE)?;
    let mut connections = Vec::new();
    for _ in 0..tasks.min(CONNECTIONS) {
        let url = format!("{}&options={PINNED}", server.url());
        let (client, mut wire) = tokio_postgres::connect(&url, NoTls).await?;
        // It ends with its client.
        tokio::spawn(async move { while poll_fn(|context| wire.poll_message(context)).await.is_some() {} });
        let insert = client.prepare(INSERT).await?;
        let update = client.prepare(UPDATE).await?;
        connections.push(Connection { client, insert, update });
    }
    Ok((server, connections))
}

impl Batches for Connection {
    async fn batch(&mut self, numbers: Vec<u64>) -> Result<()> {
        let mut ids: Vec<_> = numbers.into_iter().map(spread).collect();
        ids.sort_unstable();
        let ids: Vec<&[u8]> = ids.iter().map(<[u8; 32]>::as_slice).collect();
        let (head, outcome) = ([1_u8; HEAD_BYTES], [2_u8; OUTCOME_BYTES]);
        let (heads, outcomes) = (vec![head.as_slice(); ids.len()], vec![outcome.as_slice(); ids.len()]);
        self.client.execute(&self.insert, &[&ids, &heads]).await?;
        self.client.execute(&self.update, &[&ids, &heads, &outcomes]).await?;
        Ok(())
    }
}
