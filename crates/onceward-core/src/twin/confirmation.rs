//! The word by which a caller says that it wants an effect once more.

use alloc::string::String;
use core::fmt;

use base64::Engine as _;
use subtle::ConstantTimeEq;

use super::{Holder, TwinId};
use crate::{actor::LookupId, intent::BASE64URL, secret::Secret, time::Timestamp};

/// Bytes of the time in front of the digest.
const TIME_BYTES: usize = 8;

/// Bytes of a confirmation: its time and its digest.
const BYTES: usize = TIME_BYTES + 32;

/// What is confirmed: that this key may run although that effect stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// What both ask for.
    pub twin: TwinId,
    /// Under which the record of the confirming key is found.
    pub own: LookupId,
    /// The effect that stands.
    pub holder: Holder,
}

/// A token that lets one key run past one effect, for a time: HMAC-SHA-256 over what is confirmed and until when.
///
/// Nothing is kept of it. It works once, since the mark has another holder as soon as the key has run. Whoever has it can do nothing with
/// it but send the request that it was given for, so it is shown to its caller; its `Debug` says nothing.
#[derive(Clone, Copy, Eq)]
pub struct Confirmation {
    until: Timestamp,
    digest: [u8; 32],
}

impl Confirmation {
    /// The token for one effect to be run past another, good before `until`.
    #[must_use]
    pub fn issue(secret: &Secret, confirmed: &Confirmed, until: Timestamp) -> Self {
        let digest = secret
            .digest("twin-confirmation")
            .field(confirmed.twin.as_bytes())
            .field(confirmed.own.as_bytes())
            .field(confirmed.holder.id.as_bytes())
            .field(&confirmed.holder.epoch.0.to_be_bytes())
            .field(&until.as_ms().to_be_bytes());
        Self { until, digest: digest.finish() }
    }

    /// Reads what [`Confirmation::to_text`] writes; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; BYTES];
        let len = BASE64URL.decode_slice(text, &mut bytes).ok()?;
        let (until_ms, digest) = bytes.split_first_chunk::<TIME_BYTES>().filter(|_| len == BYTES)?;
        let until = Timestamp::from_ms(u64::from_be_bytes(*until_ms));
        Some(Self { until, digest: digest.try_into().ok()? })
    }

    /// Whether it was issued for this, and is still good. The comparison takes the same time wherever two digests differ.
    #[must_use]
    pub fn confirms(&self, secret: &Secret, confirmed: &Confirmed, now: Timestamp) -> bool {
        now < self.until && *self == Self::issue(secret, confirmed, self.until)
    }

    /// The token as it is sent in `Effect-Confirm`: base64url.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut bytes = [0; BYTES];
        let (until_ms, digest) = bytes.split_at_mut(TIME_BYTES);
        until_ms.copy_from_slice(&self.until.as_ms().to_be_bytes());
        digest.copy_from_slice(&self.digest);
        BASE64URL.encode(bytes)
    }
}

impl PartialEq for Confirmation {
    fn eq(&self, other: &Self) -> bool {
        self.until == other.until && self.digest.ct_eq(&other.digest).into()
    }
}

impl fmt::Debug for Confirmation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Confirmation(..)")
    }
}
