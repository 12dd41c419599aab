//! What remembers each effect: the [`Store`] port, its implementations, and the suite that each of them must pass.
//!
//! A store keeps [`Record`](onceward_core::record::Record)s and makes each of its operations one atomic step. It decides nothing:
//! inside that step it hands the record and the event to [`Record::on`](onceward_core::record::Record::on) and writes back what comes
//! out. It knows no HTTP; outcomes are sealed bytes to it.
//!
//! - [`Memory`]: sharded and bounded; forgets at a restart, and says so by its history barrier.
//! - [`Sqlite`] (feature `sqlite`): one file, group commit.
//! - `Shared` (features `postgres`, `mysql`, `redis`): a database that many processes share.
//! - `Table` (features `conformance` and `shared`): such a database in memory, with faults by plan.
//! - [`Faulty`] (feature `conformance`): any store, with faults by plan, for the tests of those who use stores.
//! - [`conformance`] (feature `conformance`): what every store has to pass; a new store starts there.

mod clock;
#[cfg(any(feature = "fuzz", feature = "shared", feature = "sqlite"))]
mod codec;
#[cfg(feature = "conformance")]
pub mod conformance;
mod epoch;
#[cfg(feature = "conformance")]
mod faulty;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod link;
mod memory;
#[cfg(feature = "mysql")]
mod mysql;
mod port;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "shared")]
mod shared;
#[cfg(feature = "sqlite")]
mod sqlite;
mod step;
mod tally;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod url;

#[cfg(feature = "conformance")]
pub use clock::ManualClock;
pub use clock::SystemClock;
#[cfg(feature = "conformance")]
pub use faulty::{Fault, Faults, Faulty};
pub use link::{BreakerState, Link};
pub use memory::{Memory, MemoryLimits};
#[cfg(feature = "mysql")]
pub use mysql::{MysqlError, MysqlOptions};
pub use port::{
    AuditCursor, AuditLog, ChangeFuture, Claim, Clock, Entry, EntryFilter, Health, Marked, Page, PageCursor,
    Reply, Resolution, ResolutionChange, Settle, Store, StoreError, StoreFuture, Stored, StoredAudit, Swept,
    Twin, Undated,
};
#[cfg(feature = "postgres")]
pub use postgres::{PostgresError, PostgresOptions, Promotion};
#[cfg(feature = "redis")]
pub use redis::{RedisConnectError, RedisDurability, RedisOptions, UnreadSettings};
#[cfg(feature = "shared")]
pub use shared::Shared;
#[cfg(all(feature = "conformance", feature = "shared"))]
pub use shared::{Cut, Replica, Table, TableOptions};
#[cfg(feature = "sqlite")]
pub use sqlite::{Durability, OpenError, Sqlite, SqliteOptions, Stats, VerifyReport};
pub use tally::Tally;
