//! A guard over a memory store in virtual time, the services that it guards, and answers as values.

use std::{
    error::Error,
    fmt::{self, Write as _},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, request::Parts};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use onceward_core::{
    actor::{Actor, Scope, Tenant},
    canonical::Volatile,
    fingerprint::Equality,
    key::Carriers,
    outcome::{Evidence, Policy},
    profile::Manner,
    refusal::Refusal,
    secret::Secret,
    time::Timestamp,
};
use onceward_engine::{Engine, Limits, SystemEntropy};
use onceward_store::{AuditLog, Clock, EntryFilter, Faults, Faulty, Memory, MemoryLimits, Store};
use onceward_tower::{
    Cors, Judgement, Once, OnceLayer, OriginRules, Plan, RequestBody, Rules, Surface, Testimony, Undated,
    Unreadable, origin::OriginSettings,
};
use tokio::{sync::mpsc, time::Instant};
use tower::{ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_layer::Layer;

/// 2026-11-21T12:00:00Z.
pub(crate) const STARTED_MS: u64 = 1_795_262_400_000;

/// Longer than any test.
pub(crate) const FOREVER: Duration = Duration::from_secs(u32::MAX as u64);

/// Longer than every hold, wait and lease of the tests' policies together.
pub(crate) const LONG: Duration = Duration::from_secs(600);

/// A body of any kind.
pub(crate) type AnyBody = UnsyncBoxBody<Bytes, Broken>;

/// What a body of the tests yields.
pub(crate) type Piece = Result<Frame<Bytes>, Broken>;

/// A body broke off.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken(pub(crate) &'static str);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Broken {}

/// Field lines.
pub(crate) type Lines = &'static [(&'static str, &'static str)];

/// A service that is guarded.
pub(crate) type Site = BoxCloneSyncService<Request<RequestBody<AnyBody>>, Response<AnyBody>, Trouble>;

/// The guard around one.
pub(crate) type Guarded = Once<Site, Keyed>;

/// The guard with the rules of those who own the site.
pub(crate) type Shop = Once<Site, OriginRules>;

/// A service's failure, and what it proves.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Trouble(pub(crate) Evidence);

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl Error for Trouble {}

impl Testimony for Trouble {
    fn evidence(&self) -> Evidence {
        self.0
    }
}

#[derive(Debug)]
struct VirtualClock(Instant);

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(STARTED_MS + u64::try_from(self.0.elapsed().as_millis()).unwrap())
    }
}

/// Guards what carries an `Idempotency-Key`.
#[derive(Clone)]
pub(crate) struct Keyed {
    pub(crate) policy: Arc<Policy>,
    pub(crate) equality: Arc<Equality>,
    pub(crate) unreadable: Unreadable,
}

impl Keyed {
    pub(crate) fn by(policy: Policy) -> Self {
        Self {
            policy: Arc::new(policy),
            equality: Arc::new(Equality::Canonical(Volatile::common())),
            unreadable: Unreadable::Refuse,
        }
    }
}

