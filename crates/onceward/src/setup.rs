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
    /// The defaults, with records kept at `store`: `sqlite:PATH` or `memory:`.
    ///
    /// # Errors
    /// Where `store` names no store.
    pub fn at(store: &str) -> Result<Self, StoreUrlInvalid> {
        Ok(Self {
            store: store.parse()?,
            secret_file: None,
            #[cfg(feature = "sqlite")]
            durability: Durability::Power,
            limits: Limits::default(),
        })
    }

    /// Opens the store, starts the engine over it, and proves with an effect of its own that a repeat gets the first one's answer.
    ///
    /// # Errors
    /// Whatever keeps it from the promise that each effect happens once; see [`SetupError`].
    pub async fn start(self) -> Result<Onceward, SetupError> {
        let engine = Engine::start(self.open()?).await?;
        if let Err(error) = engine.prove_replay().await {
            engine.close().await;
            return Err(error.into());
        }
        Ok(Onceward::new(engine))
    }

    /// Opens the store for writing; nobody else may have it open so. For programs that start the [`Engine`] themselves.
    ///
    /// # Errors
    /// Where the secret or the store cannot be used.
    pub fn open(&self) -> Result<Parts, SetupError> {
        let secret = self.secret()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::starting_at(Timestamp::from_ms(0)));
        match &self.store {
            StoreUrl::Memory => {
                let store = Arc::new(Memory::new(MemoryLimits::default(), Arc::clone(&clock)));
                Ok(self.parts(store, secret, clock))
            }
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

    fn secret(&self) -> Result<Secret, SetupError> {
        match (&self.secret_file, &self.store) {
            (Some(path), _) => Ok(secret_file::load_or_create(path)?),
            (None, StoreUrl::Sqlite(path)) => {
                let mut beside = OsString::from(path);
                beside.push(".secret");
                Ok(secret_file::load_or_create(beside.as_ref())?)
            }
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
#[cfg(feature = "sqlite")]
fn secret_check(secret: &Secret) -> [u8; 32] {
    secret.digest("secret-check").finish()
}
