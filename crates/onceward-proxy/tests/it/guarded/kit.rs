//! A guarding proxy on loopback and its clients.

use std::{fmt::Write as _, io, net::SocketAddr, path::Path, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use onceward_core::{outcome::Policy, secret::Secret, time::Timestamp};
use onceward_engine::{Engine, SystemEntropy};
use onceward_proxy::{
    ca::Authority,
    guarded::GuardedExchange,
    intercept::{Intercept, Interception},
    leaf::Leaves,
    limits::Limits,
    pages::page,
    rules::ForwardRules,
    server::{Config, Server},
    session::{Access, Session},
    upstream::{OwnAddresses, PrivateTargets, Roots, Upstream, UpstreamConfig},
};
use onceward_store::{
    AuditCursor, AuditLog, Clock, EntryFilter, Memory, MemoryLimits, Sqlite, SqliteOptions, Store,
    SystemClock,
};
use onceward_tower::{Cors, Surface};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

use super::origin::DEADLINE;

/// What Chromium sends with a navigation.
pub(super) const CHROMIUM: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7";

/// A store under both of its ports.
pub(super) struct Records {
    store: Arc<dyn Store>,
    audit_log: Arc<dyn AuditLog>,
}

impl Records {
    pub(super) fn memory() -> Self {
        let store = Arc::new(Memory::new(MemoryLimits::default(), clock()));
        Self { store: Arc::clone(&store) as Arc<dyn Store>, audit_log: store }
    }

    pub(super) fn sqlite(path: &Path) -> Self {
        let store = Arc::new(Sqlite::open(path, SqliteOptions::new([7; 32])).unwrap());
        Self { store: Arc::clone(&store) as Arc<dyn Store>, audit_log: store }
    }
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::starting_at(Timestamp::from_ms(0)))
}

