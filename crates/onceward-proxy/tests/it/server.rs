//! The server side, from the first byte of a client to the exchange behind it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use onceward_proxy::ca::Authority;
use onceward_proxy::intercept::{Intercept, Interception};
use onceward_proxy::leaf::Leaves;
use onceward_proxy::limits::Limits;
use onceward_proxy::pages::page;
use onceward_proxy::server::{Config, ConnectionInfo, Exchange, ProxyBody, Report, RequestBody, Server, Via};
use onceward_proxy::session::{Access, Session};
use onceward_proxy::target::Target;
use onceward_proxy::workers::Workers;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

mod connect;
mod drain;
mod heads;
mod limits;
mod pass_through;
mod tls;
mod workers;

/// Longer than anything on loopback takes, short enough to end a test that hangs.
const DEADLINE: Duration = Duration::from_secs(20);

/// A proxy on loopback, and what a client must know of it.
struct Proxy {
    address: SocketAddr,
    authority: Arc<Authority>,
    shutdown: CancellationToken,
    run: JoinHandle<Report>,
    _folder: tempfile::TempDir,
}

/// What a test chooses; the rest is as users get it.
struct Setup {
    limits: Limits,
    interception: Interception,
    access: Access,
    workers: Option<Arc<Workers>>,
}

impl Default for Setup {
    fn default() -> Self {
        let interception = Interception { intercept: Intercept::All, tunnel: Vec::new() };
        Self { limits: Limits::default(), interception, access: Access::Open, workers: None }
    }
}

impl Setup {
    fn limits(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    async fn start<E: Exchange>(self, exchange: E) -> Proxy {
        let folder = tempfile::tempdir().unwrap();
        let authority = Arc::new(Authority::load_or_create(&folder.path().join("ca")).unwrap());
        let server = Server::new(Config {
            limits: self.limits,
            leaves: Arc::new(Leaves::new(Arc::clone(&authority), self.limits.leaves_max)),
            interception: self.interception,
            access: self.access,
            own_page: Arc::new(|request| {
                let text = format!("own page {}", request.uri());
                Box::pin(async move { page(StatusCode::NOT_FOUND, &text, request.headers()) })
            }),
        });
        let server = match self.workers {
            Some(workers) => server.on(workers),
            None => server,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let run =
            tokio::spawn(
                async move { server.run(listener, Session::new("own"), exchange, stop).await.unwrap() },
            );
        Proxy { address, authority, shutdown, run, _folder: folder }
    }
}

impl Proxy {
    async fn dial(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends the bytes and reads until the proxy closes.
    async fn talk(&self, bytes: &[u8]) -> String {
        let mut client = self.dial().await;
        client.write_all(bytes).await.unwrap();
        read_to_close(&mut client).await
    }

    /// Opens a tunnel; panics unless the answer is an empty 200.
    async fn tunnel(&self, target: &str, fields: &str) -> TcpStream {
        let mut client = self.dial().await;
        let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{fields}\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        let answer = read_head(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(!answer.contains("content-length") && !answer.contains("transfer-encoding"), "{answer}");
        client
    }

    /// TLS inside of a tunnel, trusting nothing but the proxy's authority.
    async fn tls(
        &self,
        tunnel: TcpStream,
        name: &str,
        alpn: &[&[u8]],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(self.tls_config(alpn))).connect(name, tunnel).await
    }

    fn tls_config(&self, alpn: &[&[u8]]) -> rustls::ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.authority.cert_der().clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        config
    }

    async fn stop(self) -> Report {
        self.shutdown.cancel();
        tokio::time::timeout(DEADLINE, self.run).await.unwrap().unwrap()
    }
}

/// Answers each request with what arrived.
#[derive(Clone)]
struct Mirror;

impl Exchange for Mirror {
    type Tunnel = TcpStream;

    async fn call(&self, request: Request<RequestBody>) -> Response<ProxyBody> {
        let (parts, body) = request.into_parts();
        let via = match &parts.extensions.get::<Arc<ConnectionInfo>>().unwrap().via {
            Via::Proxy => "proxy",
            Via::Gateway { .. } => "gateway",
            Via::Tunnel { .. } => "tunnel",
            Via::Intercepted { .. } => "intercepted",
        };
        let session = parts.extensions.get::<Session>().unwrap().name();
        let mut text = format!("{} {} via {via} for {session}\n", parts.method, parts.uri);
        for (name, value) in &parts.headers {
            writeln!(text, "{name}: {}", value.to_str().unwrap()).unwrap();
        }
        let status = match body.collect().await {
            Ok(body) => {
                text += std::str::from_utf8(&body.to_bytes()).unwrap();
                StatusCode::OK
            }
            Err(error) => {
                text = error.to_string();
                StatusCode::BAD_REQUEST
            }
        };
        let mut response = Response::new(whole(text));
        *response.status_mut() = status;
        response
    }

    async fn tunnel(&self, _session: &Session, target: &Target) -> Result<TcpStream, Response<ProxyBody>> {
        TcpStream::connect(target.to_string())
            .await
            .map_err(|error| page(StatusCode::BAD_GATEWAY, &error.to_string(), &http::HeaderMap::new()))
    }
}

fn whole(text: impl Into<Bytes>) -> ProxyBody {
    Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A head, up to and with its empty line.
async fn read_head<C: AsyncRead + Unpin>(client: &mut C) -> String {
    let read = async {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap()
    };
    tokio::time::timeout(DEADLINE, read).await.unwrap()
}

async fn read_to_close<C: AsyncRead + Unpin>(client: &mut C) -> String {
    let mut text = Vec::new();
    tokio::time::timeout(DEADLINE, client.read_to_end(&mut text)).await.unwrap().unwrap();
    String::from_utf8(text).unwrap()
}

/// One request on a connection that stays open; the answer's status line and body.
async fn ask<C: AsyncRead + AsyncWrite + Unpin>(client: &mut C, request: &str) -> (String, String) {
    client.write_all(request.as_bytes()).await.unwrap();
    let head = read_head(client).await;
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    client.read_exact(&mut body).await.unwrap();
    (head.lines().next().unwrap().to_owned(), String::from_utf8(body).unwrap())
}
