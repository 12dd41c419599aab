//! Intents: a client's own digest of what it asks for, sent beside the body (F5).

use alloc::string::String;
use core::error::Error;
use core::fmt;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::actor::{Actor, Tenant};
use crate::canonical::{BodyInvalid, Numbers, Volatile, write};
use crate::secret::Secret;

/// Base64url; unused bits must be zero, so that no digest has two spellings beyond the padding.
pub(crate) const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The digest that `Intent-SHA256` carries: SHA-256 of a JSON body's intent text.
///
/// The intent text is RFC 8785's, without the members `csrf`, `nonce` and `timestamp` at any depth. It is what a client gets
/// that sorts the members and calls `JSON.stringify`, with one exception: a JavaScript object lists names that are array
/// indexes (`"9"`, `"10"`) first and by value, and assigning `__proto__` to it adds no member. For bodies with such names
/// a client must write the text itself, sorted as RFC 8785 sorts; else the digests differ and the request is refused.
///
/// Comparison takes the same time wherever two digests differ.
#[derive(Clone, Copy, Eq)]
pub struct IntentDigest([u8; 32]);

impl IntentDigest {
    /// Digests a body.
    ///
    /// # Errors
    /// [`IntentInvalid`] if the body has no intent text.
    ///
    /// ```
    /// use onceward_core::intent::IntentDigest;
    ///
    /// let sent = IntentDigest::parse("ft4vTXnJLj3fUYDTWcqvg5bxNoXcJSwdArS5JuE9go4")?;
    /// let body = br#"{"qty": 1, "id": "a", "csrf": "x1"}"#;
    /// assert_eq!(IntentDigest::of(body)?, sent);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn of(body: &[u8]) -> Result<Self, IntentInvalid> {
        let mut hash = Sha256::new();
        text(body, &mut |bytes| hash.update(bytes))?;
        Ok(Self(hash.finalize().into()))
    }

    /// Reads a sent digest: base64url, with or without its padding.
    ///
    /// # Errors
    /// [`IntentDigestMalformed`] for anything else.
    pub fn parse(sent: &str) -> Result<Self, IntentDigestMalformed> {
        let mut digest = [0; 32];
        match BASE64URL.decode_slice(sent, &mut digest) {
            Ok(32) => Ok(Self(digest)),
            _ => Err(IntentDigestMalformed),
        }
    }

    /// The digest as it is sent: base64url without padding.
    #[must_use]
    pub fn to_text(&self) -> String {
        BASE64URL.encode(self.0)
    }

    /// What is stored of the intent: keyed and bound to the actor.
    ///
    /// A bare digest of a guessable body could be confirmed by hashing guesses; this one only with the secret.
    #[must_use]
    pub fn stored(&self, secret: &Secret, tenant: &Tenant, actor: &Actor) -> StoredIntent {
        StoredIntent(actor.within(tenant, secret.digest("intent")).field(&self.0).finish())
    }
}

impl PartialEq for IntentDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for IntentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IntentDigest(..)")
    }
}

/// What is stored of an intent: two are equal where one actor meant the same.
///
/// It is shown as 64 hexadecimal digits, and says nothing without the deployment's secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredIntent([u8; 32]);

impl fmt::Display for StoredIntent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Hands on the intent text of a body, the bytes that [`IntentDigest`] digests.
///
/// # Errors
/// [`IntentInvalid`] if the body has none; `out` is not called then.
pub fn text(body: &[u8], out: &mut dyn FnMut(&[u8])) -> Result<(), IntentInvalid> {
    let written = write(body, &Volatile::intent(), Numbers::Double).map_err(IntentInvalid::Body)?;
    if let Some(offset) = written.inexact {
        return Err(IntentInvalid::Unrepresentable { offset });
    }
    out(&written.text);
    Ok(())
}

/// A body without an intent text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntentInvalid {
    /// It has no canonical form: the refusal `body-invalid` (400).
    Body(BodyInvalid),
    /// A number's value differs from that of its RFC 8785 text: the refusal `intent-unrepresentable` (422).
    ///
    /// That text is the shortest that reads back as the nearest double, so `9007199254740993` would be digested as
    /// `9007199254740992` and the digest would cover both. Such numbers belong in strings.
    Unrepresentable {
        /// Where the first such number stands, in bytes from the start of the body.
        offset: usize,
    },
}

impl fmt::Display for IntentInvalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body(_) => f.write_str("body has no canonical form"),
            Self::Unrepresentable { offset } => {
                write!(f, "number not carried exactly by a double at byte {offset}")
            }
        }
    }
}

impl Error for IntentInvalid {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Body(body) => Some(body),
            Self::Unrepresentable { .. } => None,
        }
    }
}

/// A sent digest that is not 32 bytes of base64url.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntentDigestMalformed;

impl fmt::Display for IntentDigestMalformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("intent digest is not 32 bytes of base64url")
    }
}

impl Error for IntentDigestMalformed {}
