//! TLS towards the server: which certificates count.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio_postgres_rustls::MakeRustlsConnect;

/// Whom to take for the server.
#[derive(Debug)]
pub(super) enum Trust {
    /// Whoever answers: the way is encrypted, and nobody is identified (`prefer`, `require`, as libpq has them).
    Anyone,
    /// Who has a certificate for the host's name.
    Certified(Roots),
}

/// Who issues certificates.
#[derive(Debug)]
pub(super) enum Roots {
    /// Whom the system trusts.
    System,
    /// The authorities in a PEM file.
    File(PathBuf),
}

#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error("could not read certificates from {}", path.display())]
    File { path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("{} holds no certificate of an authority", path.display())]
    Empty { path: PathBuf },
    #[error("the TLS settings are refused")]
    Settings(#[from] rustls::Error),
}

pub(super) fn connector(trust: &Trust) -> Result<MakeRustlsConnect, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let config = match trust {
        Trust::Anyone => {
            let anyone = Arc::new(Anyone(provider));
            builder.dangerous().with_custom_certificate_verifier(anyone).with_no_client_auth()
        }
        Trust::Certified(Roots::System) => builder.with_platform_verifier()?.with_no_client_auth(),
        Trust::Certified(Roots::File(path)) => {
            builder.with_root_certificates(roots(path)?).with_no_client_auth()
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

fn roots(path: &PathBuf) -> Result<RootCertStore, TlsError> {
    let unreadable = |source| TlsError::File { path: path.clone(), source };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
        roots.add(certificate.map_err(unreadable)?)?;
    }
    if roots.is_empty() { Err(TlsError::Empty { path: path.clone() }) } else { Ok(roots) }
}

/// Takes any certificate, and holds its owner to it: the handshake's signatures are checked.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
