//! Why a database is not used: what was found, why it is refused, and what mends it.

use redis::RedisError;

use super::{fault::Fault, standing::Weakness};
use crate::port::StoreError;

/// Why a Redis is not used. None of its records was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedisConnectError {
    /// The URL cannot be read. It is not shown: there may be a password in it.
    #[error("the URL of the Redis cannot be read: {finding}")]
    Url {
        /// What is wrong with it.
        finding: &'static str,
    },
    /// The prefix of the keys cannot be one.
    #[error("a prefix of keys has 1 to 64 letters, digits, `-`, `_`, `.` or `:`")]
    Prefix,
    /// It cannot be reached, or does not serve.
    #[error("{finding}")]
    Unavailable {
        /// What was found.
        finding: &'static str,
        /// What the server or the system said.
        source: Option<RedisError>,
    },
    /// The user lacks rights, so that a change would end in its middle.
    #[error("the user of the Redis may not run {commands} on the store's keys: allow it with ACL SETUSER")]
    Rights {
        /// What it may not run.
        commands: String,
    },
    /// It throws records away when its memory is full.
    #[error(
        "the Redis may evict records (maxmemory-policy {policy}), and an evicted one would run again: set it to noeviction"
    )]
    Evicts {
        /// Its policy.
        policy: String,
    },
    /// It keeps nothing on disk, or does not say that it does.
    #[error("the Redis keeps nothing on disk, or does not say so: set appendonly to yes")]
    NoPersistence,
    /// It answers before it has synced what it answers for, or does not say that it does not.
    #[error(
        "the Redis does not sync before it answers, or does not say so: set appendonly to yes, appendfsync to always and \
         no-appendfsync-on-rewrite to no"
    )]
    NotSynced,
    /// It has replicas and goes on without them.
    #[error(
        "the Redis has {replicas} replicas and goes on without them, so that a cut-off master grants what its successor grants, \
         too: set min-replicas-to-write to 1 or more"
    )]
    ReplicasNotWaitedFor {
        /// How many are connected.
        replicas: u64,
    },
    /// The deployment's secret is another one, so no record would ever be found.
    #[error(
        "the records there were made under another secret: restore that secret, or choose another prefix"
    )]
    OtherSecret,
    /// Another release made it.
    #[error("the records there are of schema {found}, and this program knows {known}: use the newer program")]
    OtherSchema {
        /// Its schema.
        found: String,
        /// The schema that this program knows.
        known: &'static str,
    },
    /// The store could not begin its work on it.
    #[error("the store could not begin")]
    Store {
        /// What the store said.
        source: StoreError,
    },
}

impl From<Fault> for RedisConnectError {
    fn from(fault: Fault) -> Self {
        Self::Unavailable { finding: fault.reason, source: fault.source }
    }
}

impl From<Weakness> for RedisConnectError {
    fn from(weakness: Weakness) -> Self {
        match weakness {
            Weakness::Evicts { policy } => Self::Evicts { policy },
            Weakness::NoPersistence => Self::NoPersistence,
            Weakness::NotSynced => Self::NotSynced,
            Weakness::ReplicasNotWaitedFor { replicas } => Self::ReplicasNotWaitedFor { replicas },
        }
    }
}
