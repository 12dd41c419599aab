//! The reference origin: it books orders, counts them, and does what the field `x-drill` tells it.
//!
//! A guard that is to be judged is put before it, with each of [`ROUTES`] guarded as it says, the actor taken from `Authorization`.
//! It is one async function from request to response, so that any framework can mount it and any gateway can have it as upstream.
//!
//! | Request | Answer |
//! | --- | --- |
//! | `POST` to a route | 201 `{"id":N,…}` with `Location`, two `Set-Cookie` lines, `ETag`, and fields of its own |
//! | `PUT`, `PATCH`, `DELETE` | 200 with the same, 200, 204 |
//! | `GET /effects?run=RUN` | `{"effects":N,"calls":M}` of the requests that carried `x-drill-run: RUN` |
//! | `GET /documents/{name}` | its version, with `ETag` and `Snapshot` |
//! | `PUT /documents/{name}` | the next version; 412 or 409 where a precondition does not hold |
//! | `GET /release?run=RUN` | lets go on what `hold` holds back in this conversation |
//! | any other `GET` | 200, never an effect |
//!
//! `x-drill` is a list of directives with `;` between: `hold`, and one of `status=N`, `not-consumed=N`, `consumed=N`, `gzip`,
//! `binary`, `events`, `large`, `trailers`, `hop`, `result`, `panic`, `cut`. A call is counted when it begins, its effect when it took place:
//! always but for 4xx and `not-consumed`.

mod body;
mod directive;
mod serving;

use std::{
    collections::{HashMap, HashSet},
    io::Write as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use onceward_core::{
    header::Cookies,
    outcome::OnPanic,
    precondition::{Current, ETag, IfMatch, Preconditions, Snapshot},
    profile::Namespace,
    refusal::Refusal,
};
use serde_json::json;
use tokio::{sync::watch, time::timeout};

pub use self::{
    body::{Cut, OriginBody},
    serving::serve,
};
use self::{
    body::{Step, Wait},
    directive::{Act, Directive},
};

/// How a guard has to treat one route of the reference origin.
#[derive(Clone, Copy, Debug)]
pub struct RouteSetup {
    /// Its path; `{name}` stands for one segment.
    pub template: &'static str,
    /// The methods that are guarded.
    pub methods: &'static [&'static str],
    /// Whether a request without a key is refused (K3).
    pub is_key_required: bool,
    /// What a key is unique in (K5).
    pub namespace: Namespace,
    /// When two bodies are equal (F1).
    pub equality: Equals,
    /// How long a duplicate waits, where it is not the profile's time (W1).
    pub wait: Option<Duration>,
    /// What becomes of `Set-Cookie` (O2).
    pub cookies: Cookies,
    /// What a panic means (O5).
    pub on_panic: OnPanic,
    /// Whether a write without a precondition is refused (P2). Holding one against what is current is the origin's part.
    pub is_precondition_required: bool,
}

/// When two bodies are equal (F1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Equals {
    /// By their canonical form.
    Canonical,
    /// Byte by byte.
    Bytes,
}

/// How long a duplicate waits on `/impatient`: long enough to be told from not at all.
pub const IMPATIENT_WAIT: Duration = Duration::from_secs(1);

const WRITES: &[&str] = &["POST", "PUT", "PATCH", "DELETE"];

/// Every route with its guard. Each has onceward's profile but for what stands here.
pub const ROUTES: &[RouteSetup] = &[
    RouteSetup { template: "/orders", ..PLAIN },
    RouteSetup { template: "/payments", ..PLAIN },
    RouteSetup { template: "/strict", is_key_required: true, ..PLAIN },
    RouteSetup { template: "/till-a", namespace: Namespace::Route, ..PLAIN },
    RouteSetup { template: "/till-b", namespace: Namespace::Route, ..PLAIN },
    RouteSetup { template: "/bytes", equality: Equals::Bytes, ..PLAIN },
    RouteSetup { template: "/immediate", wait: Some(Duration::ZERO), ..PLAIN },
    RouteSetup { template: "/impatient", wait: Some(IMPATIENT_WAIT), ..PLAIN },
    RouteSetup { template: "/cookies", cookies: Cookies::Keep, ..PLAIN },
    RouteSetup { template: "/final-panic", on_panic: OnPanic::Final, ..PLAIN },
    RouteSetup { template: "/documents/{name}", methods: &["PUT"], is_precondition_required: true, ..PLAIN },
];