/// The proxy as `onceward proxy` runs it, and what its clients must know of it.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    pub(super) engine: Engine,
    authority: Arc<Authority>,
    shutdown: CancellationToken,
    run: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Proxy {
    pub(super) async fn start() -> Self {
        Self::start_with(Records::memory(), Policy::forward_proxy(), Limits::default()).await
    }

    pub(super) async fn start_with(records: Records, policy: Policy, limits: Limits) -> Self {
        let parts = onceward_engine::Parts {
            store: records.store,
            audit_log: records.audit_log,
            secret: Secret::new([42; 32]),
            clock: clock(),
            entropy: Arc::new(SystemEntropy),
            limits: onceward_engine::Limits::default(),
        };
        let engine = Engine::start(parts).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let own_addresses = OwnAddresses::default();
        own_addresses.add(address);
        let upstream = Upstream::new(UpstreamConfig {
            // The platform of a test machine may have no roots at all.
            roots: Roots::Insecure,
            private_targets: PrivateTargets::Allow,
            own_addresses,
            ..UpstreamConfig::default()
        });
        let surface = Surface {
            type_base: "https://onceward.example/problems/".to_owned(),
            status_base: None,
            cors: Cors::Mirrored,
        };
        let rules = ForwardRules::new(policy);
        let exchange = GuardedExchange::new(engine.clone(), rules, surface, upstream.unwrap());
        let folder = tempfile::tempdir().unwrap();
        let authority = Arc::new(Authority::load_or_create(&folder.path().join("ca")).unwrap());
        let server = Server::new(Config {
            limits,
            leaves: Arc::new(Leaves::new(Arc::clone(&authority), limits.leaves_max)),
            interception: Interception { intercept: Intercept::All, tunnel: Vec::new() },
            access: Access::Open,
            own_page: Arc::new(|request| {
                Box::pin(async move { page(StatusCode::NOT_FOUND, "own page", request.headers()) })
            }),
        });
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let run = tokio::spawn(async move {
            server.run(listener, Session::new("own"), exchange, stop).await.unwrap();
        });
        Self { address, engine, authority, shutdown, run, _folder: folder }
    }

    /// Ends it, so that its store is closed.
    pub(super) async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(DEADLINE, self.run).await.unwrap().unwrap();
        self.engine.drain(DEADLINE).await;
        self.engine.close().await;
    }

    /// How many keys are remembered, claimed ones among them.
    pub(super) async fn records(&self) -> usize {
        self.engine.list(EntryFilter::default(), None, 1_000).await.unwrap().entries.len()
    }

    /// The decisions so far, as the audit log has them once the engine is closed.
    pub(super) async fn decisions(&self) -> Vec<String> {
        self.engine.close().await;
        let lines = self.engine.audit(AuditCursor::default(), None, 1_000).await.unwrap();
        let decision = |json: &str| {
            let event: serde_json::Value = serde_json::from_str(json).unwrap();
            let drifted = if event["drifted"] == true { " drifted" } else { "" };
            format!("{}{drifted}", event["decision"].as_str().unwrap())
        };
        lines.iter().map(|(_, line)| decision(&line.json)).collect()
    }

    pub(super) async fn dial(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends the bytes and reads until the proxy closes.
    pub(super) async fn talk(&self, bytes: &str) -> String {
        let mut client = self.dial().await;
        client.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(DEADLINE, client.read_to_end(&mut answer)).await.unwrap().unwrap();
        String::from_utf8(answer).unwrap()
    }

    async fn tunnel(&self, target: &str, fields: &str) -> TcpStream {
        let mut client = self.dial().await;
        let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{fields}\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(client.read_u8().await.unwrap());
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", answer.escape_ascii());
        client
    }

    async fn tls(
        &self,
        target: SocketAddr,
        fields: &str,
        protocol: &str,
    ) -> io::Result<TlsStream<TcpStream>> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.authority.cert_der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let tunnel = self.tunnel(&target.to_string(), fields).await;
        let name = ServerName::from(target.ip());
        TlsConnector::from(Arc::new(config)).connect(name, tunnel).await
    }

    /// A client that sends absolute targets over one connection.
    pub(super) async fn plain(&self) -> Client {
        Client::http1(self.dial().await).await
    }

    /// A client that sends plain HTTP inside of a tunnel, as Node's does.
    pub(super) async fn tunnelled(&self, target: SocketAddr) -> Client {
        Client::http1(self.tunnel(&target.to_string(), "").await).await
    }

    /// A client that speaks HTTP/1.1 in TLS inside of a tunnel.
    pub(super) async fn secure1(&self, target: SocketAddr) -> Client {
        Client::http1(self.tls(target, "", "http/1.1").await.unwrap()).await
    }

    /// A client that speaks HTTP/2 in TLS inside of a tunnel that was opened with `fields`.
    pub(super) async fn secure2(&self, target: SocketAddr, fields: &str) -> Client {
        let io = TokioIo::new(self.tls(target, fields, "h2").await.unwrap());
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        let driver = tokio::spawn(async move { drop(connection.await) });
        Client { sender: Sender::Http2(sender), driver }
    }
}

/// One connection to the proxy.
pub(super) struct Client {
    sender: Sender,
    driver: JoinHandle<()>,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Client {
    async fn http1(io: impl hyper_io::Io) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(io)).await.unwrap();
        let driver = tokio::spawn(async move { drop(connection.await) });
        Self { sender: Sender::Http1(sender), driver }
    }

    /// Sends a request and reads its answer whole, as text.
    pub(super) async fn ask(&mut self, request: Request<Full<Bytes>>) -> String {
        let answer = async {
            match &mut self.sender {
                Sender::Http1(sender) => {
                    sender.ready().await.unwrap();
                    written(sender.send_request(request).await.unwrap()).await
                }
                Sender::Http2(sender) => {
                    written(sender.send_request(without_host(request)).await.unwrap()).await
                }
            }
        };
        tokio::time::timeout(DEADLINE, answer).await.expect("no answer")
    }

    /// As many handles as there are to be requests at once; HTTP/1.1 has one.
    pub(super) fn shared(self, count: usize) -> Vec<Self> {
        match self.sender {
            Sender::Http1(_) => {
                assert_eq!(count, 1);
                vec![self]
            }
            Sender::Http2(sender) => {
                let handle =
                    || Self { sender: Sender::Http2(sender.clone()), driver: tokio::spawn(async {}) };
                (0..count).map(|_| handle()).collect()
            }
        }
    }

    /// Closes the connection at once, whatever is under way.
    pub(super) fn vanish(self) {
        self.driver.abort();
    }
}

