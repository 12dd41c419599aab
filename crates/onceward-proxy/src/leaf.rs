//! Certificates for intercepted hosts, made on demand and kept while they are fresh.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use quick_cache::sync::Cache;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::ServerSessionMemoryCache;
use rustls_pki_types::PrivatePkcs8KeyDer;

use crate::ca::{Authority, BACKDATE};
use crate::random::RandomError;
use crate::target::Host;

/// Life of a leaf from its making; with the backdating well under the 398 days that browsers accept.
const VALIDITY: Duration = Duration::from_hours(90 * 24);

/// A leaf older than this is made anew at its next use, so that none is served near its end.
const FRESH: Duration = Duration::from_hours(45 * 24);

/// Longest common name (RFC 5280, `ub-common-name`); a longer host stands in the SAN alone.
const COMMON_NAME_BYTES_MAX: usize = 64;

/// Protocols that an intercepted connection can speak, in the order of preference.
pub(crate) const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The TLS configurations of intercepted hosts.
///
/// Each host has its own key and serial; its SAN is exactly the host, so that browsers never coalesce two hosts into one
/// HTTP/2 connection. The served chain is leaf and authority: Chromium's SPKI list matches only what is sent.
pub struct Leaves {
    authority: Arc<Authority>,
    cache: Cache<Host, Leaf>,
    sessions: Arc<ServerSessionMemoryCache>,
}

#[derive(Clone)]
struct Leaf {
    config: Arc<ServerConfig>,
    stale_at: SystemTime,
}

impl Leaves {
    /// Leaves of `authority`, of which at most `leaves_max` are kept
    /// ([`Limits::leaves_max`](crate::limits::Limits::leaves_max)).
    #[must_use]
    pub fn new(authority: Arc<Authority>, leaves_max: usize) -> Self {
        // One store of sessions for all hosts: rustls resumes a session only for the name it was made for.
        Self { authority, cache: Cache::new(leaves_max), sessions: ServerSessionMemoryCache::new(leaves_max) }
    }

    /// The authority that signs the leaves.
    #[must_use]
    pub fn authority(&self) -> &Arc<Authority> {
        &self.authority
    }

    /// The configuration for `host`; simultaneous first calls share one leaf.
    ///
    /// # Errors
    /// [`LeafError`] when the key or the certificate cannot be made.
    pub async fn config(&self, host: &Host) -> Result<Arc<ServerConfig>, LeafError> {
        self.config_at(host, SystemTime::now()).await
    }

    async fn config_at(&self, host: &Host, now: SystemTime) -> Result<Arc<ServerConfig>, LeafError> {
        self.cache.remove_if(host, |leaf| leaf.stale_at <= now);
        let leaf = self.cache.get_or_insert_async(host, async { self.mint(host, now) }).await?;
        Ok(leaf.config)
    }

    fn mint(&self, host: &Host, now: SystemTime) -> Result<Leaf, LeafError> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let not_after = (now + VALIDITY).min(self.authority.not_after());
        let mut params = CertificateParams::default();
        params.not_before = (now - BACKDATE).into();
        params.not_after = not_after.into();
        params.serial_number = Some(crate::random::serial()?);
        params.subject_alt_names = vec![alternative_name(host)?];
        params.distinguished_name = subject(host);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, self.authority.issuer())?;

        let chain = vec![certificate.der().clone(), self.authority.cert_der().clone()];
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key.into())?;
        config.alpn_protocols = ALPN.iter().map(|protocol| protocol.to_vec()).collect();
        config.session_storage = Arc::clone(&self.sessions) as _;
        Ok(Leaf { config: Arc::new(config), stale_at: (now + FRESH).min(not_after) })
    }
}

fn alternative_name(host: &Host) -> Result<SanType, rcgen::Error> {
    Ok(match host {
        Host::Name(name) => SanType::DnsName(name.as_ref().try_into()?),
        Host::Ip(ip) => SanType::IpAddress(*ip),
    })
}

/// Never empty: the organisation stands also where the host is too long for a common name.
fn subject(host: &Host) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, "onceward");
    let name = match host {
        Host::Name(name) => name.to_string(),
        Host::Ip(ip) => ip.to_string(),
    };
    if name.len() <= COMMON_NAME_BYTES_MAX {
        subject.push(DnType::CommonName, name);
    }
    subject
}

impl fmt::Debug for Leaves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaves").field("authority", &self.authority).field("kept", &self.cache.len()).finish()
    }
}

/// Why there is no certificate for a host.
#[derive(Debug, thiserror::Error)]
pub enum LeafError {
    /// The certificate could not be made.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// TLS refuses the key or the certificate.
    #[error("tls refuses the certificate")]
    Tls(#[from] rustls::Error),
    /// No random bytes are to be had.
    #[error(transparent)]
    Random(#[from] RandomError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_leaf_is_kept_while_fresh_and_made_anew_before_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Arc::new(Authority::load_or_create(&folder.path().join("ca")).unwrap());
        let leaves = Leaves::new(authority, 8);
        let host = Host::parse("shop.example").unwrap();
        let now = SystemTime::now();
        let day = Duration::from_hours(24);
        let first = leaves.config_at(&host, now).await.unwrap();
        let fresh = leaves.config_at(&host, now + 44 * day).await.unwrap();
        let renewed = leaves.config_at(&host, now + 45 * day).await.unwrap();
        assert!(Arc::ptr_eq(&first, &fresh));
        assert!(!Arc::ptr_eq(&first, &renewed));
    }

    // covers: S1
    #[tokio::test]
    async fn the_number_of_leaves_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Arc::new(Authority::load_or_create(&folder.path().join("ca")).unwrap());
        let leaves = Leaves::new(authority, 4);
        for number in 0..16 {
            let host = Host::parse(&format!("host{number}.example")).unwrap();
            leaves.config(&host).await.unwrap();
        }
        assert!(leaves.cache.len() <= 4, "{}", leaves.cache.len());
    }
}
