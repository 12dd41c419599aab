//! A database of its own for each test, and rows that can be told apart.

use std::time::{SystemTime, UNIX_EPOCH};

use mysql_async::{Conn, Opts, prelude::Queryable};
use onceward_core::{
    actor::{ActorTag, KeyTag, LookupId},
    time::Timestamp,
};
use onceward_testbed::mysql::{Mysql as Server, SharedMysql, shared};

use crate::{
    mysql::{Mysql, MysqlError, MysqlOptions},
    port::{StoreError, StoredAudit},
    shared::backend::{Backend, Expected, Grant, Mark, NewRow, Put, StoredRow, Swap},
    step::Kind,
};

pub(super) const SECRET_CHECK: [u8; 32] = [0x5e; 32];

/// The store's time of these tests, where it does not matter.
pub(super) const NOW: Timestamp = Timestamp::from_ms(1_000);

/// Judged where nobody knew of a barrier.
pub(super) const UNJUDGED: Grant = Grant { barrier: None };

/// A fresh database on the shared server.
pub(super) struct Database {
    server: SharedMysql,
    name: String,
}

impl Database {
    pub(super) async fn new() -> Self {
        let server = shared().expect("a server");
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a sound clock");
        let name = format!("onceward_{}_{}", std::process::id(), since.as_nanos());
        let database = Self { server, name };
        database.say("mysql", &format!("CREATE DATABASE `{}`", database.name)).await;
        database.options().migrate().await.expect("migrated");
        database
    }

    pub(super) fn options(&self) -> MysqlOptions {
        MysqlOptions::new(self.server.url(&self.name), SECRET_CHECK)
    }

    pub(super) async fn open(&self) -> Mysql {
        self.try_open().await.expect("opened")
    }

    pub(super) async fn try_open(&self) -> Result<Mysql, MysqlError> {
        Mysql::open(&self.options()).await
    }

    /// Does something as the administrator.
    pub(super) async fn tell(&self, sql: &str) {
        self.say(&self.name, sql).await;
    }

    async fn say(&self, database: &str, sql: &str) {
        tell(&self.server.url(database), sql).await;
    }

    pub(super) async fn remove(self) {
        self.say("mysql", &format!("DROP DATABASE `{}`", self.name)).await;
    }
}

/// Does something on a server that a test has for itself.
pub(super) async fn tell(url: &str, sql: &str) {
    let mut conn = Conn::new(Opts::from_url(url).expect("a URL")).await.expect("connected");
    conn.query_drop(sql).await.expect(sql);
    conn.disconnect().await.expect("disconnected");
}

/// A server for one test, with an empty database `onceward` on it.
pub(super) async fn own(settings: &[&str]) -> Server {
    let server = Server::start(settings).expect("a server");
    tell(&server.url("root", "mysql"), "CREATE DATABASE onceward").await;
    MysqlOptions::new(server.url("root", "onceward"), SECRET_CHECK).migrate().await.expect("migrated");
    server
}

pub(super) fn id(number: u64) -> LookupId {
    let mut id = [0xee; 32];
    id[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    LookupId::from_bytes(id)
}

pub(super) fn mark(number: u64) -> Mark {
    let mut mark = [0xaa; 16];
    mark[..8].copy_from_slice(&number.to_be_bytes());
    Mark(mark)
}

/// A row whose every part names its number.
pub(super) fn new_row(number: u64) -> NewRow {
    let StoredRow { mark, head, outcome } = stored(number);
    NewRow {
        mark,
        kind: Kind::Done,
        due_at: Some(Timestamp::from_ms(number)),
        key: KeyTag::from_bytes([1; 8]),
        actor: ActorTag::from_bytes([2; 8]),
        head,
        outcome,
    }
}

pub(super) fn stored(number: u64) -> StoredRow {
    let head = format!("head ' \\ \0 {number}").into_bytes();
    StoredRow { mark: mark(number), head, outcome: Some(number.to_be_bytes().repeat(3)) }
}

pub(super) fn claim(number: u64, mark: u64) -> Swap {
    let (expected, put) = (Expected::Nothing, Put::Row(new_row(mark)));
    Swap { id: id(number), expected, grant: Some(UNJUDGED), put, audit: None }
}

pub(super) fn audit(number: u64) -> StoredAudit {
    StoredAudit { at: Timestamp::from_ms(number), key: None, json: format!("{{\"line\":{number}}}") }
}

/// Asks until the store is refused a connection, and holds the cause against `finding`. What was on its way when a connection was cut is
/// unknown, at the most once each.
pub(super) async fn refused_for(store: &Mysql, finding: &str) {
    let mut told = Vec::new();
    for _ in 0..10 {
        match store.exchange(vec![claim(900, 900)].into(), NOW).await {
            Err(StoreError::Unavailable { source: Some(source), .. })
                if source.to_string().contains(finding) =>
            {
                return;
            }
            other => told.push(other),
        }
    }
    panic!("{finding:?} was not found: {told:?}");
}
