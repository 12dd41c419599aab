//! Records in a Postgres database (14 or later), shared by any number of processes.
//!
//! Batches of swaps go to one function in the database, [multi-row and in one transaction each](self::exchange), over two pipelined
//! connections; a third one reads. Nothing is kept in a session, so a pooler in transaction mode may stand between.
//!
//! # What the database promises, and what it cannot
//! An acknowledged operation is on the server's disk, and on its synchronous standbys where it has some: `synchronous_commit` is raised
//! to `on` in every transaction, whatever the role has set. A commit whose wait for the standbys was cancelled counts as unknown, and what
//! it left behind answers nobody before the standbys have it, see [`exchange`]. What was checked of the server at opening is checked on
//! each new connection, and every two seconds.
//!
//! After each promotion, and each recovery to a point in time, the server has another timeline; that, another cluster, and a table that was
//! loaded anew raise the history barrier (T5), as does a log that went back under a running process. Two things nobody can notice: files
//! that were put back to an older state while no process was running, on the same timeline; and rows that somebody deleted or put back
//! inside the table. After either, raise the barrier by hand.

mod address;
mod backend;
mod channel;
mod door;
mod exchange;
mod open_error;
mod schema;
#[cfg(test)]
mod tests;
mod tls;

use std::{fmt, sync::Arc, time::Duration};

pub use self::open_error::PostgresError;
use self::{
    address::Address,
    backend::Postgres,
    door::{Door, Settings},
    schema::Schema,
};
use crate::{
    port::Clock,
    shared::{Shared, SharedOptions},
};

/// Until every migration is applied.
const MIGRATION_TIME_MAX: Duration = Duration::from_mins(10);

/// What a standby that is promoted has of what its predecessor acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Promotion {
    /// Maybe not all of it: each promotion raises the history barrier.
    #[default]
    MayLose,
    /// All of it: every commit waits for the standby that would be promoted (`synchronous_standby_names`), and only such a one ever is.
    /// The database cannot prove that; whoever declares it vouches for it.
    KeepsAll,
}

/// How a Postgres database is opened.
#[derive(Clone)]
pub struct PostgresOptions {
    /// `postgres://user:password@host:port/database`, several hosts divided by commas, and options: `sslmode` (`disable`, `prefer`,
    /// `require`, `verify-full`), `sslrootcert` (a PEM file, or `system`), `application_name`, `connect_timeout`. Without
    /// `sslmode` it is `prefer`, which encrypts where it can and identifies nobody.
    pub url: String,
    /// The schema that holds the store. Default: `onceward`.
    pub schema: String,
    /// A value derived from the deployment's secret: a schema made under another one is refused, since nothing in it would be found.
    pub secret_check: [u8; 32],
    /// What a promotion keeps. Default: maybe not all.
    pub promotion: Promotion,
    /// Whether a server with `fsync` off, and one that was declared to keep all but has no synchronous standby, is refused. Default: yes.
    pub strict: bool,
    /// Where the time comes from. Default: the database server's clock.
    pub clock: Option<Arc<dyn Clock>>,
}

impl fmt::Debug for PostgresOptions {
    /// Without the URL, which may hold a password, and without what is derived from the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("schema", &self.schema)
            .field("promotion", &self.promotion)
            .field("strict", &self.strict)
            .finish_non_exhaustive()
    }
}

impl PostgresOptions {
    /// The defaults, for a database and a secret.
    #[must_use]
    pub fn new(url: impl Into<String>, secret_check: [u8; 32]) -> Self {
        Self {
            url: url.into(),
            schema: "onceward".to_owned(),
            secret_check,
            promotion: Promotion::default(),
            strict: true,
            clock: None,
        }
    }

    /// Opens the store, and applies the migrations that are missing if the role may.
    ///
    /// Has to be called within a tokio runtime, which the store works on until it is dropped.
    ///
    /// # Errors
    /// Whatever is not certainly a primary that keeps this deployment's records is refused with a diagnosis.
    pub async fn open(self) -> Result<Shared, PostgresError> {
        let door = Arc::new(self.door()?);
        let backend = self.backend(&door).await?;
        let options = SharedOptions { clock: self.clock, ..SharedOptions::default() };
        let shared = Shared::over(Arc::new(backend), options).await;
        shared.map_err(|source| PostgresError::Start { place: door.address.place.clone(), source })
    }

    /// Applies the migrations that are missing, and says how many those were. Processes that are at work are not disturbed.
    ///
    /// # Errors
    /// When the database cannot be used, or the role may not change it.
    pub async fn migrate(&self) -> Result<usize, PostgresError> {
        let door = self.door()?;
        let place = &door.address.place;
        let migrate = async |client: &mut _, _| door.schema.migrate(client, place).await;
        let (.., applied) = door.enter(MIGRATION_TIME_MAX, migrate).await?;
        Ok(applied)
    }

    /// Everything that [`migrate`](Self::migrate) does in an empty database, as one script for a tool of one's own; with the rights that
    /// `role` needs to use the store and no others, where a role is named.
    ///
    /// # Errors
    /// When the schema's name is not a plain one.
    pub fn migration_script(&self, role: Option<&str>) -> Result<String, PostgresError> {
        Ok(Schema::new(&self.schema)?.script(role))
    }

    async fn backend(&self, door: &Arc<Door>) -> Result<Postgres, PostgresError> {
        let prepare = async |client: &mut _, settings: Settings| {
            door.admit(&settings)?;
            door.schema.migrate(client, &door.address.place).await?;
            door.check_books(client).await
        };
        door.enter(MIGRATION_TIME_MAX, prepare).await.map(drop)?;
        Ok(Postgres::new(door))
    }

    fn door(&self) -> Result<Door, PostgresError> {
        let address = self.url.parse::<Address>();
        let address = address.map_err(|error| PostgresError::Address { source: Box::new(error) })?;
        Ok(Door {
            address,
            schema: Schema::new(&self.schema)?,
            secret_check: self.secret_check,
            promotion: self.promotion,
            strict: self.strict,
        })
    }
}
