//! Fingerprints: keyed digests of what a request asks for, by which a reused key is told from a retry (F1, F3, F6).

mod media_type;

use core::error::Error;
use core::fmt;

use subtle::ConstantTimeEq;

pub(crate) use self::media_type::{Kind, MediaType};
use crate::canonical::{BodyInvalid, Volatile, form, json, multipart};
use crate::secret::{Digest, Secret};

/// What of a request a fingerprint covers (F3).
///
/// Fields that are absent and fields that are empty are the same.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// `http` or `https`, in the proxies; compared without regard to case.
    pub scheme: Option<&'a str>,
    /// Host and port as sent, in the proxies; compared without regard to case.
    pub authority: Option<&'a str>,
    /// The method, case and all.
    pub method: &'a str,
    /// The original path and query, before any rewriting.
    pub path_and_query: &'a str,
    /// The raw `Content-Type` value.
    pub media_type: Option<&'a str>,
    /// The body, its content encoding undone.
    pub body: &'a [u8],
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Request(..)")
    }
}

/// When two bodies are equal (F1); a route's choice.
#[derive(Clone, Debug)]
pub enum Equality {
    /// When their bytes are.
    Bytes,
    /// When the canonical forms under these rules are.
    Canonical(Volatile),
}

/// How a fingerprint was made. A record is compared under the version that it was made with (F1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Version {
    /// `c0`: the body's bytes.
    Bytes = 0,
    /// `c1`: the [canonical form](crate::canonical).
    C1 = 1,
}

impl Version {
    fn purpose(self) -> &'static str {
        match self {
            Self::Bytes => "fingerprint c0",
            Self::C1 => "fingerprint c1",
        }
    }
}

/// A version and a digest under the deployment's secret.
///
/// Comparison takes the same time wherever two digests differ.
#[derive(Clone, Copy, Eq)]
pub struct Fingerprint {
    version: Version,
    digest: [u8; 32],
}

impl Fingerprint {
    /// Bytes of a fingerprint where it is stored: the version, then the digest.
    pub const LEN: usize = 33;

    /// Digests a new request under the version that `equality` asks for.
    ///
    /// # Errors
    /// [`BodyInvalid`] if the canonical form is asked for and the body has none.
    pub fn of(secret: &Secret, request: &Request<'_>, equality: &Equality) -> Result<Self, BodyInvalid> {
        match equality {
            Equality::Bytes => Self::make(secret, request, None),
            Equality::Canonical(volatile) => Self::make(secret, request, Some(volatile)),
        }
    }

    /// Digests a request for comparison with a record's fingerprint of `version`, whatever the route asks for today.
    ///
    /// For a canonical version under a route that now compares bytes, the common volatile names apply: the rules that the
    /// record was made with are not known any more.
    ///
    /// # Errors
    /// As [`Fingerprint::of`].
    pub fn of_version(
        version: Version,
        secret: &Secret,
        request: &Request<'_>,
        equality: &Equality,
    ) -> Result<Self, BodyInvalid> {
        match (version, equality) {
            (Version::Bytes, _) => Self::make(secret, request, None),
            (Version::C1, Equality::Canonical(volatile)) => Self::make(secret, request, Some(volatile)),
            (Version::C1, Equality::Bytes) => Self::make(secret, request, Some(&Volatile::common())),
        }
    }

    /// Digests canonically if there are rules for it.
    fn make(secret: &Secret, request: &Request<'_>, rules: Option<&Volatile>) -> Result<Self, BodyInvalid> {
        let media_type = MediaType::of(request.media_type.unwrap_or_default());
        let version = if rules.is_some() { Version::C1 } else { Version::Bytes };
        let head = secret
            .digest(version.purpose())
            .field(request.scheme.unwrap_or_default().to_ascii_lowercase().as_bytes())
            .field(request.authority.unwrap_or_default().to_ascii_lowercase().as_bytes())
            .field(request.method.as_bytes())
            .field(request.path_and_query.as_bytes())
            .field(&media_type.text);
        let digest = match rules {
            // No body is valid JSON or multipart, yet clients name the type of a body that they do not send.
            Some(rules) if !request.body.is_empty() => {
                with_body(head, &media_type.kind, request.body, rules)?
            }
            _ => with_bytes(head, request.body),
        };
        Ok(Self { version, digest: digest.finish() })
    }

    /// How it was made.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The form in which it is stored.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [self.version as u8; Self::LEN];
        let (_, digest) = bytes.split_at_mut(1);
        digest.copy_from_slice(&self.digest);
        bytes
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`FingerprintInvalid`] for another length or an unknown version; such a record is corrupt (L8).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FingerprintInvalid> {
        let (version, digest) = match bytes {
            [0, digest @ ..] => (Version::Bytes, digest),
            [1, digest @ ..] => (Version::C1, digest),
            _ => return Err(FingerprintInvalid),
        };
        match digest.try_into() {
            Ok(digest) => Ok(Self { version, digest }),
            Err(_) => Err(FingerprintInvalid),
        }
    }
}

impl PartialEq for Fingerprint {
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version && self.digest.ct_eq(&other.digest).into()
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({:?}, ..)", self.version)
    }
}

/// Adds the body's canonical form, behind the name of what it was read as.
fn with_body(head: Digest, kind: &Kind, body: &[u8], rules: &Volatile) -> Result<Digest, BodyInvalid> {
    let mut digest;
    match kind {
        Kind::Bytes => digest = with_bytes(head, body),
        Kind::Json => {
            digest = head.field(b"json");
            json(body, rules, &mut |bytes| digest.update(bytes))?;
        }
        Kind::Form => {
            digest = head.field(b"form");
            form(body, rules, &mut |bytes| digest.update(bytes));
        }
        Kind::Multipart(boundary) => {
            digest = head.field(b"multipart");
            multipart(body, boundary, rules, &mut |bytes| digest.update(bytes))?;
        }
    }
    Ok(digest)
}

fn with_bytes(head: Digest, body: &[u8]) -> Digest {
    let mut digest = head.field(b"bytes");
    digest.update(body);
    digest
}

/// Stored bytes that are not a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FingerprintInvalid;

impl fmt::Display for FingerprintInvalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stored bytes are not a fingerprint")
    }
}

impl Error for FingerprintInvalid {}
