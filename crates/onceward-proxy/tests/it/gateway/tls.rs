//! The gateway's own TLS.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use onceward_proxy::gateway::{Certificate, CertificateError, GatewayConfig};
use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    kit::{DEADLINE, Running, before, rules},
    recorder::Recorder,
};

/// An authority of the test's own.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Writes a new certificate for `shop.example` and its key.
    fn write(&self, certificate: &Path, key: &Path) {
        let own = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["shop.example".to_owned()]).unwrap();
        std::fs::write(certificate, params.signed_by(&own, &self.0).unwrap().pem()).unwrap();
        std::fs::write(key, own.serialize_pem()).unwrap();
    }

    fn client(&self, protocol: &str) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        TlsConnector::from(Arc::new(config))
    }
}

/// TLS of a service with a certificate that nobody knows.
pub(super) fn server_config(protocols: &[&str]) -> ServerConfig {
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["shop.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config
}

async fn connect(gateway: &Running, client: &TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
    client.connect(ServerName::try_from("shop.example").unwrap(), gateway.dial().await).await
}

fn shown(client: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    client.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

fn order(host: &str) -> Request<Full<Bytes>> {
    let request = Request::post(host.to_owned() + "/order").header("idempotency-key", "k");
    request.body(Full::from("abc")).unwrap()
}

// covers: B6, O3
#[tokio::test]
async fn http1_and_http2_are_served_as_the_handshake_settles() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let authority = Authority::new();
    authority.write(&certificate, &key);
    let service = Recorder::open().await;
    let config = GatewayConfig {
        certificate: Some(Certificate::load(&certificate, &key).unwrap()),
        ..before(&[&service.url()])
    };
    let gateway = Running::start_with(config, rules()).await;

    let io = TokioIo::new(connect(&gateway, &authority.client("http/1.1")).await.unwrap());
    let (mut sender, connection) = http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let mut request = order("");
    request.headers_mut().insert("host", "shop.example".parse().unwrap());
    let first = sender.send_request(request).await.unwrap();
    assert_eq!((first.status().as_u16(), first.headers().get("idempotent-replayed")), (200, None));

    let client = connect(&gateway, &authority.client("h2")).await.unwrap();
    assert_eq!(client.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(client)).await.unwrap();
    tokio::spawn(connection);
    let again = sender.send_request(order("https://shop.example")).await.unwrap();
    assert_eq!(again.headers()["idempotent-replayed"], "true", "the same request in another version");
    again.into_body().collect().await.unwrap();
    assert_eq!(service.told(), ["POST /order shop.example abc"]);
    assert_eq!(service.heard()[0].all("x-forwarded-proto"), ["https"]);
}

#[tokio::test]
async fn a_new_certificate_is_taken_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (file, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let authority = Authority::new();
    authority.write(&file, &key);
    let certificate = Certificate::load(&file, &key).unwrap();
    let service = Recorder::open().await;
    let config = GatewayConfig { certificate: Some(Arc::clone(&certificate)), ..before(&[&service.url()]) };
    let gateway = Running::start_with(config, rules()).await;
    let client = authority.client("http/1.1");
    let first = shown(&connect(&gateway, &client).await.unwrap());

    std::fs::write(&file, "no certificate").unwrap();
    assert!(matches!(certificate.reload(), Err(CertificateError::Empty { path }) if path == file));
    assert_eq!(shown(&connect(&gateway, &client).await.unwrap()), first, "the old one stays");
    let other = folder.path().join("other.pem");
    authority.write(&file, &other);
    assert!(matches!(certificate.reload(), Err(CertificateError::Unfit(_))), "another's key");
    assert_eq!(shown(&connect(&gateway, &client).await.unwrap()), first);

    // Nobody asks for it now: the gateway sees it by itself.
    std::fs::rename(&other, &key).unwrap();
    let taken = async {
        while shown(&connect(&gateway, &client).await.unwrap()) == first {
            // waits: for the gateway's next look at the files, which nobody announces.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(DEADLINE, taken).await.expect("the new certificate is not taken");
}
