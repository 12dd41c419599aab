//! Databases and stores of these tests.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use mysql_async::{Conn, Opts, Row, prelude::Queryable};
use onceward_store::{ManualClock, MysqlOptions, Shared};
use onceward_testbed::mysql::{Mysql, SharedMysql, shared};

use crate::kit::SECRET_CHECK;

/// A fresh database on the server that tests share.
pub(super) struct Database {
    server: SharedMysql,
    name: String,
}

impl Database {
    pub(super) async fn new() -> Self {
        let server = shared().expect("a server");
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a sound clock");
        let name = format!("onceward_{}_{}", std::process::id(), since.as_nanos());
        tell(&server.url("mysql"), &format!("CREATE DATABASE `{name}`")).await;
        Self { server, name }
    }

    pub(super) fn url(&self) -> String {
        self.server.url(&self.name)
    }

    pub(super) async fn open(&self, clock: &Arc<ManualClock>) -> Shared {
        let clock = Arc::<ManualClock>::clone(clock);
        let options = MysqlOptions { clock: Some(clock), ..MysqlOptions::new(self.url(), SECRET_CHECK) };
        options.open().await.expect("opened")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (url, sql) = (self.server.url("mysql"), format!("DROP DATABASE `{}`", self.name));
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(tell(&url, &sql));
        });
        // A test that failed already needs no second reason.
        drop(dropped.join());
    }
}

/// A server of a test's own, with an empty database `onceward` on it.
pub(super) async fn own(settings: &[&str]) -> Mysql {
    let server = Mysql::start(settings).expect("a server");
    tell(&server.url("root", "mysql"), "CREATE DATABASE onceward").await;
    server
}

/// Does something as the administrator.
pub(super) async fn tell(url: &str, sql: &str) {
    let mut conn = Conn::new(Opts::from_url(url).expect("a URL")).await.expect("connected");
    conn.query_drop(sql).await.expect(sql);
    conn.disconnect().await.expect("disconnected");
}

/// Every byte of every column of a table, one after another.
pub(super) async fn content(url: &str, table: &str) -> Vec<u8> {
    let mut conn = Conn::new(Opts::from_url(url).expect("a URL")).await.expect("connected");
    let rows: Vec<Row> = conn.query(format!("SELECT * FROM {table}")).await.expect("read");
    conn.disconnect().await.expect("disconnected");
    let values = rows.into_iter().flat_map(Row::unwrap);
    values.flat_map(|value| mysql_async::from_value::<Option<Vec<u8>>>(value).unwrap_or_default()).collect()
}
