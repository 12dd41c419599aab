//! TLS towards origins and towards an `https://` upstream proxy.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use rustls_platform_verifier::Verifier;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::target::Host;

/// Which certificates an origin may show.
#[derive(Clone, Debug, Default)]
pub enum Roots {
    /// Those that the platform trusts.
    #[default]
    Platform,
    /// Those that the platform trusts, those issued under these roots, and these themselves.
    PlatformAnd(Vec<CertificateDer<'static>>),
    /// Any certificate at all.
    ///
    /// Whoever sits between this proxy and the origin can then read and change everything, cookies and
    /// passwords included. For a test origin on one's own machine only.
    Insecure,
}

/// Reads the certificates of a PEM file, for [`Roots::PlatformAnd`].
///
/// # Errors
/// When the file cannot be read, is not PEM, or holds no certificate.
pub fn read_roots(file: &Path) -> Result<Vec<CertificateDer<'static>>, RootsError> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(file)?.collect::<Result<_, _>>()?;
    if certificates.is_empty() { Err(RootsError::Empty) } else { Ok(certificates) }
}

/// Why a file of root certificates was not taken.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// The file cannot be read, or is not PEM.
    #[error("root certificates cannot be read")]
    Unreadable(#[from] rustls_pki_types::pem::Error),
    /// The file holds no certificate.
    #[error("the file holds no certificate")]
    Empty,
}

/// Which HTTP versions are offered in the handshake (ALPN).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    Http2AndHttp1,
    Http1,
}

/// Opens TLS sessions.
#[derive(Clone)]
pub(super) struct Tls(TlsConnector);

impl Tls {
    pub(super) fn new(roots: &Roots) -> Result<Self, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier(roots, provider)?);
        let mut config = builder.with_no_client_auth();
        // Early data may be replayed by anyone who saw it (RFC 8446 section 8): never for a write.
        config.enable_early_data = false;
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Makes the handshake. A host that is an address is verified as such and sends no SNI (RFC 6066 section 3).
    pub(super) async fn connect<IO>(&self, host: &Host, offer: Offer, io: IO) -> io::Result<TlsStream<IO>>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let name = match host {
            Host::Ip(ip) => ServerName::from(*ip),
            Host::Name(name) => ServerName::try_from(name.to_string())
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?,
        };
        let protocols: &[&[u8]] = match offer {
            Offer::Http2AndHttp1 => &[b"h2", b"http/1.1"],
            Offer::Http1 => &[b"http/1.1"],
        };
        let protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        self.0.with_alpn(protocols).connect(name, io).await
    }
}

fn verifier(
    roots: &Roots,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, rustls::Error> {
    Ok(match roots {
        Roots::Platform => Arc::new(Verifier::new(provider)?),
        Roots::PlatformAnd(extra) => Arc::new(NamedOrIssued {
            named: extra.clone(),
            issued: Verifier::new_with_extra_roots(extra.iter().cloned(), provider)?,
        }),
        Roots::Insecure => Arc::new(AnyCertificate(provider)),
    })
}

/// Accepts what is issued under a root, and a certificate that was named itself.
///
/// `openssl req -x509` makes a root that test origins serve as their own certificate. Path building rightly refuses a root in
/// that place; whoever names that very certificate, byte for byte, means it.
#[derive(Debug)]
struct NamedOrIssued {
    named: Vec<CertificateDer<'static>>,
    issued: Verifier,
}

impl NamedOrIssued {
    fn check_named(
        end_entity: &CertificateDer<'_>,
        server_name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        let (_, certificate) = X509Certificate::from_der(end_entity)
            .or(Err(rustls::Error::InvalidCertificate(CertificateError::BadEncoding)))?;
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let validity = certificate.validity();
        if now < validity.not_before.timestamp() {
            return Err(rustls::Error::InvalidCertificate(CertificateError::NotValidYet));
        }
        if now > validity.not_after.timestamp() {
            return Err(rustls::Error::InvalidCertificate(CertificateError::Expired));
        }
        Ok(ServerCertVerified::assertion())
    }
}

impl ServerCertVerifier for NamedOrIssued {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.named.iter().any(|named| named == end_entity) {
            return Self::check_named(end_entity, server_name, now);
        }
        self.issued.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.issued.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.issued.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.issued.supported_verify_schemes()
    }
}

/// Accepts every certificate. The peer must still hold its key: handshake signatures are checked.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};

    use super::*;

    fn self_signed_root(names: &[&str], last_year: i32) -> CertificateDer<'static> {
        let mut params =
            CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(last_year, 12, 31);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn verified(named: &CertificateDer<'static>, shown: &CertificateDer<'static>, host: &str) -> bool {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = verifier(&Roots::PlatformAnd(vec![named.clone()]), provider).unwrap();
        // 2026-11-21T12:00:00Z.
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_795_262_400));
        verifier.verify_server_cert(shown, &[], &ServerName::try_from(host).unwrap(), &[], now).is_ok()
    }

    #[test]
    fn a_root_that_is_served_as_a_certificate_is_taken_only_if_it_is_named_itself() {
        let root = self_signed_root(&["shop.example", "127.0.0.1"], 2030);
        let other = self_signed_root(&["shop.example"], 2030);
        let expired = self_signed_root(&["shop.example"], 2025);
        assert!(verified(&root, &root, "shop.example"));
        assert!(verified(&root, &root, "127.0.0.1"));
        assert!(!verified(&root, &root, "pay.example"), "another host's name");
        assert!(!verified(&root, &other, "shop.example"), "another root");
        assert!(!verified(&expired, &expired, "shop.example"), "an expired one");
    }
}
