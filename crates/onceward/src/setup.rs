//! From the name of a store to a running engine.

use std::{ffi::OsString, path::PathBuf, sync::Arc};

use onceward_core::{secret::Secret, time::Timestamp};
use onceward_engine::{Engine, Entropy, EntropyError, Limits, Parts, SelfTestError, SystemEntropy};
use onceward_store::{Clock, Memory, MemoryLimits, StoreError, SystemClock};
#[cfg(feature = "sqlite")]
use onceward_store::{Durability, Sqlite, SqliteOptions};

use crate::{
    running::Onceward,
    secret_file::{self, SecretFileError},
    store_url::{StoreUrl, StoreUrlInvalid},
};

#[cfg(feature = "shared")]
mod database;

/// What a deployment decides before it starts.
///
/// ```
/// # use onceward::{Limits, Setup};
/// # async fn start() -> Result<(), Box<dyn std::error::Error>> {
/// let setup = Setup {
///     secret_file: Some("/etc/shop/onceward.secret".into()),
///     limits: Limits { calls_max: 1_000, ..Limits::default() },
///     ..Setup::at("sqlite:/var/lib/shop/onceward.db")?
/// };
/// let once = setup.start().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Where records are kept.
    pub store: StoreUrl,
    /// Where the deployment's secret is kept; made at the first start, readable by its owner only.
    ///
    /// `None` puts it beside the file of the store, under that file's name and `.secret`; with a store in memory it is made at each start
    /// and kept nowhere. Back it up with the store: without its secret, no record in there is found.
    pub secret_file: Option<PathBuf>,
    /// What a record in a file survives. Default: the loss of power.
    #[cfg(feature = "sqlite")]
    pub durability: Durability,
    /// Whether a database whose settings can lose what it acknowledged is refused. Default: yes.
    pub strict: bool,
    /// Whether a Postgres standby that is promoted has all that its predecessor acknowledged, for every commit waits for it. Default: no,
    /// and each promotion raises the history barrier.
    pub promotion_keeps_all: bool,
    /// Redis replicas that have to have an operation before it is acknowledged. Default: 0.
    pub replicas_to_wait: u32,
    /// The bounds of the engine.
    pub limits: Limits,
}

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The file of the secret cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretFileError),
    /// A secret for this run could not be made.
    #[error("cannot make a secret")]
    Random(#[from] EntropyError),
    /// The file of the store cannot be used.
    #[cfg(feature = "sqlite")]
    #[error(transparent)]
    Sqlite(#[from] onceward_store::OpenError),
    /// The Postgres database cannot be used.
    #[cfg(feature = "postgres")]
    #[error(transparent)]
    Postgres(#[from] onceward_store::PostgresError),
    /// The MySQL or MariaDB database cannot be used.
    #[cfg(feature = "mysql")]
    #[error(transparent)]
    Mysql(#[from] onceward_store::MysqlError),
    /// The Redis server cannot be used.
    #[cfg(feature = "redis")]
    #[error(transparent)]
    Redis(#[from] onceward_store::RedisConnectError),
    /// Processes that share a database share its secret.
    #[error("a store that processes share needs a secret that they share: name its file (`secret_file`)")]
    NoSharedSecret,
    /// This build cannot open such a store.
    #[error("this build opens no such store: enable the feature `{feature}` of onceward")]
    NotBuilt {
        /// The feature that can.
        feature: &'static str,
    },
    /// The store does not answer.
    #[error("the store does not answer")]
    NoAnswer(#[from] StoreError),
    /// A repeated request does not get the first one's answer from this store.
    #[error("replay does not work against this store")]
    SelfTest(#[from] SelfTestError),
}

impl Setup {
    /// The defaults, with records kept at `store`: `sqlite:PATH`, `memory:`, or a database's address.
    ///
    /// # Errors
    /// Where `store` names no store.
    pub fn at(store: &str) -> Result<Self, StoreUrlInvalid> {
        Ok(Self {
            store: store.parse()?,
            secret_file: None,
            #[cfg(feature = "sqlite")]
            durability: Durability::Power,
            strict: true,
            promotion_keeps_all: false,
            replicas_to_wait: 0,
            limits: Limits::default(),
        })
    }

    /// Opens the store, starts the engine over it, and proves with an effect of its own that a repeat gets the first one's answer.
    ///
    /// # Errors
    /// Whatever keeps it from the promise that each effect happens once; see [`SetupError`].
    pub async fn start(self) -> Result<Onceward, SetupError> {
        let engine = Engine::start(self.open().await?).await?;
        if let Err(error) = engine.prove_replay().await {
            engine.close().await;
            return Err(error.into());
        }
        Ok(Onceward::new(engine))
    }

    /// Opens the store for writing; nobody else may have a file open so. For programs that start the [`Engine`] themselves.
    ///
    /// Has to be called within a tokio runtime: a shared store works on it until it is dropped.
    ///
    /// # Errors
    /// Where the secret or the store cannot be used.
    pub async fn open(&self) -> Result<Parts, SetupError> {
        let secret = self.secret()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::starting_at(Timestamp::from_ms(0)));
        match &self.store {
            StoreUrl::Memory => {
                let store = Arc::new(Memory::new(MemoryLimits::default(), Arc::clone(&clock)));
                Ok(self.parts(store, secret, clock))
            }
            #[cfg(feature = "shared")]
            StoreUrl::Database(url) => {
                let store = Arc::new(self.database(url, &secret).open().await?);
                let clock = store.clock();
                Ok(self.parts(store, secret, clock))
            }
            #[cfg(not(feature = "shared"))]
            StoreUrl::Database(url) => Err(SetupError::NotBuilt { feature: url.kind().feature() }),
            #[cfg(feature = "sqlite")]
            StoreUrl::Sqlite(path) => {
                let options = SqliteOptions {
                    durability: self.durability,
                    ..SqliteOptions::new(secret_check(&secret))
                };
                let store = Arc::new(Sqlite::open(path, options)?);
                Ok(self.parts(store, secret, clock))
            }
            #[cfg(not(feature = "sqlite"))]
            StoreUrl::Sqlite(_) => Err(SetupError::NotBuilt { feature: "sqlite" }),
        }
    }

    fn parts<S>(&self, store: Arc<S>, secret: Secret, clock: Arc<dyn Clock>) -> Parts
    where
        S: onceward_store::Store + onceward_store::AuditLog,
    {
        Parts {
            audit_log: Arc::clone(&store) as Arc<dyn onceward_store::AuditLog>,
            store,
            secret,
            clock,
            entropy: Arc::new(SystemEntropy),
            limits: self.limits,
        }
    }

    /// Makes the tables of the store's database, or completes those of an earlier release; says how many migrations that took. A store
    /// that has no such thing takes none.
    ///
    /// Of several processes that do so at once one does it. Those at work are not disturbed.
    ///
    /// # Errors
    /// Where the database cannot be used, or the role may not change it.
    #[cfg(feature = "shared")]
    pub async fn migrate(&self) -> Result<usize, SetupError> {
        match &self.store {
            StoreUrl::Memory | StoreUrl::Sqlite(_) => Ok(0),
            StoreUrl::Database(url) => self.database(url, &self.secret()?).migrate().await,
        }
    }

    /// What [`migrate`](Self::migrate) does in an empty database, as SQL for a tool of one's own, with the rights that `role` needs; `None`
    /// for a store without SQL.
    ///
    /// # Errors
    /// Where the settings name no such tables.
    #[cfg(feature = "shared")]
    pub fn migration_script(&self, role: Option<&str>) -> Result<Option<String>, SetupError> {
        match &self.store {
            StoreUrl::Memory | StoreUrl::Sqlite(_) => Ok(None),
            StoreUrl::Database(url) => self.database(url, &Secret::new([0; 32])).migration_script(role),
        }
    }

    /// The deployment's secret; made where its file does not exist yet.
    ///
    /// # Errors
    /// Where its file cannot be used, or several processes would not share it.
    pub fn secret(&self) -> Result<Secret, SetupError> {
        match (&self.secret_file, &self.store) {
            (Some(path), _) => Ok(secret_file::load_or_create(path)?),
            (None, StoreUrl::Sqlite(path)) => {
                let mut beside = OsString::from(path);
                beside.push(".secret");
                Ok(secret_file::load_or_create(beside.as_ref())?)
            }
            (None, StoreUrl::Database(_)) => Err(SetupError::NoSharedSecret),
            (None, StoreUrl::Memory) => {
                let mut bytes = [0; 32];
                SystemEntropy.fill(&mut bytes)?;
                Ok(Secret::new(bytes))
            }
        }
    }
}

#[cfg(feature = "sqlite")]
impl Setup {
    /// Opens the store's file to look at it, also while another process writes to it; `None` for a store that has no file.
    ///
    /// # Errors
    /// Where the secret or the file cannot be used.
    pub fn open_read_only(&self) -> Result<Option<Sqlite>, SetupError> {
        let StoreUrl::Sqlite(path) = &self.store else { return Ok(None) };
        let secret = self.secret()?;
        Ok(Some(Sqlite::open_read_only(path, secret_check(&secret))?))
    }
}

/// Tells a store of this secret from another's without giving either away.
#[cfg(any(feature = "shared", feature = "sqlite"))]
fn secret_check(secret: &Secret) -> [u8; 32] {
    secret.digest("secret-check").finish()
}