impl Rules for Keyed {
    fn judge(&self, head: &mut Parts) -> Judgement {
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
                equality: Arc::clone(&self.equality),
                unreadable: self.unreadable,
                policy: Arc::clone(&self.policy),
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

/// An engine with its store, which several guards may share.
pub(crate) struct World {
    pub(crate) engine: Engine,
    /// Where decisions are written down, which never fails.
    pub(crate) audit_log: Arc<Memory>,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::within(Limits::default(), MemoryLimits::default()).await
    }

    /// A world that holds no more than this.
    pub(crate) async fn within(limits: Limits, memory: MemoryLimits) -> Self {
        Self::over(Faults::scripted([]), limits, memory).await
    }

    /// A world whose store fails by plan; the first operation is the engine's own look at it. Nothing is swept, so that the plan's
    /// operations are those of the calls.
    pub(crate) async fn failing(faults: Faults) -> Self {
        let limits = Limits { sweep_period: FOREVER, ..Limits::default() };
        Self::over(faults, limits, MemoryLimits::default()).await
    }

    async fn over(faults: Faults, limits: Limits, memory: MemoryLimits) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock(Instant::now()));
        let store: Arc<dyn Store> = Arc::new(Faulty::new(Memory::new(memory, Arc::clone(&clock)), faults));
        let audit_log = Arc::new(Memory::new(memory, Arc::clone(&clock)));
        loop {
            let parts = onceward_engine::Parts {
                store: Arc::clone(&store),
                audit_log: Arc::clone(&audit_log) as Arc<dyn AuditLog>,
                secret: Secret::new([42; 32]),
                clock: Arc::clone(&clock),
                entropy: Arc::new(SystemEntropy),
                limits,
            };
            // A failing store may fail the engine's look at it, too.
            if let Ok(engine) = Engine::start(parts).await {
                return Self { engine, audit_log };
            }
        }
    }

    /// A guard as those who own the origin set it up.
    pub(crate) fn shop(&self, settings: OriginSettings, site: Site) -> Shop {
        let rules = OriginRules::new(self.engine.clone(), settings);
        let surface = rules.surface();
        OnceLayer::new(self.engine.clone(), rules, surface).layer(site)
    }

    pub(crate) fn guard(&self, rules: Keyed, site: Site) -> Guarded {
        self.guard_with(Cors::Closed, rules, site)
    }

    pub(crate) fn guard_with(&self, cors: Cors, rules: Keyed, site: Site) -> Guarded {
        self.layer(cors, rules).layer(site)
    }

    /// A guard whose bodies share `bytes_max` of memory.
    pub(crate) fn guard_holding(&self, bytes_max: usize, rules: Keyed, site: Site) -> Guarded {
        self.layer(Cors::Closed, rules).request_bytes_held_max(bytes_max).layer(site)
    }

    fn layer(&self, cors: Cors, rules: Keyed) -> OnceLayer<Keyed> {
        let surface =
            Surface { type_base: "https://onceward.example/problems/".to_owned(), status_base: None, cors };
        OnceLayer::new(self.engine.clone(), rules, surface)
    }

    /// How many keys are remembered, claimed ones among them.
    pub(crate) async fn records(&self) -> usize {
        self.engine.list(EntryFilter::default(), None, 100).await.unwrap().entries.len()
    }
}

/// A guard of its own world, as a middleware is.
pub(crate) async fn guarded(site: Site) -> Guarded {
    World::start().await.guard(Keyed::by(Policy::middleware()), site)
}

/// A service that counts its calls.
#[derive(Clone, Default)]
pub(crate) struct Count(Arc<AtomicUsize>);

impl Count {
    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn add(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// A site that reads its request, counts, and answers with what `answer` makes of the count.
    pub(crate) fn site(
        &self,
        answer: impl Fn(usize) -> Response<AnyBody> + Clone + Send + Sync + 'static,
    ) -> Site {
        let count = self.clone();
        site(move |request| {
            let (count, answer) = (count.clone(), answer.clone());
            async move {
                request.into_body().collect().await.unwrap();
                Ok(answer(count.add()))
            }
        })
    }
}

pub(crate) fn site<F>(
    handler: impl FnMut(Request<RequestBody<AnyBody>>) -> F + Clone + Send + Sync + 'static,
) -> Site
where
    F: Future<Output = Result<Response<AnyBody>, Trouble>> + Send + 'static,
{
    BoxCloneSyncService::new(service_fn(handler))
}

pub(crate) fn text(content: impl Into<Bytes>) -> AnyBody {
    Full::new(content.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body that ends after `frames`, with no size known before.
pub(crate) fn frames(frames: Vec<Piece>) -> AnyBody {
    StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync()
}

pub(crate) fn data(content: impl Into<Bytes>) -> Piece {
    Ok(Frame::data(content.into()))
}

pub(crate) fn cut() -> Piece {
    Err(Broken("cut"))
}

/// A body that a test feeds as it goes, and the end that it feeds.
pub(crate) fn fed(frames_max: usize) -> (mpsc::Sender<Piece>, AnyBody) {
    let (sender, receiver) = mpsc::channel(frames_max);
    (sender, Fed(receiver).boxed_unsync())
}

struct Fed(mpsc::Receiver<Piece>);

impl Body for Fed {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Piece>> {
        self.0.poll_recv(context)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

struct Halting {
    frames_left: usize,
    is_ready: bool,
}

impl Body for Halting {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Piece>> {
        self.is_ready = !self.is_ready;
        if !self.is_ready {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.frames_left == 0 {
            return Poll::Ready(None);
        }
        self.frames_left -= 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"part ")))))
    }
}

/// A body of so many frames `part `, each of which has to be waited for once.
pub(crate) fn halting(frames_left: usize) -> AnyBody {
    Halting { frames_left, is_ready: true }.boxed_unsync()
}

pub(crate) fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in lines {
        fields.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    fields
}

/// An answer with these fields.
pub(crate) fn response(
    status: u16,
    lines: &[(&'static str, &'static str)],
    body: AnyBody,
) -> Response<AnyBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status.try_into().unwrap();
    *response.headers_mut() = fields(lines);
    response
}

