//! A gateway on loopback and its clients.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use onceward_core::{profile::Profile, secret::Secret, time::Timestamp};
use onceward_engine::{Engine, SystemEntropy};
use onceward_proxy::{
    gateway::{Gateway, GatewayConfig, UpstreamUrl, guarding_of},
    server::Report,
    upstream::Roots,
};
use onceward_store::{Clock, EntryFilter, Memory, MemoryLimits, SystemClock};
use onceward_tower::origin::{ActorSource, OriginRules, OriginSettings};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Longer than anything on loopback takes, short enough to end a test that hangs.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// A gateway as `onceward gateway` runs it.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    pub(super) engine: Engine,
    pub(super) shutdown: CancellationToken,
    run: JoinHandle<Report>,
}

/// What users get without further words, before these instances.
pub(super) fn before(urls: &[&str]) -> GatewayConfig {
    let urls: Vec<UpstreamUrl> = urls.iter().map(|url| url.parse().unwrap()).collect();
    // The platform of a test machine may have no roots at all.
    GatewayConfig { roots: Roots::Insecure, ..GatewayConfig::of(urls) }
}

/// What users get without further words, with the cookie `sid` as a second source of the actor.
pub(super) fn rules() -> OriginSettings {
    let actors = vec![ActorSource::Authorization, ActorSource::Cookie("sid".into())];
    let profile = Profile::onceward();
    OriginSettings { actors, others: Some(guarding_of(&profile)), ..OriginSettings::of(profile) }
}

impl Running {
    pub(super) async fn start(urls: &[&str]) -> Self {
        Self::start_with(before(urls), rules()).await
    }

    pub(super) async fn start_with(config: GatewayConfig, settings: OriginSettings) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::starting_at(Timestamp::from_ms(0)));
        let store = Arc::new(Memory::new(MemoryLimits::default(), Arc::clone(&clock)));
        let parts = onceward_engine::Parts {
            store: store.clone(),
            audit_log: store,
            secret: Secret::new([42; 32]),
            clock,
            entropy: Arc::new(SystemEntropy),
            limits: onceward_engine::Limits::default(),
        };
        let engine = Engine::start(parts).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        config.own_addresses.add(address);
        let rules = OriginRules::new(engine.clone(), settings);
        let surface = rules.surface();
        let gateway = Gateway::new(config, engine.clone(), rules, surface).unwrap();
        let shutdown = CancellationToken::new();
        let run = tokio::spawn(gateway.run(listener, shutdown.clone()));
        let run = tokio::spawn(async move { run.await.unwrap().unwrap() });
        Self { address, engine, shutdown, run }
    }

    /// Ends it and says what was cut.
    pub(super) async fn stop(self) -> Report {
        self.shutdown.cancel();
        timeout(DEADLINE, self.run).await.expect("it does not end").unwrap()
    }

    /// How many keys are remembered, claimed ones among them.
    pub(super) async fn records(&self) -> usize {
        self.engine.list(EntryFilter::default(), None, 1_000).await.unwrap().entries.len()
    }

    pub(super) async fn dial(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends the bytes and reads until the gateway closes.
    pub(super) async fn talk(&self, bytes: &[u8]) -> Vec<Answer> {
        let mut client = self.dial().await;
        client.write_all(bytes).await.unwrap();
        let mut received = Vec::new();
        match timeout(DEADLINE, client.read_to_end(&mut received)).await.expect("it does not close") {
            Ok(_) => {}
            // What follows a refused `CONNECT` is left unread.
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
        }
        answers(&received)
    }

    /// Sends one request and reads its answer; the request is to say `Connection: close`.
    pub(super) async fn ask(&self, request: &str) -> Answer {
        let mut answers = self.talk(request.as_bytes()).await;
        assert_eq!(answers.len(), 1, "{answers:?}");
        answers.remove(0)
    }
}

/// An answer as it was on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The status, and the last part of the problem's type.
    pub(super) fn problem(&self) -> (u16, String) {
        let problem: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        let name = problem["type"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default();
        (self.status, name.to_owned())
    }
}

/// Takes apart what a connection gave until its close.
pub(super) fn answers(mut received: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    while let Some(end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
        let head = String::from_utf8(received[..end].to_vec()).unwrap();
        let (line, fields) = head.split_once("\r\n").unwrap_or((&head, ""));
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        let fields: Vec<_> = fields
            .lines()
            .map(|field| field.split_once(": ").unwrap_or_else(|| panic!("{field:?}")))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut answer = Answer { status, fields, body: String::new() };
        let rest = &received[end + 4..];
        let len = match answer.field("content-length") {
            Some(len) => len.parse::<usize>().unwrap().min(rest.len()),
            None => rest.len(),
        };
        answer.body = String::from_utf8_lossy(&rest[..len]).into_owned();
        received = &rest[len..];
        answers.push(answer);
    }
    answers
}

/// Reads up to the end of a head.
pub(super) async fn read_head(io: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    let read = async {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(io.read_u8().await.unwrap());
        }
    };
    timeout(DEADLINE, read).await.expect("no head");
    String::from_utf8(head).unwrap()
}

/// Reads one request with a sized body; `None` at the end of the connection.
pub(super) async fn read_message(io: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut message = Vec::new();
    while !message.ends_with(b"\r\n\r\n") {
        message.push(io.read_u8().await.ok()?);
    }
    let head = String::from_utf8_lossy(&message).to_ascii_lowercase();
    let len = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; len.map_or(0, |len| len.parse().unwrap())];
    io.read_exact(&mut body).await.ok()?;
    message.extend(body);
    Some(String::from_utf8(message).unwrap())
}

/// An address at which nobody listens.
pub(super) async fn closed_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A service on loopback that gives each connection, by its number from 1, to a script; it ends with its test.
pub(super) struct Scripted {
    pub(super) address: SocketAddr,
    _task: tokio::task::JoinSet<()>,
}

impl Scripted {
    pub(super) async fn open<F>(script: impl Fn(usize, TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut task = tokio::task::JoinSet::new();
        task.spawn(async move {
            let mut scripts = tokio::task::JoinSet::new();
            for number in 1.. {
                let (socket, _) = listener.accept().await.unwrap();
                scripts.spawn(script(number, socket));
            }
        });
        Self { address, _task: task }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Writes an answer with this body, and nothing more.
pub(super) async fn say(io: &mut (impl AsyncWrite + Unpin), status: u16, fields: &str, body: &str) {
    let answer = format!("HTTP/1.1 {status} X\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len());
    io.write_all(answer.as_bytes()).await.unwrap();
}
