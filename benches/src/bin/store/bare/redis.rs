//! Two scripts a pair, pipelined on one connection for all tasks.

use anyhow::{Result, ensure};
use onceward_testbed::redis::{Keeping, Redis};
use redis::{Cmd, aio::MultiplexedConnection};

use super::{Batches, HEAD_BYTES};
use crate::pair::{OUTCOME_BYTES, spread};

/// A claim: a row where there was none.
const CLAIM: &str = "return redis.call('SET', KEYS[1], ARGV[1], 'NX') and 1 or 0";

/// A settlement: another row for the expected one.
const SETTLE: &str = "if redis.call('GETRANGE', KEYS[1], 0, 15) ~= ARGV[1] then return 0 end \
                      redis.call('SET', KEYS[1], ARGV[2]) return 1";

#[derive(Clone)]
pub(super) struct Connection {
    connection: MultiplexedConnection,
    claim: String,
    settle: String,
}

pub(super) async fn ready(keeping: Keeping, tasks: usize) -> Result<(Redis, Vec<Connection>)> {
    let server = Redis::start(keeping, &[])?;
    let mut connection = redis::Client::open(server.url())?.get_multiplexed_async_connection().await?;
    let mut load = async |script: &str| -> Result<String> {
        Ok(redis::cmd("SCRIPT").arg("LOAD").arg(script).query_async(&mut connection).await?)
    };
    let (claim, settle) = (load(CLAIM).await?, load(SETTLE).await?);
    Ok((server, vec![Connection { connection, claim, settle }; tasks]))
}

impl Batches for Connection {
    async fn batch(&mut self, numbers: Vec<u64>) -> Result<()> {
        for number in numbers {
            let key = spread(number);
            let claimed: u8 =
                script(&self.claim, &key).arg(vec![1; HEAD_BYTES]).query_async(&mut self.connection).await?;
            let mut settle = script(&self.settle, &key);
            settle.arg(vec![1; 16]).arg(vec![2; HEAD_BYTES + OUTCOME_BYTES]);
            let settled: u8 = settle.query_async(&mut self.connection).await?;
            ensure!((claimed, settled) == (1, 1), "a pair failed");
        }
        Ok(())
    }
}

fn script(name: &str, key: &[u8]) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(name).arg(1).arg(key);
    command
}
