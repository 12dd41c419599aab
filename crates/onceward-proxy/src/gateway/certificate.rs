//! The gateway's own certificate, exchanged when its files change.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::limits::CERTIFICATE_LOOK_INTERVAL;

/// A chain and its key from two PEM files. Handshakes take what the files held when they were last whole.
#[derive(Debug)]
pub struct Certificate {
    files: Files,
    current: RwLock<Arc<CertifiedKey>>,
}

/// Why a certificate was not taken.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read, or is not PEM of its kind.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// The file holds no certificate.
    #[error("{} holds no certificate", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The key is of no known kind, or not that of the certificate.
    #[error("certificate and key do not fit together")]
    Unfit(#[from] rustls::Error),
}

#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// By which a change of a file shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Looks {
    inode: u64,
    len: u64,
    modified: SystemTime,
}

impl Certificate {
    /// Reads a chain, the server's own certificate first, and its key.
    ///
    /// # Errors
    /// When a file is not what it should be, or the two do not fit together.
    pub fn load(certificate: &Path, key: &Path) -> Result<Arc<Self>, CertificateError> {
        let files = Files { certificate: certificate.to_owned(), key: key.to_owned() };
        let current = RwLock::new(Arc::new(files.read()?));
        Ok(Arc::new(Self { files, current }))
    }

    /// Reads the files again; handshakes from now on take what they hold.
    ///
    /// # Errors
    /// As [`load`](Self::load); the certificate stays as it was.
    pub fn reload(&self) -> Result<(), CertificateError> {
        let certified = Arc::new(self.files.read()?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = certified;
        Ok(())
    }

    /// How the gateway speaks TLS with this certificate: HTTP/2 or HTTP/1.1, as the client likes better.
    pub(super) fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Resolver(Arc::clone(self))));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Early data may be replayed by anyone who saw it (RFC 8446 section 8): never for a write.
        config.max_early_data_size = 0;
        Ok(Arc::new(config))
    }

    /// Reads the files again whenever they have changed, for ever.
    pub(super) async fn follow(&self) -> Infallible {
        let mut taken = self.files.looks();
        let mut refused = None;
        loop {
            tokio::time::sleep(CERTIFICATE_LOOK_INTERVAL).await;
            let looks = self.files.looks();
            if looks == taken || Some(&looks) == refused.as_ref() {
                continue;
            }
            match self.reload() {
                Ok(()) => {
                    tracing::warn!(file = %self.files.certificate.display(), "the certificate was exchanged");
                    taken = looks;
                    refused = None;
                }
                Err(error) => {
                    // Said once a change: the key may follow its certificate a moment later.
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "the new certificate is not taken; the old one stays");
                    refused = Some(looks);
                }
            }
        }
    }
}

impl Files {
    fn read(&self) -> Result<CertifiedKey, CertificateError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            |source| CertificateError::Unreadable { path, source }
        };
        let chain = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(unreadable(&self.certificate))?;
        if chain.is_empty() {
            return Err(CertificateError::Empty { path: self.certificate.clone() });
        }
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(unreadable(&self.key))?;
        Ok(CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())?)
    }

    fn looks(&self) -> [Option<Looks>; 2] {
        [&self.certificate, &self.key].map(|path| Looks::of(path).ok())
    }
}

impl Looks {
    fn of(path: &Path) -> io::Result<Self> {
        let file = fs::metadata(path)?;
        Ok(Self { inode: file.ino(), len: file.len(), modified: file.modified()? })
    }
}

#[derive(Debug)]
struct Resolver(Arc<Certificate>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}