/// `POST /order` under `key`.
pub(crate) fn post(key: &str, body: impl Into<Bytes>) -> Request<AnyBody> {
    post_with(key, &[], text(body))
}

pub(crate) fn post_with(
    key: &str,
    lines: &[(&'static str, &'static str)],
    body: AnyBody,
) -> Request<AnyBody> {
    let mut request = Request::post("/order?id=1").body(body).unwrap();
    *request.headers_mut() = fields(lines);
    request.headers_mut().insert("idempotency-key", key.parse().unwrap());
    request
}

/// Any request: `asking("POST /orders", &[("idempotency-key", "k")], "a")`.
pub(crate) fn asking(
    target: &str,
    lines: &[(&'static str, &'static str)],
    body: impl Into<Bytes>,
) -> Request<AnyBody> {
    let (method, uri) = target.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(uri).body(text(body)).unwrap();
    *request.headers_mut() = fields(lines);
    request
}

/// Polls the guard's call, and then its answer's body, so many times and no more; whether the end was reached.
pub(crate) async fn polled<R: Rules>(
    guarded: &Once<Site, R>,
    request: Request<AnyBody>,
    mut polls: usize,
) -> bool {
    let guarded = guarded.clone();
    let mut whole = Box::pin(async move {
        guarded.oneshot(request).await.unwrap().into_body().collect().await.unwrap();
    });
    std::future::poll_fn(|context| {
        if polls == 0 {
            return Poll::Ready(false);
        }
        polls -= 1;
        whole.as_mut().poll(context).map(|()| true)
    })
    .await
}

/// A whole answer as text: status line, fields in their order, content, trailers.
pub(crate) async fn ask<R: Rules>(guarded: &Once<Site, R>, request: Request<AnyBody>) -> String {
    written(guarded.clone().oneshot(request).await.unwrap()).await
}

pub(crate) async fn written<B>(response: Response<B>) -> String
where
    B: Body<Data = Bytes>,
    B::Error: fmt::Debug,
{
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    let mut text = format!("{}\n", head.status.as_u16());
    write_fields(&mut text, &head.headers);
    write!(text, "\n{}", body.to_bytes().escape_ascii()).unwrap();
    if !trailers.is_empty() {
        text.push('\n');
        write_fields(&mut text, &trailers);
    }
    text
}

/// An answer of [`written`] as its head and its JSON content.
pub(crate) fn read(written: &str) -> (String, serde_json::Value) {
    let (head, content) = written.split_once("\n\n").unwrap();
    // Undoes what `escape_ascii` did to ASCII text.
    let content =
        content.replace("\\n", "\n").replace("\\\"", "\"").replace("\\'", "'").replace("\\\\", "\\");
    (format!("{head}\n"), serde_json::from_str(&content).unwrap())
}

fn write_fields(text: &mut String, fields: &HeaderMap) {
    for (name, value) in fields {
        writeln!(text, "{name}: {}", value.as_bytes().escape_ascii()).unwrap();
    }
}

/// Status and problem type of a refusal: `409 outcome-unknown`.
pub(crate) async fn problem<R: Rules>(guarded: &Once<Site, R>, request: Request<AnyBody>) -> String {
    let response = guarded.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let slug = problem["type"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    format!("{status} {slug}")
}

/// The fields that every answer of an execution has at its end.
pub(crate) const COMMITTED: &str = "idempotency-key-consumed: true\nintent-status: committed\n";

/// The fields that every replay has at its end, `age` seconds after its outcome was stored.
pub(crate) fn replayed(age: u64) -> String {
    format!(
        "idempotent-replayed: true\nage: {age}\nidempotency-key-consumed: true\nintent-status: replayed\n"
    )
}
