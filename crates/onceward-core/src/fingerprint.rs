//! Digest of what is asked (F3).
//!
//! The engineer left these types for `record.rs` to compile; the helper `canon` owns this file and completes it, keeping these
//! names and signatures.

/// The canonical form that a fingerprint was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// The bytes as they came.
    Bytes,
    /// Canonical form `c1`.
    C1,
}

/// A version byte and 32 bytes of a keyed digest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fingerprint {
    version: Version,
    digest: [u8; 32],
}

impl Fingerprint {
    /// The canonical form it was made with.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The stored form: version byte, then digest.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 33] {
        let mut bytes = [0; 33];
        let (version, digest) = bytes.split_at_mut(1);
        version.fill(match self.version {
            Version::Bytes => 0,
            Version::C1 => 1,
        });
        digest.copy_from_slice(&self.digest);
        bytes
    }

    /// Reads the stored form; `None` for an unknown version or length.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (version, digest) = bytes.split_first()?;
        let version = match version {
            0 => Version::Bytes,
            1 => Version::C1,
            _ => return None,
        };
        Some(Self { version, digest: digest.try_into().ok()? })
    }
}
