//! What remembers each effect: the [`Store`] port, its implementations, and the suite that each of them must pass.
//!
//! A store keeps [`Record`]s and makes each of its operations one atomic step. It decides nothing: inside that step it hands the
//! record and the event to [`Record::on`] and writes back what comes out. It knows no HTTP; outcomes are sealed bytes to it.

mod port;

pub use port::{
    AuditCursor, AuditLog, Claim, Clock, Entry, EntryFilter, Health, Page, PageCursor, Reply, Resolution, Settle,
    ResolutionChange, Store, StoreError, StoreFuture, Stored, StoredAudit, Swept, Undated,
};
