//! Where records are kept, as people write it.

use std::{fmt, path::PathBuf, str::FromStr};

/// Where records are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// `memory:`: in this process, until it ends.
    Memory,
    /// `sqlite:PATH`, also `sqlite://PATH`: in one file, which one process has open for writing.
    Sqlite(PathBuf),
    /// In a database that any number of processes share.
    Database(DatabaseUrl),
}

/// The address of a database, which may hold a password: it is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    kind: DatabaseKind,
    text: String,
}

/// Which databases there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseKind {
    /// `postgres://`, `postgresql://`.
    Postgres,
    /// `mysql://`, `mariadb://`: MySQL and MariaDB.
    Mysql,
    /// `redis://`, `rediss://` (TLS), `redis+sentinel://`, `redis-cluster://` and their like: Redis and Valkey.
    Redis,
}

/// A text names no store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected sqlite:PATH, postgres://…, mysql://…, redis://…, redis-cluster://… or memory:")]
pub struct StoreUrlInvalid;

impl DatabaseUrl {
    /// Which database it is.
    #[must_use]
    pub const fn kind(&self) -> DatabaseKind {
        self.kind
    }

    /// All of it, its password included.
    #[must_use]
    pub fn exposed(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseUrl").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl DatabaseKind {
    /// The feature of this crate that opens it.
    #[cfg(not(all(feature = "mysql", feature = "postgres", feature = "redis")))]
    pub(crate) const fn feature(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Redis => "redis",
        }
    }

    fn of_scheme(scheme: &str) -> Option<Self> {
        match scheme {
            "postgres" | "postgresql" => Some(Self::Postgres),
            "mysql" | "mariadb" => Some(Self::Mysql),
            "redis" | "rediss" | "redis+sentinel" | "rediss+sentinel" | "redis-cluster"
            | "rediss-cluster" => Some(Self::Redis),
            _ => None,
        }
    }
}

impl FromStr for StoreUrl {
    type Err = StoreUrlInvalid;

    fn from_str(text: &str) -> Result<Self, StoreUrlInvalid> {
        let (scheme, rest) = text.split_once(':').ok_or(StoreUrlInvalid)?;
        match (scheme, rest) {
            ("memory", "") => Ok(Self::Memory),
            ("sqlite", path) => match path.strip_prefix("//").unwrap_or(path) {
                "" => Err(StoreUrlInvalid),
                path => Ok(Self::Sqlite(PathBuf::from(path))),
            },
            (scheme, rest) => {
                let kind = DatabaseKind::of_scheme(scheme).ok_or(StoreUrlInvalid)?;
                match rest.strip_prefix("//") {
                    Some("") | None => Err(StoreUrlInvalid),
                    Some(_) => Ok(Self::Database(DatabaseUrl { kind, text: text.to_owned() })),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_by_their_names() {
        let sqlite = |path: &str| Ok(StoreUrl::Sqlite(PathBuf::from(path)));
        let database = |kind, text: &str| Ok(StoreUrl::Database(DatabaseUrl { kind, text: text.to_owned() }));
        let cases = [
            ("memory:", Ok(StoreUrl::Memory)),
            ("sqlite:onceward.db", sqlite("onceward.db")),
            ("sqlite:/var/lib/onceward.db", sqlite("/var/lib/onceward.db")),
            ("sqlite:///var/lib/onceward.db", sqlite("/var/lib/onceward.db")),
            ("memory:shared", Err(StoreUrlInvalid)),
            ("memory", Err(StoreUrlInvalid)),
            ("sqlite:", Err(StoreUrlInvalid)),
            ("sqlite://", Err(StoreUrlInvalid)),
            ("postgres://db/shop", database(DatabaseKind::Postgres, "postgres://db/shop")),
            ("mysql://db/shop", database(DatabaseKind::Mysql, "mysql://db/shop")),
            ("rediss://db", database(DatabaseKind::Redis, "rediss://db")),
            ("redis-cluster://a,b", database(DatabaseKind::Redis, "redis-cluster://a,b")),
            ("postgres:db", Err(StoreUrlInvalid)),
            ("redis://", Err(StoreUrlInvalid)),
            ("mongodb://db", Err(StoreUrlInvalid)),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse(), expected, "{text}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let url: StoreUrl = "postgres://shop:hunter2@db/shop".parse().unwrap();
        assert!(!format!("{url:?}").contains("hunter2"), "{url:?}");
    }
}
