//! Outcomes and kept requests, sealed at rest (S4).

use aes_gcm::{
    Aes256Gcm, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use onceward_core::{
    actor::{ActorTag, Label, LookupId, Tenant},
    key::Key,
    outcome::Outcome,
    record::Sealed,
    secret::Secret,
};
use zeroize::Zeroizing;

use crate::{
    codec,
    entropy::{Entropy, EntropyError},
    pieces::DecodeError,
};

const NONCE_BYTES: usize = 12;
const SALT_BYTES: usize = 16;

/// What is sealed, so that the one never opens as the other.
const OUTCOME: &str = "outcome-seal";
const REQUEST: &str = "request-seal";

/// What a sealed outcome or request is bound to: moved to another record, it does not open.
#[derive(Clone, Copy, Debug)]
pub struct SealContext<'a> {
    /// The record's tenant.
    pub tenant: &'a Tenant,
    /// Stands for the record's actor.
    pub actor: ActorTag,
    /// The record's id.
    pub id: LookupId,
    /// The client's key where policy wants it to be needed for opening, so that the deployment alone cannot read outcomes.
    pub key: Option<&'a Key>,
}

impl<'a> SealContext<'a> {
    /// That of a record, as the deployment alone opens it.
    #[must_use]
    pub const fn of(id: LookupId, label: &'a Label) -> Self {
        Self { tenant: &label.tenant, actor: label.actor, id, key: None }
    }
}

/// Seals and opens outcomes under the deployment's secret: AES-256-GCM (NIST SP 800-38D), one derived key an outcome.
///
/// A fresh key for each outcome, from a random salt, keeps the random 96-bit nonce far from its bound of 2^32 messages a key.
#[derive(Clone, Debug)]
pub struct Sealer {
    secret: Secret,
}

/// Why a stored outcome does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is damaged, was sealed under another secret or key, or belongs to another record.
    #[error("stored outcome does not open")]
    Forged,
    /// It opens and makes no sense.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

impl Sealer {
    /// A sealer under the deployment's secret.
    #[must_use]
    pub fn new(secret: Secret) -> Self {
        Self { secret }
    }

    /// Seals an outcome for one record.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn seal(
        &self,
        context: &SealContext<'_>,
        outcome: &Outcome,
        entropy: &dyn Entropy,
    ) -> Result<Sealed, EntropyError> {
        let plain = Zeroizing::new(codec::encode(outcome));
        self.seal_bytes(OUTCOME, context, &plain, entropy)
    }

    /// Seals what is kept of a request, for one record; never takes it for an outcome.
    ///
    /// # Errors
    /// When the random source fails.
    pub(crate) fn seal_request(
        &self,
        context: &SealContext<'_>,
        request: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Sealed, EntropyError> {
        self.seal_bytes(REQUEST, context, request, entropy)
    }

    fn seal_bytes(
        &self,
        purpose: &'static str,
        context: &SealContext<'_>,
        plain: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Sealed, EntropyError> {
        let mut salt = [0; SALT_BYTES];
        let mut nonce = [0; NONCE_BYTES];
        entropy.fill(&mut salt)?;
        entropy.fill(&mut nonce)?;
        let payload = Payload { msg: plain, aad: &associated(context) };
        let cipher = self
            .cipher(purpose, &salt, context.key)
            .encrypt(&Nonce::from(nonce), payload)
            // AES-GCM refuses only plaintexts over 64 GiB; limits keep outcomes far below.
            .map_err(|error| EntropyError { source: error.to_string().into() })?;
        let mut sealed = Vec::with_capacity(SALT_BYTES + NONCE_BYTES + cipher.len());
        sealed.extend(salt);
        sealed.extend(nonce);
        sealed.extend(cipher);
        Ok(Sealed(sealed))
    }

    /// Opens an outcome of one record.
    ///
    /// # Errors
    /// [`OpenError::Forged`] for any other record, tenant, actor, key or secret, and for any changed bit.
    pub fn open(&self, context: &SealContext<'_>, sealed: &Sealed) -> Result<Outcome, OpenError> {
        Ok(codec::decode(&self.open_bytes(OUTCOME, context, sealed)?)?)
    }

    /// Opens what was kept of a request.
    ///
    /// # Errors
    /// [`OpenError::Forged`], as for an outcome.
    pub(crate) fn open_request(
        &self,
        context: &SealContext<'_>,
        sealed: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        self.open_bytes(REQUEST, context, sealed)
    }

    fn open_bytes(
        &self,
        purpose: &'static str,
        context: &SealContext<'_>,
        sealed: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let (salt, rest) = sealed.0.split_first_chunk::<SALT_BYTES>().ok_or(OpenError::Forged)?;
        let (nonce, cipher) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(OpenError::Forged)?;
        let payload = Payload { msg: cipher, aad: &associated(context) };
        self.cipher(purpose, salt, context.key)
            .decrypt(&Nonce::from(*nonce), payload)
            .or(Err(OpenError::Forged))
            .map(Zeroizing::new)
    }

    fn cipher(&self, purpose: &'static str, salt: &[u8; SALT_BYTES], key: Option<&Key>) -> Aes256Gcm {
        // HMAC-SHA-256 is the pseudo-random function that HKDF expands with; one block of it is the key.
        let digest = self.secret.digest(purpose).field(salt);
        let digest = match key {
            None => digest.field(b"deployment"),
            Some(key) => digest.field(b"client").field(key.expose().as_bytes()),
        };
        let derived = Zeroizing::new(digest.finish());
        Aes256Gcm::new(&(*derived).into())
    }
}

/// The authenticated context: length-prefixed, so no two contexts share a text.
fn associated(context: &SealContext<'_>) -> Vec<u8> {
    let tenant = context.tenant.as_str().as_bytes();
    let mut bytes = (tenant.len() as u64).to_be_bytes().to_vec();
    bytes.extend(tenant);
    bytes.extend(context.actor.as_bytes());
    bytes.extend(context.id.as_bytes());
    bytes
}
