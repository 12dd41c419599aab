//! What remembers each effect: the [`Store`] port, its implementations, and the suite that each of them must pass.
//!
//! A store keeps [`Record`](onceward_core::record::Record)s and makes each of its operations one atomic step. It decides nothing:
//! inside that step it hands the record and the event to [`Record::on`](onceward_core::record::Record::on) and writes back what comes
//! out. It knows no HTTP; outcomes are sealed bytes to it.
//!
//! - [`Memory`]: sharded and bounded; forgets at a restart, and says so by its history barrier.
//! - [`Sqlite`] (feature `sqlite`): one file, group commit.
//! - [`Faulty`] (feature `conformance`): any store, with faults by plan, for the tests of those who use stores.
//! - [`conformance`] (feature `conformance`): what every store has to pass; a new store starts there.

mod clock;
#[cfg(feature = "sqlite")]
mod codec;
#[cfg(feature = "conformance")]
pub mod conformance;
mod epoch;
#[cfg(feature = "conformance")]
mod faulty;
mod memory;
mod port;
#[cfg(feature = "sqlite")]
mod sqlite;
mod step;
mod tally;

#[cfg(feature = "conformance")]
pub use clock::ManualClock;
pub use clock::SystemClock;
#[cfg(feature = "conformance")]
pub use faulty::{Fault, Faults, Faulty};
pub use memory::{Memory, MemoryLimits};
pub use port::{
    AuditCursor, AuditLog, Claim, Clock, Entry, EntryFilter, Health, Page, PageCursor, Reply, Resolution,
    ResolutionChange, Settle, Store, StoreError, StoreFuture, Stored, StoredAudit, Swept, Undated,
};
#[cfg(feature = "sqlite")]
pub use sqlite::{Durability, OpenError, Sqlite, SqliteOptions, Stats, VerifyReport};
pub use tally::Tally;