mod hyper_io {
    use tokio::io::{AsyncRead, AsyncWrite};

    pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

    impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}
}

fn without_host(mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    request.headers_mut().remove("host");
    request
}

/// `POST` under `key`, as a browser's form sends it.
pub(super) fn post(url: &str, key: &str, body: &str) -> Request<Full<Bytes>> {
    post_with(url, &[("x-idem-key", key)], body)
}

pub(super) fn post_with(url: &str, lines: &[(&str, &str)], body: &str) -> Request<Full<Bytes>> {
    asked("POST", url, lines, body)
}

pub(super) fn asked(method: &str, url: &str, lines: &[(&str, &str)], body: &str) -> Request<Full<Bytes>> {
    let uri: Uri = url.parse().unwrap();
    let mut request = Request::builder().method(method).header("host", uri.authority().unwrap().as_str());
    for (name, value) in lines {
        request = request.header(*name, *value);
    }
    request.uri(uri).body(Full::from(body.to_owned())).unwrap()
}

/// Status, fields and content; without `date`, which the proxy's own server adds, and with any age as `n`.
async fn written(response: Response<Incoming>) -> String {
    let (head, body) = response.into_parts();
    let mut text = format!("{}\n", head.status.as_u16());
    write_fields(&mut text, &head.headers);
    let content = match body.collect().await {
        Ok(body) => String::from_utf8(body.to_bytes().to_vec()).unwrap(),
        Err(_) => "(cut)".to_owned(),
    };
    write!(text, "\n{content}").unwrap();
    text
}

fn write_fields(text: &mut String, fields: &HeaderMap) {
    let mut lines: Vec<_> = fields
        .iter()
        .filter(|(name, _)| *name != "date")
        .map(|(name, value)| match (name.as_str(), value.to_str().unwrap()) {
            ("age", seconds) => format!("age: {}\n", seconds.parse::<u64>().map(|_| "n").unwrap()),
            (name, value) => format!("{name}: {value}\n"),
        })
        .collect();
    lines.sort();
    text.push_str(&lines.concat());
}

/// An execution's answer of `status` with these further fields and this content.
pub(super) fn committed(status: u16, lines: &[&str], content: &str) -> String {
    answer(status, lines, &["idempotency-key-consumed: true", "intent-status: committed"], content)
}

/// The same as a replay.
pub(super) fn replayed(status: u16, lines: &[&str], content: &str) -> String {
    let marks =
        ["age: n", "idempotency-key-consumed: true", "idempotent-replayed: true", "intent-status: replayed"];
    answer(status, lines, &marks, content)
}

/// An answer with these fields.
pub(super) fn answer(status: u16, lines: &[&str], marks: &[&str], content: &str) -> String {
    let length = format!("content-length: {}", content.len());
    let mut lines: Vec<String> =
        [lines, marks, &[&length]].concat().iter().map(|line| format!("{line}\n")).collect();
    lines.sort();
    format!("{status}\n{}\n{content}", lines.concat())
}

/// Whether an answer is a refusal of this kind, in JSON.
pub(super) fn is_problem(answer: &str, status: u16, slug: &str) -> bool {
    answer.starts_with(&format!("{status}\n")) && answer.contains(&format!("/problems/{slug}\""))
}