const PLAIN: RouteSetup = RouteSetup {
    template: "",
    methods: WRITES,
    is_key_required: false,
    namespace: Namespace::Actor,
    equality: Equals::Canonical,
    wait: None,
    cookies: Cookies::Drop,
    on_panic: OnPanic::Doubt,
    is_precondition_required: false,
};

impl RouteSetup {
    /// The route of a path.
    #[must_use]
    pub fn of(path: &str) -> Option<&'static Self> {
        let fits = |route: &&Self| match route.template.split_once('{') {
            Some((before, _)) => {
                path.strip_prefix(before).is_some_and(|name| !name.is_empty() && !name.contains('/'))
            }
            None => route.template == path,
        };
        ROUTES.iter().find(fits)
    }
}

/// Conversations that are counted; one suite has some hundred.
const RUNS_MAX: usize = 10_000;

/// Documents that have a version.
const DOCUMENTS_MAX: usize = 10_000;

/// Bytes of the answer to `large`: twice what is kept of an answer (O7).
pub const LARGE_BYTES: usize = 2 * 1024 * 1024;

/// How long something is held back at the most, so that a case that fails leaves nothing hanging.
const HOLD_TIME_MAX: Duration = Duration::from_secs(10);

/// The reference origin.
#[derive(Debug, Default)]
pub struct Reference {
    orders: AtomicU64,
    runs: Mutex<HashMap<String, Counts>>,
    versions: Mutex<HashMap<String, u64>>,
    /// The conversations that are released.
    released: watch::Sender<HashSet<String>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    effects: u64,
    calls: u64,
}

impl Reference {
    /// An origin that has booked nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The version of the document at a path; `None` where there is none.
    fn version(&self, path: &str) -> Option<u64> {
        let name = path.strip_prefix("/documents/").filter(|name| !name.is_empty())?;
        Some(self.versions.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied().unwrap_or(1))
    }

    /// Answers a request.
    pub async fn answer(&self, request: Request<Bytes>) -> Response<OriginBody> {
        match (request.method().clone(), request.uri().path()) {
            (Method::GET | Method::HEAD, "/effects") => self.counts(&request),
            (Method::GET, "/release") => self.release(&request),
            (Method::GET | Method::HEAD, path) => match self.version(path) {
                Some(version) => document(version),
                None => json(StatusCode::OK, &json!({"path": path})),
            },
            (_, path) => {
                let path = path.to_owned();
                self.write(request, &path).await
            }
        }
    }

    fn counts(&self, request: &Request<Bytes>) -> Response<OriginBody> {
        let run = asked_run(request);
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = runs.get(run).copied().unwrap_or_default();
        json(StatusCode::OK, &json!({"effects": counts.effects, "calls": counts.calls}))
    }

    fn release(&self, request: &Request<Bytes>) -> Response<OriginBody> {
        let run = asked_run(request);
        self.released.send_modify(|released| {
            if released.len() < RUNS_MAX {
                released.insert(run.to_owned());
            }
        });
        json(StatusCode::OK, &json!({"released": run}))
    }

    /// Waits until a conversation is released, or its time is over.
    fn release_of(&self, run: &str) -> Wait {
        let (mut released, run) = (self.released.subscribe(), run.to_owned());
        Box::pin(async move {
            let wait = released.wait_for(|released| released.contains(&run));
            // Either way it goes on.
            drop(timeout(HOLD_TIME_MAX, wait).await);
        })
    }

    async fn write(&self, request: Request<Bytes>, path: &str) -> Response<OriginBody> {
        let run = value(request.headers(), "x-drill-run");
        self.note(&run, |counts| counts.calls += 1);
        let told = value(request.headers(), "x-drill");
        let Some(directive) = Directive::parse(&told) else {
            return json(StatusCode::BAD_REQUEST, &json!({"x-drill": told}));
        };
        let hold = directive.is_held.then(|| self.release_of(&run));
        let (before, within) = if directive.act == Act::Events { (None, hold) } else { (hold, None) };
        if let Some(released) = before {
            released.await;
        }
        if let Some(name) = path.strip_prefix("/documents/").filter(|_| request.method() == Method::PUT) {
            return self.write_document(name, request.headers(), &run);
        }
        if directive.takes_effect() {
            self.note(&run, |counts| counts.effects += 1);
        }
        let id = self.orders.fetch_add(1, Ordering::SeqCst) + 1;
        Order { id, request: &request }.answer(directive.act, within)
    }

