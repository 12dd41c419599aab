//! Stores by name.

use std::{any::Any, path::Path, sync::Arc};

use anyhow::{Result, bail};
use onceward_core::time::Timestamp;
use onceward_store::{
    Durability, Memory, MemoryLimits, MysqlOptions, PostgresOptions, RedisDurability, RedisOptions, Sqlite,
    SqliteOptions, Store, SystemClock,
};
use onceward_testbed::{
    mysql::Mysql,
    postgres::Postgres,
    redis::{Keeping, Redis},
};

/// What every store here was made under.
const SECRET_CHECK: [u8; 32] = [0; 32];

/// The database of a MySQL server.
pub(crate) const MYSQL_DATABASE: &str = "bench";

/// A store, and the server that it is on.
pub(crate) struct Opened {
    // Before its server, so that it is closed first.
    store: Arc<dyn Store>,
    _server: Option<Box<dyn Any>>,
}

impl Opened {
    /// Opens a new one; on a server that is started for it where it needs one.
    pub(crate) async fn named(name: &str, directory: &Path) -> Result<Self> {
        let opened = match name {
            "memory" => Self::alone(memory()),
            "sqlite-power" => Self::alone(sqlite(directory, Durability::Power)?),
            "sqlite-process" => Self::alone(sqlite(directory, Durability::Process)?),
            "postgres" => {
                let server = Postgres::start(&[])?;
                Self::on(PostgresOptions::new(server.url(), SECRET_CHECK).open().await?, server)
            }
            "mysql" => {
                let server = mysql_server()?;
                let url = server.url("root", MYSQL_DATABASE);
                Self::on(MysqlOptions::new(url, SECRET_CHECK).open().await?, server)
            }
            "redis-power" => Self::redis(Keeping::Always, RedisDurability::Power).await?,
            "redis-process" => Self::redis(Keeping::EverySecond, RedisDurability::Process).await?,
            _ => bail!("there is no store {name}"),
        };
        // A shared store answers once it knows the time, which is not measured.
        opened.store.health().await?;
        Ok(opened)
    }

    pub(crate) fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    async fn redis(keeping: Keeping, durability: RedisDurability) -> Result<Self> {
        let server = Redis::start(keeping, &[])?;
        let options = RedisOptions { durability, ..RedisOptions::new(&server.url(), SECRET_CHECK) };
        Ok(Self::on(options.open().await?, server))
    }

    fn alone(store: impl Store) -> Self {
        Self { store: Arc::new(store), _server: None }
    }

    fn on(store: impl Store, server: impl Any) -> Self {
        Self { store: Arc::new(store), _server: Some(Box::new(server)) }
    }
}

fn memory() -> Memory {
    let clock = Arc::new(SystemClock::starting_at(Timestamp::from_ms(0)));
    let limits = MemoryLimits {
        records_max: u64::MAX,
        records_per_actor_max: u64::MAX,
        bytes_max: u64::MAX,
        ..MemoryLimits::default()
    };
    Memory::new(limits, clock)
}

fn sqlite(directory: &Path, durability: Durability) -> Result<Sqlite> {
    let options = SqliteOptions { durability, ..SqliteOptions::new(SECRET_CHECK) };
    Ok(Sqlite::open(&directory.join("records.db"), options)?)
}

/// With room for what is measured, and every commit synced, as it is by default.
pub(crate) fn mysql_server() -> Result<Mysql> {
    let server = Mysql::start(&["--innodb-buffer-pool-size=1G", "--innodb-log-file-size=1G"])?;
    server.execute(&format!("CREATE DATABASE {MYSQL_DATABASE}"))?;
    Ok(server)
}
