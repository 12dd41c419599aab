//! Why a database is not used: what is wrong, where, and what to do.

use std::error::Error;

use crate::port::StoreError;

/// Why a Postgres database was not opened, or is not used any more. Nothing was changed in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresError {
    /// The URL says something that cannot be used.
    #[error("the database's address cannot be used")]
    Address {
        /// What.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The schema's name is not a plain one.
    #[error(
        "{schema:?} is not a name for a schema: use up to 48 of a to z, 0 to 9 and _, not beginning with a digit"
    )]
    SchemaName {
        /// The name.
        schema: String,
    },
    /// Nobody answers there, or whoever does refuses the login.
    #[error("{place} gives no connection")]
    Unreachable {
        /// Host, port and database.
        place: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// It was released before what this program needs.
    #[error("{place} is Postgres {found}: use 14 or later")]
    TooOld {
        /// Host, port and database.
        place: String,
        /// Its version.
        found: i32,
    },
    /// It follows another server (S3).
    #[error("{place} is a replica: name its primary")]
    Replica {
        /// Host, port and database.
        place: String,
    },
    /// It takes no writes from this role.
    #[error("{place} is read-only: turn default_transaction_read_only off for this role and database")]
    ReadOnly {
        /// Host, port and database.
        place: String,
    },
    /// Transactions see no changes that others commit meanwhile.
    #[error(
        "{place} isolates transactions as {found:?}: set default_transaction_isolation to 'read committed' for this role"
    )]
    Isolation {
        /// Host, port and database.
        place: String,
        /// The level.
        found: String,
    },
    /// Texts could not be kept as they are.
    #[error("{place} is encoded in {found}: use a database in UTF8")]
    Encoding {
        /// Host, port and database.
        place: String,
        /// The encoding.
        found: String,
    },
    /// It does not wait for its disk (S3).
    #[error(
        "{place} runs with fsync off and may lose everything with its machine: turn it on, or give strictness up"
    )]
    Unsynced {
        /// Host, port and database.
        place: String,
    },
    /// It was declared that promotions keep all, and commits wait for no standby.
    #[error(
        "{place} names no synchronous standby, so a promotion can lose records: set synchronous_standby_names, or declare that promotions may lose"
    )]
    Unreplicated {
        /// Host, port and database.
        place: String,
    },
    /// A table of the store is emptied after a crash.
    #[error("{place} has the table {table} as an unlogged one: run ALTER TABLE {table} SET LOGGED")]
    Unlogged {
        /// Host, port and database.
        place: String,
        /// The table.
        table: String,
    },
    /// Migrations are missing, and the role may not apply them.
    #[error(
        "the schema {schema} at {place} has seen {found} of {known} migrations, and this role may not apply them: run `onceward store migrate` \
         as one that may"
    )]
    NotMigrated {
        /// Host, port and database.
        place: String,
        /// The schema.
        schema: String,
        /// Migrations that it has seen.
        found: usize,
        /// Migrations that this program knows.
        known: usize,
    },
    /// A later release made it.
    #[error(
        "the schema {schema} at {place} has seen {found} migrations, and this program knows {known}: use the newer program"
    )]
    Newer {
        /// Host, port and database.
        place: String,
        /// The schema.
        schema: String,
        /// Migrations that it has seen.
        found: usize,
        /// Migrations that this program knows.
        known: usize,
    },
    /// It was made by migrations that differ from the ones of this program.
    #[error(
        "the schema {schema} at {place} was made by another migration {number} than this program's: use the program that made it"
    )]
    MigrationDiffers {
        /// Host, port and database.
        place: String,
        /// The schema.
        schema: String,
        /// The migration.
        number: usize,
    },
    /// The deployment's secret is another one, so no record would ever be found.
    #[error(
        "the schema {schema} at {place} was made under another secret: restore that secret, or name another schema"
    )]
    OtherSecret {
        /// Host, port and database.
        place: String,
        /// The schema.
        schema: String,
    },
    /// The schema's content is broken.
    #[error("the schema {schema} at {place} is damaged ({finding}): restore a backup")]
    Damaged {
        /// Host, port and database.
        place: String,
        /// The schema.
        schema: String,
        /// What was found.
        finding: &'static str,
    },
    /// The server refused something.
    #[error("could not {doing} at {place}")]
    Refused {
        /// What was tried.
        doing: &'static str,
        /// Host, port and database.
        place: String,
        /// What the server said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The store could not be started on it.
    #[error("the store on {place} could not be started")]
    Start {
        /// Host, port and database.
        place: String,
        /// What the store said.
        source: StoreError,
    },
}
