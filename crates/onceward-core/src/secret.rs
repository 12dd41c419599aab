//! The deployment's secret, from which every lookup id, fingerprint and seal is keyed.

use alloc::boxed::Box;
use core::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// 32 bytes that belong to one deployment and never leave it.
///
/// Keyed digests keep what is stored from being guessed by hashing likely requests (K6, F5). Losing the secret makes every
/// record unfindable, so stores keep a check value of it and refuse to open under another.
///
/// Kept as the two states of HMAC-SHA-256 that its key leads to, so that no digest has to compute them again; wiped when dropped.
#[derive(Clone)]
pub struct Secret(Box<Hmac<Sha256>>);

impl Secret {
    /// Takes the secret's bytes, which must come from a cryptographic random source.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        let bytes = Zeroizing::new(bytes);
        // RFC 2104 pads a short key with zeros to the block; doing it here leaves no length to fail on.
        let mut block = Zeroizing::new([0_u8; 64]);
        for (padded, byte) in block.iter_mut().zip(bytes.iter()) {
            *padded = *byte;
        }
        Self(Box::new(Hmac::new(&(*block).into())))
    }

    /// Starts HMAC-SHA-256 (RFC 2104) under this secret for one purpose.
    ///
    /// The purpose is the first field, so that a digest made for one use is worthless for another.
    #[must_use]
    pub fn digest(&self, purpose: &'static str) -> Digest {
        Digest { mac: Hmac::clone(&self.0) }.field(purpose.as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A keyed digest under way. Fields are length-prefixed, so no two tuples share a text.
pub struct Digest {
    mac: Hmac<Sha256>,
}

impl Digest {
    /// Adds one length-prefixed field.
    #[must_use]
    pub fn field(mut self, bytes: &[u8]) -> Self {
        self.mac.update(&(bytes.len() as u64).to_be_bytes());
        self.mac.update(bytes);
        self
    }

    /// Adds bytes without a length; only for the last, streamed field.
    pub fn update(&mut self, bytes: &[u8]) {
        self.mac.update(bytes);
    }

    /// The 32 bytes of the digest.
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        self.mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}
