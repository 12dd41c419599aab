//! A server with the middleware, its rules, its store's clock, and a client that shows answers as text.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_web::{
    App, HttpResponse, HttpServer,
    dev::ServerHandle,
    web::{self, Bytes, ServiceConfig},
};
use http::request::Parts;
use onceward_actix::Once;
use onceward_core::{
    actor::{Actor, Scope, Tenant},
    canonical::Volatile,
    fingerprint::Equality,
    key::Carriers,
    outcome::Policy,
    profile::Manner,
    refusal::Refusal,
    secret::Secret,
    time::Timestamp,
};
use onceward_engine::{Engine, Limits, SystemEntropy};
use onceward_store::{AuditLog, Clock, EntryFilter, Memory, MemoryLimits, Store};
use onceward_tower::{Cors, Judgement, Plan, Rules, Surface, Undated, Unreadable};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// 2026-11-21T12:00:00Z.
const STARTED_MS: u64 = 1_795_262_400_000;

/// Field lines.
pub(crate) type Lines = &'static [(&'static str, &'static str)];

/// A clock that stands until it is moved.
#[derive(Debug)]
pub(crate) struct HandClock(AtomicU64);

impl HandClock {
    pub(crate) fn advance(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.0.load(Ordering::SeqCst))
    }
}

/// Guards what carries an `Idempotency-Key`, and takes `x-secret` off every request.
#[derive(Clone)]
pub(crate) struct Keyed(Arc<Policy>);

impl Keyed {
    pub(crate) fn by(policy: Policy) -> Self {
        Self(Arc::new(policy))
    }
}

impl Rules for Keyed {
    fn judge(&self, head: &mut Parts) -> Judgement {
        head.headers.remove("x-secret");
        let carriers = Carriers::ietf();
        let fields = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        match carriers.read(fields) {
            Ok(None) => Judgement::Pass,
            Err(invalid) => Judgement::Refuse {
                refusal: Refusal::KeyInvalid(invalid),
                key: None,
                manner: Manner::ONCEWARD,
            },
            Ok(Some(key)) => Judgement::Guard(Box::new(Plan {
                tenant: Tenant::single(),
                actor: Actor::new("session", b"agent"),
                key,
                carriers,
                body_member: None,
                origin: None,
                equality: Arc::new(Equality::Canonical(Volatile::common())),
                unreadable: Unreadable::Refuse,
                policy: Arc::clone(&self.0),
                intent: None,
                kept_fields: None,
                manner: Manner::ONCEWARD,
                undated: Undated::Execute,
                twins: None,
            })),
        }
    }

    fn scope(&self, _: &Parts, _: &[u8]) -> Scope {
        Scope::Actor
    }
}

/// An engine over a memory store.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) clock: Arc<HandClock>,
}

impl World {
    pub(crate) async fn start() -> Self {
        let clock = Arc::new(HandClock(AtomicU64::new(STARTED_MS)));
        let engine = engine(Arc::clone(&clock) as Arc<dyn Clock>).await;
        Self { engine, clock }
    }

    pub(crate) fn once(&self, policy: Policy) -> Once<Keyed> {
        self.once_by(Keyed::by(policy))
    }

    pub(crate) fn once_by<R: Rules>(&self, rules: R) -> Once<R> {
        once(self.engine.clone(), rules)
    }

    /// How many keys are remembered, claimed ones among them.
    pub(crate) async fn records(&self) -> usize {
        self.engine.list(EntryFilter::default(), None, 100).await.unwrap().entries.len()
    }

    pub(crate) fn serve(
        &self,
        policy: Policy,
        routes: impl FnOnce(&mut ServiceConfig) + Clone + Send + 'static,
    ) -> Server {
        serve(self.once(policy), routes)
    }
}

pub(crate) async fn engine(clock: Arc<dyn Clock>) -> Engine {
    let store = Arc::new(Memory::new(MemoryLimits::default(), Arc::clone(&clock)));
    let parts = onceward_engine::Parts {
        store: Arc::clone(&store) as Arc<dyn Store>,
        audit_log: store as Arc<dyn AuditLog>,
        secret: Secret::new([42; 32]),
        clock,
        entropy: Arc::new(SystemEntropy),
        limits: Limits::default(),
    };
    Engine::start(parts).await.unwrap()
}

pub(crate) fn once<R: Rules>(engine: Engine, rules: R) -> Once<R> {
    let type_base = "https://onceward.example/problems/".to_owned();
    Once::new(engine, rules, Surface { type_base, status_base: None, cors: Cors::Closed })
}

/// A server that runs until its test ends.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) handle: ServerHandle,
}

