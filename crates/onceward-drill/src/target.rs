//! Where the server under test is, and how it is reached.

use std::{io, path::Path, sync::Arc, time::Duration};

use http::Uri;
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use rustls_platform_verifier::Verifier;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// How long a connection and its handshake may take; a server that one can work with needs a fraction.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// A connection of either kind.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// The address of a server, with whose certificates are taken from it.
#[derive(Clone, Debug)]
pub struct Target {
    host: String,
    port: u16,
    tls: Option<Arc<ClientConfig>>,
}

/// Which certificates a server may show.
#[derive(Clone, Debug, Default)]
pub enum Trust {
    /// Those that the platform trusts.
    #[default]
    Platform,
    /// Those that the platform trusts, and those issued under these roots.
    PlatformAnd(Vec<CertificateDer<'static>>),
    /// Any: whoever sits in between can then read the credentials that are sent.
    Anything,
}

impl Trust {
    /// The platform's roots and those of a PEM file.
    ///
    /// # Errors
    /// When the file cannot be read, is not PEM, or holds no certificate.
    pub fn with_roots_of(file: &Path) -> Result<Self, TargetInvalid> {
        let roots: Vec<_> = CertificateDer::pem_file_iter(file)?.collect::<Result<_, _>>()?;
        if roots.is_empty() { Err(TargetInvalid::NoRoots) } else { Ok(Self::PlatformAnd(roots)) }
    }
}

/// Why a server cannot be addressed so.
#[derive(Debug, thiserror::Error)]
pub enum TargetInvalid {
    /// Not an `http://` or `https://` address.
    #[error("the address is not http://HOST or https://HOST")]
    Address,
    /// It has a path, a query or user information.
    #[error("the address has more than scheme, host and port")]
    NotBare,
    /// The file of roots cannot be read, or is not PEM.
    #[error("root certificates cannot be read")]
    Roots(#[from] rustls_pki_types::pem::Error),
    /// The file of roots holds no certificate.
    #[error("the file of root certificates holds none")]
    NoRoots,
    /// TLS cannot be set up on this machine.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

impl Target {
    /// Reads `http://HOST[:PORT]` or `https://HOST[:PORT]`.
    ///
    /// # Errors
    /// Says what is wrong with the address, or why there is no TLS.
    pub fn parse(address: &str, trust: &Trust) -> Result<Self, TargetInvalid> {
        let uri: Uri = address.parse().or(Err(TargetInvalid::Address))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(TargetInvalid::Address);
        };
        let is_bare = uri.path() == "/" && uri.query().is_none() && !authority.as_str().contains('@');
        let tls = match scheme {
            "http" => None,
            "https" => Some(Arc::new(config(trust)?)),
            _ => return Err(TargetInvalid::Address),
        };
        if !is_bare {
            return Err(TargetInvalid::NotBare);
        }
        let port = authority.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
        Ok(Self { host: authority.host().to_owned(), port, tls })
    }

    /// `http://127.0.0.1:8080`, as it was given.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}://{}", self.scheme(), self.authority())
    }

    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// The value of `Host`: the port only where it is not the scheme's own.
    pub(crate) fn authority(&self) -> String {
        match (self.tls.is_some(), self.port) {
            (false, 80) | (true, 443) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }

    /// Opens a connection that speaks one version.
    pub(crate) async fn connect(&self, protocol: Protocol) -> io::Result<Box<dyn Io>> {
        timeout(CONNECT_TIME_MAX, self.connect_unbounded(protocol)).await?
    }

    async fn connect_unbounded(&self, protocol: Protocol) -> io::Result<Box<dyn Io>> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, self.port)).await?;
        stream.set_nodelay(true)?;
        let Some(config) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let connector = TlsConnector::from(Arc::clone(config));
        let stream = connector.with_alpn(vec![protocol.alpn().to_vec()]).connect(name, stream).await?;
        if protocol == Protocol::Http2 && stream.get_ref().1.alpn_protocol() != Some(protocol.alpn()) {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "the server does not offer HTTP/2"));
        }
        Ok(Box::new(stream))
    }
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    /// Without TLS by prior knowledge (RFC 9113, 3.3).
    Http2,
}

impl Protocol {
    const fn alpn(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }
}

fn config(trust: &Trust) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        Trust::Platform => Arc::new(Verifier::new(Arc::clone(&provider))?),
        Trust::PlatformAnd(roots) => {
            Arc::new(Verifier::new_with_extra_roots(roots.iter().cloned(), Arc::clone(&provider))?)
        }
        Trust::Anything => Arc::new(AnyCertificate(Arc::clone(&provider))),
    };
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// Accepts every certificate; that its holder has the key is still checked.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
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
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(address: &str) -> Result<(String, String), String> {
        match Target::parse(address, &Trust::Anything) {
            Ok(target) => Ok((target.address(), target.authority())),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn an_address_is_scheme_host_and_port() {
        let read_as = |address: &str, authority: &str| Ok((address.to_owned(), authority.to_owned()));
        assert_eq!(read("http://127.0.0.1:8080"), read_as("http://127.0.0.1:8080", "127.0.0.1:8080"));
        assert_eq!(read("https://shop.example/"), read_as("https://shop.example", "shop.example"));
        assert_eq!(read("http://[::1]:443"), read_as("http://[::1]:443", "[::1]:443"));
        for wrong in ["shop.example", "ftp://shop.example", "/orders", ""] {
            assert_eq!(
                read(wrong),
                Err("the address is not http://HOST or https://HOST".to_owned()),
                "{wrong}"
            );
        }
        for long in ["http://a/orders", "http://u:p@a", "http://a/?b"] {
            assert_eq!(
                read(long),
                Err("the address has more than scheme, host and port".to_owned()),
                "{long}"
            );
        }
    }
}
