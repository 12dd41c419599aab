//! The certificate authority of one installation.
//!
//! Trust is per installation and touches nothing of the system: the key never leaves its folder, a browser is told the
//! [`spki_sha256_base64`](Authority::spki_sha256_base64), and other programs are pointed at the certificate file.

mod files;
mod trust;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};

use self::files::Folder;
pub use self::trust::TrustStep;
pub use crate::random::RandomError;

/// Life of the authority: long, since each renewal would have to be trusted anew.
const VALIDITY: Duration = Duration::from_hours(10 * 365 * 24);

/// How far back certificates are dated, for clients whose clocks run behind.
pub(crate) const BACKDATE: Duration = Duration::from_hours(24);

/// Random bytes in the subject's name: two installations on one machine stay apart in a trust store.
const NAME_SUFFIX_BYTES: usize = 4;

/// Line length of PEM (RFC 7468, section 2).
const PEM_LINE_BYTES: usize = 64;

/// A certificate authority and its key, as stored in one folder.
///
/// The subject names no host and no user, only a random suffix.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    facts: Facts,
    certificate_path: PathBuf,
}

/// What the certificate says of itself.
struct Facts {
    subject: String,
    not_after: SystemTime,
    spki_sha256: [u8; 32],
}

/// The form of an exported certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Base64 between `BEGIN CERTIFICATE` and `END CERTIFICATE` (RFC 7468).
    Pem,
    /// The bare bytes (X.690).
    Der,
}

impl Authority {
    /// Opens the authority in `folder`, and makes one where there is none.
    ///
    /// The folder holds `ca-key.pem` (mode 0600) and `ca-cert.pem` (0644) and is itself 0700. Both files are written
    /// beside their place, flushed and renamed; a lock file makes processes that start at the same time agree on one
    /// authority. A key without its certificate is what a crash between the two leaves, and gets its certificate.
    ///
    /// Blocks on the file system; meant for the start of a program.
    ///
    /// # Errors
    /// A [`CaError`] that says which file is at fault and what to do. Nothing is replaced that could be in use.
    pub fn load_or_create(folder: &Path) -> Result<Self, CaError> {
        let folder = Folder::lock(folder)?;
        let key = match folder.read_key()? {
            Some(pem) => parse_key(&pem, folder.key_path())?,
            None if folder.read_certificate()?.is_some() => {
                return Err(CaError::KeyMissing { certificate: folder.certificate_path() });
            }
            None => {
                let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(CaError::Generate)?;
                folder.write_key(&key.serialize_pem())?;
                key
            }
        };
        let pem = match folder.read_certificate()? {
            Some(pem) => pem,
            None => {
                let pem = issue(&key)?;
                folder.write_certificate(&pem)?;
                pem
            }
        };
        Self::open(key, &pem, folder.certificate_path())
    }

    fn open(key: KeyPair, pem: &str, path: PathBuf) -> Result<Self, CaError> {
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|source| CaError::Certificate { path: path.clone(), source: Box::new(source) })?;
        let facts = Facts::read(&certificate, &key, &path)?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(|source| CaError::Certificate { path: path.clone(), source: Box::new(source) })?;
        Ok(Self { issuer, certificate, facts, certificate_path: path })
    }

    /// The certificate in PEM, as it is to be trusted.
    #[must_use]
    pub fn cert_pem(&self) -> String {
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        let mut rest = BASE64.encode(&self.certificate);
        while !rest.is_empty() {
            let tail = rest.split_off(rest.len().min(PEM_LINE_BYTES));
            pem.push_str(&rest);
            pem.push('\n');
            rest = tail;
        }
        pem.push_str("-----END CERTIFICATE-----\n");
        pem
    }

    /// The certificate in DER.
    #[must_use]
    pub fn cert_der(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The file that holds the certificate in PEM.
    #[must_use]
    pub fn cert_path(&self) -> &Path {
        &self.certificate_path
    }

    /// The certificate in the form that a program asks for.
    #[must_use]
    pub fn export(&self, format: Format) -> Vec<u8> {
        match format {
            Format::Pem => self.cert_pem().into_bytes(),
            Format::Der => self.certificate.to_vec(),
        }
    }

    /// SHA-256 of the public key, in Base64: the value for Chromium's `--ignore-certificate-errors-spki-list`.
    #[must_use]
    pub fn spki_sha256_base64(&self) -> String {
        BASE64.encode(self.facts.spki_sha256)
    }

    /// SHA-256 of the certificate in upper-case hex pairs, as certificate viewers show it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let pairs: Vec<String> =
            Sha256::digest(&self.certificate).iter().map(|byte| format!("{byte:02X}")).collect();
        pairs.join(":")
    }

    /// The subject's common name, unique to this installation.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.facts.subject
    }

    /// The end of the certificate's validity.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.facts.not_after
    }

    /// How to make each kind of client trust this authority without touching the system's store.
    #[must_use]
    pub fn trust_steps(&self) -> Vec<TrustStep> {
        trust::steps(self)
    }

    pub(crate) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }
}