/// Serves `routes` behind the middleware, with two workers.
pub(crate) fn serve<R: Rules>(
    once: Once<R>,
    routes: impl FnOnce(&mut ServiceConfig) + Clone + Send + 'static,
) -> Server {
    let server = HttpServer::new(move || App::new().wrap(once.clone()).configure(routes.clone()));
    listen!(server)
}

/// Binds a server to a free port and starts it.
macro_rules! listen {
    ($server:expr) => {{
        let server = $server.workers(2).disable_signals().shutdown_timeout(1);
        let server = server.bind_auto_h2c(("127.0.0.1", 0)).unwrap();
        let addr = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        $crate::kit::Server { addr, handle }
    }};
}
pub(crate) use listen;

/// Counts calls.
#[derive(Clone, Default)]
pub(crate) struct Count(Arc<AtomicUsize>);

impl Count {
    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn add(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Routes with one handler, which reads its request, counts, and answers with what `answer` makes of the count.
    pub(crate) fn site(
        &self,
        answer: impl Fn(usize) -> HttpResponse + Clone + Send + 'static,
    ) -> impl FnOnce(&mut ServiceConfig) + Clone + Send + 'static {
        let count = self.clone();
        move |config| {
            config.default_service(web::to(move |_: Bytes| {
                let (count, answer) = (count.clone(), answer.clone());
                async move { answer(count.add()) }
            }));
        }
    }
}

/// A response with these field lines.
pub(crate) fn response(
    status: u16,
    lines: &[(&'static str, &'static str)],
) -> actix_web::HttpResponseBuilder {
    let mut response = HttpResponse::build(status.try_into().unwrap());
    for line in lines {
        response.append_header(*line);
    }
    response
}

/// `POST /order?id=1` under `key`, as bytes.
pub(crate) fn post(key: &str, body: &str) -> String {
    let len = body.len();
    format!(
        "POST /order?id=1 HTTP/1.1\r\nHost: a\r\nIdempotency-Key: {key}\r\nContent-Length: {len}\r\n\r\n{body}"
    )
}

/// One request on a connection of its own, and its answer.
///
/// Status, the field lines in the order of the alphabet, the content. What actix writes by itself is left out: `Date`, and `Connection`,
/// for the client asks for a close.
pub(crate) async fn ask(addr: SocketAddr, request: &str) -> String {
    let request = request.replacen("\r\nHost: a", "\r\nHost: a\r\nConnection: close", 1);
    shown(&talk(addr, request.as_bytes()).await)
}

/// Sends the bytes and reads until the server closes.
pub(crate) async fn talk(addr: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut client = TcpStream::connect(addr).await.unwrap();
    client.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    answer
}

pub(crate) fn shown(answer: &[u8]) -> String {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("an answer without a head");
    let head = std::str::from_utf8(&answer[..end]).unwrap();
    let content = &answer[end + 4..];
    let (status, lines) = head.split_once("\r\n").unwrap_or((head, ""));
    let mut lines: Vec<&str> = lines.split("\r\n").collect();
    lines.retain(|line| !line.starts_with("date: ") && *line != "connection: close" && !line.is_empty());
    lines.sort_by_key(|line| line.split_once(':').unwrap().0);
    let content =
        if lines.contains(&"transfer-encoding: chunked") { dechunked(content) } else { content.to_vec() };
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    format!("{}\n{lines}\n{}", &status[9..12], content.escape_ascii())
}

fn dechunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    loop {
        let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
            content.extend(b"(broken off)");
            return content;
        };
        let len = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        if len == 0 {
            return content;
        }
        content.extend(&bytes[end + 2..end + 2 + len]);
        bytes = &bytes[end + 4 + len..];
    }
}

/// Status and problem type of a refusal: `409 outcome-unknown`.
pub(crate) async fn problem(addr: SocketAddr, request: &str) -> String {
    let answer = ask(addr, request).await;
    let slug = answer.split("/problems/").nth(1).and_then(|rest| rest.split('>').next());
    format!("{} {}", &answer[..3], slug.unwrap_or(&answer))
}

/// The fields that every answer of an execution has.
pub(crate) const COMMITTED: &str = "idempotency-key-consumed: true\nintent-status: committed\n";

/// The whole replay of a 201 with `content`, `age` seconds after its outcome was stored.
pub(crate) fn replayed(age: u64, content: &str) -> String {
    format!(
        "201\nage: {age}\ncontent-length: {}\nidempotency-key-consumed: true\nidempotent-replayed: true\n\
         intent-status: replayed\n\n{content}",
        content.len()
    )
}

/// The whole answer of an execution with 201 and `content`.
pub(crate) fn committed(content: &str) -> String {
    format!("201\ncontent-length: {}\n{COMMITTED}\n{content}", content.len())
}
