//! Two statements a batch, each of many rows and one commit.

use std::fmt::Write as _;

use anyhow::Result;
use mysql_async::{Conn, Opts, prelude::Queryable};
use onceward_testbed::mysql::Mysql;

use super::{Batches, HEAD_BYTES};
use crate::{
    opened::{MYSQL_DATABASE, mysql_server},
    pair::{OUTCOME_BYTES, spread},
};

/// As the store writes.
const CONNECTIONS: usize = 4;

const TABLE: &str = "CREATE TABLE bare (id BINARY(32) PRIMARY KEY, state TINYINT NOT NULL, head MEDIUMBLOB NOT NULL, outcome LONGBLOB)";

const END: &str =
    "ON DUPLICATE KEY UPDATE state = VALUES(state), head = VALUES(head), outcome = VALUES(outcome)";

pub(super) struct Connection(Conn);

pub(super) async fn ready(tasks: usize) -> Result<(Mysql, Vec<Connection>)> {
    let server = mysql_server()?;
    let url = server.url("root", MYSQL_DATABASE);
    let mut connections = Vec::new();
    for _ in 0..tasks.min(CONNECTIONS) {
        connections.push(Connection(Conn::new(Opts::from_url(&url)?).await?));
    }
    if let Some(Connection(conn)) = connections.first_mut() {
        conn.query_drop(TABLE).await?;
    }
    Ok((server, connections))
}

impl Batches for Connection {
    async fn batch(&mut self, numbers: Vec<u64>) -> Result<()> {
        let (head, answer) = ("5a".repeat(HEAD_BYTES), "07".repeat(OUTCOME_BYTES));
        let (mut claims, mut ends) = (String::new(), String::new());
        for number in numbers {
            let comma = if claims.is_empty() { "" } else { ", " };
            let id: String = spread(number).iter().map(|byte| format!("{byte:02x}")).collect();
            write!(claims, "{comma}(x'{id}', 1, x'{head}', NULL)")?;
            write!(ends, "{comma}(x'{id}', 2, x'{head}', x'{answer}')")?;
        }
        self.0.query_drop(format!("INSERT INTO bare VALUES {claims}")).await?;
        self.0.query_drop(format!("INSERT INTO bare VALUES {ends} {END}")).await?;
        Ok(())
    }
}
