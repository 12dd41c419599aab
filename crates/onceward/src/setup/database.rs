//! A shared store's database, whichever it is.

use onceward_core::secret::Secret;
#[cfg(feature = "mysql")]
use onceward_store::MysqlOptions;
#[cfg(feature = "redis")]
use onceward_store::RedisOptions;
use onceward_store::Shared;
#[cfg(feature = "postgres")]
use onceward_store::{PostgresOptions, Promotion};

use super::{Setup, SetupError, secret_check};
use crate::store_url::{DatabaseKind, DatabaseUrl};

/// How a database is opened.
pub(super) enum Database {
    #[cfg(feature = "postgres")]
    Postgres(PostgresOptions),
    #[cfg(feature = "mysql")]
    Mysql(MysqlOptions),
    #[cfg(feature = "redis")]
    Redis(RedisOptions),
    /// This build has no part for it.
    #[cfg(not(all(feature = "mysql", feature = "postgres", feature = "redis")))]
    NotBuilt(DatabaseKind),
}

impl Setup {
    pub(super) fn database(&self, url: &DatabaseUrl, secret: &Secret) -> Database {
        let check = secret_check(secret);
        match url.kind() {
            #[cfg(feature = "postgres")]
            DatabaseKind::Postgres => Database::Postgres(PostgresOptions {
                strict: self.strict,
                promotion: if self.promotion_keeps_all { Promotion::KeepsAll } else { Promotion::MayLose },
                ..PostgresOptions::new(url.exposed(), check)
            }),
            #[cfg(feature = "mysql")]
            DatabaseKind::Mysql => Database::Mysql(MysqlOptions {
                strict: self.strict,
                ..MysqlOptions::new(url.exposed(), check)
            }),
            #[cfg(feature = "redis")]
            DatabaseKind::Redis => Database::Redis(RedisOptions {
                strict: self.strict,
                replicas_to_wait: self.replicas_to_wait,
                ..RedisOptions::new(url.exposed(), check)
            }),
            #[cfg(not(all(feature = "mysql", feature = "postgres", feature = "redis")))]
            kind => Database::NotBuilt(kind),
        }
    }
}

impl Database {
    pub(super) async fn open(self) -> Result<Shared, SetupError> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(options) => Ok(options.open().await?),
            #[cfg(feature = "mysql")]
            Self::Mysql(options) => Ok(options.open().await?),
            #[cfg(feature = "redis")]
            Self::Redis(options) => Ok(options.open().await?),
            #[cfg(not(all(feature = "mysql", feature = "postgres", feature = "redis")))]
            Self::NotBuilt(kind) => Err(SetupError::NotBuilt { feature: kind.feature() }),
        }
    }

    pub(super) async fn migrate(self) -> Result<usize, SetupError> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(options) => Ok(options.migrate().await?),
            #[cfg(feature = "mysql")]
            Self::Mysql(options) => Ok(options.migrate().await?),
            // What its scripts need they find or make.
            #[cfg(feature = "redis")]
            Self::Redis(_) => Ok(0),
            #[cfg(not(all(feature = "mysql", feature = "postgres", feature = "redis")))]
            Self::NotBuilt(kind) => Err(SetupError::NotBuilt { feature: kind.feature() }),
        }
    }

    pub(super) fn migration_script(self, role: Option<&str>) -> Result<Option<String>, SetupError> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(options) => Ok(Some(options.migration_script(role)?)),
            #[cfg(feature = "mysql")]
            Self::Mysql(options) => Ok(Some(options.migration_script(role)?)),
            #[cfg(feature = "redis")]
            Self::Redis(_) => Ok(None),
            #[cfg(not(all(feature = "mysql", feature = "postgres", feature = "redis")))]
            Self::NotBuilt(kind) => Err(SetupError::NotBuilt { feature: kind.feature() }),
        }
    }
}