/// Names the authority and never the key.
impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("subject", &self.facts.subject).finish_non_exhaustive()
    }
}

fn parse_key(pem: &str, path: PathBuf) -> Result<KeyPair, CaError> {
    KeyPair::from_pem(pem).map_err(|source| CaError::Key { path, source })
}

/// Makes the self-signed certificate of `key`.
fn issue(key: &KeyPair) -> Result<String, CaError> {
    let now = SystemTime::now();
    let suffix = crate::random::bytes::<NAME_SUFFIX_BYTES>().map_err(CaError::Random)?;
    let suffix: String = suffix.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut params = CertificateParams::default();
    params.not_before = (now - BACKDATE).into();
    params.not_after = (now + VALIDITY).into();
    params.serial_number = Some(crate::random::serial().map_err(CaError::Random)?);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "onceward");
    params.distinguished_name.push(DnType::CommonName, format!("onceward CA {suffix}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.self_signed(key).map(|certificate| certificate.pem()).map_err(CaError::Generate)
}

impl Facts {
    /// Reads the certificate and holds it against the key and the clock.
    fn read(certificate: &CertificateDer<'_>, key: &KeyPair, path: &Path) -> Result<Self, CaError> {
        let corrupt = |source: Box<dyn std::error::Error + Send + Sync>| CaError::Certificate {
            path: path.to_owned(),
            source,
        };
        let (_, parsed) =
            x509_parser::parse_x509_certificate(certificate).map_err(|error| corrupt(error.into()))?;
        let spki = parsed.tbs_certificate.subject_pki.raw;
        if spki != rcgen::PublicKeyData::subject_public_key_info(key) {
            return Err(CaError::Mismatch { certificate: path.to_owned() });
        }
        if !parsed.is_ca() {
            return Err(CaError::NotAuthority { path: path.to_owned() });
        }
        let not_after = u64::try_from(parsed.validity().not_after.timestamp())
            .map_err(|error| corrupt(error.into()))
            .map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))?;
        if not_after <= SystemTime::now() {
            return Err(CaError::Expired { path: path.to_owned() });
        }
        let subject = parsed
            .subject()
            .iter_common_name()
            .next()
            .and_then(|name| name.as_str().ok())
            .unwrap_or_default()
            .to_owned();
        Ok(Self { subject, not_after, spki_sha256: Sha256::digest(spki).into() })
    }
}

/// Why there is no authority to use.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A file or the folder cannot be read, written or locked.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others than the owner may read the key or change the folder.
    #[error("{} has mode {mode:04o}: others could take over the authority; run chmod {wanted:04o}", path.display())]
    Exposed {
        /// The file or folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The widest bits that are accepted.
        wanted: u32,
    },
    /// The key file holds no usable private key.
    #[error("{} holds no usable private key; restore it, or remove the folder and trust a new authority", path.display())]
    Key {
        /// The key file.
        path: PathBuf,
        /// What the parser said.
        source: rcgen::Error,
    },
    /// The certificate file does not hold one readable certificate.
    #[error("{} holds no readable certificate; remove it to have it made anew from the key", path.display())]
    Certificate {
        /// The certificate file.
        path: PathBuf,
        /// What the parser said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is a certificate and no key to it.
    #[error("the key of {} is missing; restore it, or remove the certificate and trust a new authority", certificate.display())]
    KeyMissing {
        /// The certificate file.
        certificate: PathBuf,
    },
    /// Key and certificate belong to different authorities.
    #[error("{} belongs to another key; restore the pair, or remove both and trust a new authority", certificate.display())]
    Mismatch {
        /// The certificate file.
        certificate: PathBuf,
    },
    /// The certificate may not sign others.
    #[error("{} is no certificate authority", path.display())]
    NotAuthority {
        /// The certificate file.
        path: PathBuf,
    },
    /// The certificate's validity is over.
    #[error("{} has expired; remove the folder and trust a new authority", path.display())]
    Expired {
        /// The certificate file.
        path: PathBuf,
    },
    /// The key or the certificate could not be made.
    #[error("cannot make the authority")]
    Generate(#[source] rcgen::Error),
    /// No random bytes are to be had.
    #[error(transparent)]
    Random(RandomError),
}