    /// Holds the request's preconditions against the document and makes its next version, in one step.
    fn write_document(&self, name: &str, headers: &HeaderMap, run: &str) -> Response<OriginBody> {
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        if versions.len() >= DOCUMENTS_MAX && !versions.contains_key(name) {
            return json(StatusCode::INSUFFICIENT_STORAGE, &json!({}));
        }
        let version = versions.entry(name.to_owned()).or_insert(1);
        if let Err(refusal) = preconditions(headers).and_then(|asked| asked.check(&current(*version))) {
            let problem = refusal.problem_type();
            let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::PRECONDITION_FAILED);
            return json(status, &json!({"problem": problem.slug}));
        }
        *version += 1;
        let version = *version;
        drop(versions);
        self.note(run, |counts| counts.effects += 1);
        document(version)
    }

    /// Counts for a conversation; past [`RUNS_MAX`] a new one is not counted, which its case will miss.
    fn note(&self, run: &str, count: impl FnOnce(&mut Counts)) {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if runs.len() < RUNS_MAX || runs.contains_key(run) {
            count(runs.entry(run.to_owned()).or_default());
        }
    }
}

/// An order that is answered.
struct Order<'a> {
    id: u64,
    request: &'a Request<Bytes>,
}

impl Order<'_> {
    /// Does what it is told; `released` is what the later ones of several events wait for.
    fn answer(&self, act: Act, released: Option<Wait>) -> Response<OriginBody> {
        match act {
            Act::Book => self.booked(),
            Act::Status(status) => self.with_status(status),
            Act::Consumed(status, consumed) => {
                let mut response = self.with_status(status);
                set(
                    response.headers_mut(),
                    "idempotency-key-consumed",
                    if consumed { "true" } else { "false" },
                );
                response
            }
            Act::Gzip => self.gzip(),
            Act::Binary => self.content("application/octet-stream", self.binary()),
            Act::Events => self.events(released),
            Act::Large => self.large(),
            Act::Trailers => self.trailers(),
            Act::Hop => {
                let mut response = self.booked();
                set(response.headers_mut(), "connection", "x-hop");
                set(response.headers_mut(), "x-hop", "1");
                response
            }
            Act::Result => self.result(),
            Act::Panic => fail(),
            Act::Cut => {
                let half = Bytes::from(format!("{{\"id\":{},\"half", self.id));
                let mut response = Response::new(OriginBody::steps([Step::Data(half), Step::Cut]));
                *response.status_mut() = StatusCode::CREATED;
                set(response.headers_mut(), "content-type", "application/json");
                response
            }
        }
    }

    fn booked(&self) -> Response<OriginBody> {
        match *self.request.method() {
            Method::POST => self.with_status(201),
            Method::DELETE => self.with_status(204),
            _ => self.with_status(200),
        }
    }

    fn with_status(&self, status: u16) -> Response<OriginBody> {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let has_content = !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let content = json!({
            "id": self.id,
            "method": self.request.method().as_str(),
            "body": String::from_utf8_lossy(self.request.body()),
        });
        let body =
            if has_content { OriginBody::whole(content.to_string().into()) } else { OriginBody::empty() };
        let mut response = self.content("application/json", body);
        *response.status_mut() = status;
        if status == StatusCode::UNAUTHORIZED {
            set(response.headers_mut(), "www-authenticate", "Bearer realm=\"orders\"");
        }
        response
    }

    /// 201 with the fields that every answer has.
    fn content(&self, media_type: &str, body: OriginBody) -> Response<OriginBody> {
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::CREATED;
        let headers = response.headers_mut();
        set(headers, "content-type", media_type);
        set(headers, "location", &format!("/orders/{}", self.id));
        set(headers, "etag", &format!("\"order-{}\"", self.id));
        set(headers, "x-origin", "reference");
        set(headers, "server-timing", "book;dur=1");
        add(headers, "x-part", "first");
        add(headers, "x-part", "second");
        add(headers, "set-cookie", &format!("order={}; Path=/", self.id));
        add(headers, "set-cookie", "theme=dark; Path=/");
        response
    }

    fn gzip(&self) -> Response<OriginBody> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let written = encoder.write_all(format!("{{\"id\":{}}}", self.id).as_bytes());
        let content = written.and_then(|()| encoder.finish()).unwrap_or_default();
        let mut response = self.content("application/json", OriginBody::whole(content.into()));
        set(response.headers_mut(), "content-encoding", "gzip");
        response
    }

    fn result(&self) -> Response<OriginBody> {
        let call: serde_json::Value = serde_json::from_slice(self.request.body()).unwrap_or_default();
        let result = json!({"content": [], "structuredContent": {"media_buy_id": self.id}});
        let content = json!({"jsonrpc": "2.0", "id": call.get("id"), "result": result});
        let mut response = self.content("application/json", OriginBody::whole(content.to_string().into()));
        *response.status_mut() = StatusCode::OK;
        response
    }

    /// Every byte there is, then the order's number.
    fn binary(&self) -> OriginBody {
        let mut content: Vec<u8> = (0..=255).collect();
        content.extend_from_slice(&self.id.to_be_bytes());
        OriginBody::whole(content.into())
    }

    fn events(&self, released: Option<Wait>) -> Response<OriginBody> {
        let event = |number: u32| Step::Data(format!("id: {number}\ndata: order {}\n\n", self.id).into());
        let steps = [event(1)].into_iter().chain(released.map(Step::Wait)).chain([event(2), event(3)]);
        self.content("text/event-stream", OriginBody::steps(steps))
    }

    fn large(&self) -> Response<OriginBody> {
        const FRAME_BYTES: usize = 64 * 1024;
        let frame = Bytes::from(vec![b'x'; FRAME_BYTES]);
        let frames = (0..LARGE_BYTES / FRAME_BYTES).map(|_| Step::Data(frame.clone()));
        self.content("application/octet-stream", OriginBody::steps(frames))
    }

    fn trailers(&self) -> Response<OriginBody> {
        let mut trailers = HeaderMap::new();
        set(&mut trailers, "x-sum", "9");
        let content = format!("{{\"id\":{}}}", self.id).into();
        let body = OriginBody::steps([Step::Data(content), Step::Trailers(trailers)]);
        let mut response = self.content("application/json", body);
        set(response.headers_mut(), "trailer", "x-sum");
        response
    }
}

