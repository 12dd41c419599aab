//! Where records are kept, as people write it.

use std::{path::PathBuf, str::FromStr};

/// Where records are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// `memory:`: in this process, until it ends.
    Memory,
    /// `sqlite:PATH`, also `sqlite://PATH`: in one file, which one process has open for writing.
    Sqlite(PathBuf),
}

/// A text names no store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected sqlite:PATH or memory:")]
pub struct StoreUrlInvalid;

impl FromStr for StoreUrl {
    type Err = StoreUrlInvalid;

    fn from_str(text: &str) -> Result<Self, StoreUrlInvalid> {
        match text.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("sqlite", path)) => match path.strip_prefix("//").unwrap_or(path) {
                "" => Err(StoreUrlInvalid),
                path => Ok(Self::Sqlite(PathBuf::from(path))),
            },
            Some(_) | None => Err(StoreUrlInvalid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_by_their_names() {
        let sqlite = |path: &str| Ok(StoreUrl::Sqlite(PathBuf::from(path)));
        let cases = [
            ("memory:", Ok(StoreUrl::Memory)),
            ("sqlite:onceward.db", sqlite("onceward.db")),
            ("sqlite:/var/lib/onceward.db", sqlite("/var/lib/onceward.db")),
            ("sqlite:///var/lib/onceward.db", sqlite("/var/lib/onceward.db")),
            ("memory:shared", Err(StoreUrlInvalid)),
            ("memory", Err(StoreUrlInvalid)),
            ("sqlite:", Err(StoreUrlInvalid)),
            ("sqlite://", Err(StoreUrlInvalid)),
            ("postgres://localhost/onceward", Err(StoreUrlInvalid)),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse(), expected, "{text}");
        }
    }
}
