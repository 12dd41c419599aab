//! The shapes of `vectors/*.json`, which the TypeScript and Python packages read as well.

use onceward_core::canonical::{BodyInvalid, PathInvalid, Volatile};
use serde::Deserialize;
use serde::de::DeserializeOwned;

pub(crate) fn read<T: DeserializeOwned>(json: &str) -> T {
    serde_json::from_str(json).unwrap()
}

/// Where a body or a path is refused.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Invalid {
    #[serde(alias = "fault")]
    reason: String,
    offset: usize,
}

impl From<BodyInvalid> for Invalid {
    fn from(invalid: BodyInvalid) -> Self {
        Self { reason: format!("{:?}", invalid.reason), offset: invalid.offset }
    }
}

impl From<PathInvalid> for Invalid {
    fn from(invalid: PathInvalid) -> Self {
        Self { reason: format!("{:?}", invalid.fault), offset: invalid.offset }
    }
}

/// What counts, as the vectors declare it.
#[derive(Default, Deserialize)]
pub(crate) struct Rules {
    #[serde(default)]
    common: bool,
    #[serde(default)]
    volatile: Vec<String>,
    #[serde(default)]
    content: Vec<String>,
    #[serde(default)]
    identity: Vec<String>,
}

impl Rules {
    /// Adds the declared paths to `base`, or to the common names if the vector says so.
    pub(crate) fn on(&self, base: Volatile) -> Volatile {
        let base = if self.common { Volatile::common() } else { base };
        let with_identity = self.identity.iter().fold(base, |rules, path| rules.identity(path).unwrap());
        let with_content =
            self.content.iter().fold(with_identity, |rules, path| rules.content(path).unwrap());
        self.volatile.iter().fold(with_content, |rules, path| rules.volatile(path).unwrap())
    }
}

pub(crate) fn bytes_of_hex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

pub(crate) fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