/// Unwinds as a panic does, without the hook: a handler that fails is what was asked for, and no news to a log.
fn fail() -> Response<OriginBody> {
    std::panic::resume_unwind(Box::new("told to by x-drill"))
}

fn preconditions(headers: &HeaderMap) -> Result<Preconditions, Refusal> {
    let (tags, snapshot) = (value(headers, "if-match"), value(headers, "precondition-snapshot"));
    let if_match = (!tags.is_empty()).then(|| IfMatch::parse(&tags));
    // The documents have versions and no times.
    let snapshot = (!snapshot.is_empty()).then(|| Snapshot::parse(&snapshot, |_| None));
    Ok(Preconditions {
        if_match: if_match.transpose().map_err(Refusal::PreconditionInvalid)?,
        if_unmodified_since: None,
        snapshot: snapshot.transpose().map_err(Refusal::PreconditionInvalid)?,
    })
}

fn current(version: u64) -> Current {
    let etag = ETag::strong(&format!("v{version}")).ok();
    Current { etag, modified: None, snapshot: Some(Snapshot::Version(version)) }
}

fn document(version: u64) -> Response<OriginBody> {
    let mut response = json(StatusCode::OK, &json!({"version": version}));
    set(response.headers_mut(), "etag", &format!("\"v{version}\""));
    set(response.headers_mut(), "snapshot", &format!("version: {version}"));
    response
}

fn json(status: StatusCode, content: &serde_json::Value) -> Response<OriginBody> {
    let mut response = Response::new(OriginBody::whole(content.to_string().into()));
    *response.status_mut() = status;
    set(response.headers_mut(), header::CONTENT_TYPE.as_str(), "application/json");
    response
}

/// The conversation that a query names: `run=RUN`.
fn asked_run(request: &Request<Bytes>) -> &str {
    request.uri().query().and_then(|query| query.strip_prefix("run=")).unwrap_or_default()
}

fn value(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// Sets a field of the origin's own, all of which are valid.
fn set(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
        headers.insert(name, value);
    }
}

fn add(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
        headers.append(name, value);
    }
}
