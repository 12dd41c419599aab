//! The client side against origins and proxies on loopback that follow a script, byte by byte.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use onceward_proxy::upstream::{
    Evidence, OwnAddresses, PrivateTargets, Roots, Unanswered, Unknown, Untouched, Upstream, UpstreamBody,
    UpstreamConfig,
};
use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

mod chain;
mod forward;
mod once_http1;
mod once_http2;
mod targets;
mod tls;

/// Longer than any exchange on loopback, short enough to end a test that hangs.
const DEADLINE: Duration = Duration::from_secs(20);

/// A listener that gives each connection to a script, and ends with the test.
struct Site {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl Site {
    async fn open<F>(script: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let accepted = Arc::clone(&connections);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut scripts = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                accepted.fetch_add(1, Ordering::SeqCst);
                scripts.spawn(script(socket));
            }
        });
        Self { address, connections, _task: task }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// An address at which nobody listens.
async fn closed_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// Reads one HTTP/1.1 message with a sized body, or an empty string at the end of the connection.
async fn read_message(io: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut message = Vec::new();
    loop {
        if message.ends_with(b"\r\n\r\n") {
            break;
        }
        match io.read_u8().await {
            Ok(byte) => message.push(byte),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(String::new()),
            Err(error) => return Err(error),
        }
    }
    let head = String::from_utf8(message.clone()).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    io.read_exact(&mut body).await?;
    message.extend(body);
    Ok(String::from_utf8(message).unwrap())
}

/// Completes when the peer has closed its side of the connection.
async fn closed(io: &mut (impl AsyncRead + Unpin)) {
    let mut rest = [0; 1024];
    while io.read(&mut rest).await.is_ok_and(|count| count > 0) {}
}

/// What the tests start from: private targets allowed, everything else as shipped.
fn config() -> UpstreamConfig {
    // The platform of a test machine may have no roots at all.
    UpstreamConfig {
        private_targets: PrivateTargets::Allow,
        roots: Roots::Insecure,
        ..UpstreamConfig::default()
    }
}

fn upstream() -> Upstream {
    Upstream::new(config()).unwrap()
}

fn post(uri: &str) -> Request<Full<Bytes>> {
    Request::post(uri).body(Full::from("amount=100")).unwrap()
}

async fn send_once(upstream: &Upstream, uri: &str) -> Result<Response<UpstreamBody>, Unanswered> {
    upstream.send_once(post(uri), Instant::now() + DEADLINE).await
}

/// What [`send_once`] proves about a request that is not answered.
async fn evidence(upstream: &Upstream, uri: &str) -> Evidence {
    send_once(upstream, uri).await.unwrap_err().evidence
}

async fn text(response: Response<UpstreamBody>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// An authority of the test, and a server certificate under it.
struct Identity {
    root: CertificateDer<'static>,
    leaf: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    fn new() -> Self {
        Self::named(&["127.0.0.1", "localhost"])
    }

    fn named(names: &[&str]) -> Self {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf =
            CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap();
        let leaf = leaf.signed_by(&key, &authority).unwrap();
        Self {
            root: authority.der().clone(),
            leaf: leaf.der().clone(),
            key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        }
    }

    fn acceptor(&self, protocols: &[&str]) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.leaf.clone()], self.key.clone_key())
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}
