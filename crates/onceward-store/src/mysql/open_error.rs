//! Why a database is not opened: what is wrong, where, and what to do.

use crate::port::StoreError;

/// Why a MySQL or MariaDB database was not opened. Its address is named without the password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MysqlError {
    /// The URL does not name a database.
    #[error("the URL of the database cannot be used: {reason}")]
    Url {
        /// What is wrong with it.
        reason: String,
    },
    /// No connection could be made, or the server refused the role.
    #[error("{place} cannot be reached: check that the server runs and takes this role and password")]
    Unreachable {
        /// The server and database.
        place: String,
        /// What the server or the system said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server may lose acknowledged records, or cannot be written to (S3).
    #[error("{place} may not hold the store: {finding}; {mend}")]
    Unfit {
        /// The server and database.
        place: String,
        /// What was found.
        finding: String,
        /// What to do about it.
        mend: &'static str,
    },
    /// The server takes no packet that an outcome would need.
    #[error(
        "{place} takes packets of {found} bytes, and an outcome of {outcome_bytes_max} bytes needs {needed}: raise max_allowed_packet"
    )]
    Packet {
        /// The server and database.
        place: String,
        /// `max_allowed_packet`.
        found: usize,
        /// What it would have to be.
        needed: usize,
        /// As the options have it.
        outcome_bytes_max: usize,
    },
    /// The tables are not there, or those of an earlier release, and the role may not change that.
    #[error(
        "{place} lacks migration {number} of the store, and this role may not apply it: run `onceward store migrate` as one that may"
    )]
    NotMigrated {
        /// The server and database.
        place: String,
        /// The first one that is missing.
        number: u32,
    },
    /// A later release made the tables.
    #[error("{place} is of schema {found}, and this program knows {known}: use the newer program")]
    Newer {
        /// The server and database.
        place: String,
        /// Its schema.
        found: u32,
        /// The latest schema that this program knows.
        known: u32,
    },
    /// The tables were made by migrations that differ from the ones of this program.
    #[error(
        "{place} was made by another migration {number} than this program's: use the program that made it"
    )]
    MigrationDiffers {
        /// The server and database.
        place: String,
        /// The migration.
        number: u32,
    },
    /// A table is not of the engine that commits.
    #[error("table {table} of {place} is of engine {engine}: convert it to InnoDB")]
    Engine {
        /// The server and database.
        place: String,
        /// Which.
        table: String,
        /// What it is instead.
        engine: String,
    },
    /// The deployment's secret is another one, so no record would ever be found.
    #[error(
        "{place} was made under another secret: restore that secret, or name another database or table prefix"
    )]
    OtherSecret {
        /// The server and database.
        place: String,
    },
    /// Another process migrates it and does not end.
    #[error("{place} is being migrated by another process: wait for it, or end it")]
    Migrating {
        /// The server and database.
        place: String,
    },
    /// The server refused something.
    #[error("could not {doing} at {place}")]
    Refused {
        /// What was tried.
        doing: &'static str,
        /// The server and database.
        place: String,
        /// What the server said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store could not be started on it.
    #[error("the store on {place} could not be started")]
    Start {
        /// The server and database.
        place: String,
        /// Why not.
        source: StoreError,
    },
}

/// What makes a server unfit, and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unfit {
    pub(super) finding: String,
    pub(super) mend: &'static str,
}
