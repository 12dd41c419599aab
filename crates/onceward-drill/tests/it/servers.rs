//! Servers to be judged: a guard before the reference origin, the origin without one, and one that is of no use.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Collected, Full};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use onceward_core::{
    fingerprint::Equality, outcome::Policy, profile::Profile, secret::Secret, time::Timestamp,
};
use onceward_drill::{
    Guarding, Heads, Report, Subject, Suite, Target, Trust, Verdict,
    origin::{self, Equals, ROUTES, Reference, RouteSetup},
    suite,
};
use onceward_engine::{Engine, Limits, Parts, SystemEntropy};
use onceward_store::{AuditLog, Clock, Memory, MemoryLimits, Store, SystemClock};
use onceward_tower::{
    OnceLayer, OriginRules, RequestBody,
    origin::{Demand, Guarding as RouteGuarding, OriginSettings, Route},
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::TlsAcceptor;
use tower_layer::Layer;
use tower_service::Service;

/// A middleware's guard, as the suites' subject.
pub(crate) const MIDDLEWARE: Guarding = Guarding { verdict: Verdict::Handler, heads: Heads::Foreign };

/// A server on loopback; it ends with its test.
pub(crate) struct Server {
    pub(crate) target: Target,
    address: String,
    _task: JoinSet<()>,
}

impl Server {
    /// Starts what serves a listener.
    async fn start<F>(scheme: &str, serve: impl FnOnce(TcpListener) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("{scheme}://{}", listener.local_addr().unwrap());
        let mut task = JoinSet::new();
        task.spawn(serve(listener));
        Self { target: Target::parse(&address, &Trust::Anything).unwrap(), address, _task: task }
    }

    /// It as a guard before the reference origin, whatever it really is.
    pub(crate) fn subject(&self) -> Subject {
        Subject::reference(self.target.clone(), MIDDLEWARE).with_http2()
    }

    /// The same, if it shows a certificate that is trusted.
    pub(crate) fn subject_trusting(&self, trust: &Trust) -> Subject {
        Subject::reference(Target::parse(&self.address, trust).unwrap(), MIDDLEWARE).with_http2()
    }
}

/// Judges by the suite of a profile.
pub(crate) async fn judged(subject: Subject, name: &str) -> Report {
    suite::run(&subject, Suite::named(name).unwrap(), |_| ()).await.unwrap()
}

/// The reference origin with nothing before it: every request is an effect.
pub(crate) async fn naive() -> Server {
    Server::start("http", |listener| async move {
        let served = origin::serve(listener, Arc::new(Reference::new())).await;
        panic!("the origin ended: {served:?}");
    })
    .await
}

/// Answers everything alike.
pub(crate) async fn answering(status: u16, content: &'static str) -> Server {
    let service = tower::service_fn(move |_: Request<Incoming>| async move {
        let mut response = Response::new(Full::new(Bytes::from_static(content.as_bytes())));
        *response.status_mut() = status.try_into().unwrap();
        Ok::<_, Infallible>(response)
    });
    Server::start("http", |listener| serving(listener, None, service)).await
}

/// The reference origin behind the tower layer, by a profile.
pub(crate) async fn guarded(profile: Profile) -> Server {
    let service = guard(profile).await;
    Server::start("http", |listener| serving(listener, None, service)).await
}

/// The same behind TLS.
pub(crate) async fn guarded_behind(acceptor: TlsAcceptor, profile: Profile) -> Server {
    let service = guard(profile).await;
    Server::start("https", |listener| serving(listener, Some(acceptor), service)).await
}

async fn guard(
    profile: Profile,
) -> impl Service<
    Request<Incoming>,
    Response = Response<impl Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static>,
    Error = Infallible,
    Future: Send,
> + Clone
+ Send
+ 'static {
    let (rules, engine) = rules(profile).await;
    let layer = OnceLayer::new(engine, rules.clone(), rules.surface());
    let reference = Arc::new(Reference::new());
    layer.layer(tower::service_fn(move |request: Request<RequestBody<Incoming>>| {
        let reference = Arc::clone(&reference);
        async move {
            let (head, body) = request.into_parts();
            // Half a body of an unguarded request is the client's affair.
            let body = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
            Ok::<_, Infallible>(reference.answer(Request::from_parts(head, body)).await)
        }
    }))
}

async fn serving<S, B>(listener: TcpListener, acceptor: Option<TlsAcceptor>, service: S)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (service, acceptor) = (TowerToHyperService::new(service.clone()), acceptor.clone());
        connections.spawn(async move {
            let builder = Builder::new(TokioExecutor::new());
            // How a connection ends is what cases are about.
            match acceptor {
                None => drop(builder.serve_connection(TokioIo::new(stream), service).await),
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        drop(builder.serve_connection(TokioIo::new(stream), service).await);
                    }
                }
            }
        });
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

async fn rules(profile: Profile) -> (OriginRules, Engine) {
    let clock = Arc::new(SystemClock::starting_at(Timestamp::from_ms(0)));
    let store = Arc::new(Memory::new(MemoryLimits::default(), Arc::clone(&clock) as Arc<dyn Clock>));
    let parts = Parts {
        store: Arc::clone(&store) as Arc<dyn Store>,
        audit_log: store as Arc<dyn AuditLog>,
        secret: Secret::new([42; 32]),
        clock,
        entropy: Arc::new(SystemEntropy),
        limits: Limits::default(),
    };
    let engine = Engine::start(parts).await.unwrap();
    let routes = ROUTES.iter().filter(|route| profile.name == "onceward" || route.is_key_required);
    let routes = routes.map(|setup| route(setup, &profile)).collect();
    let settings = OriginSettings { routes, ..OriginSettings::of(profile) };
    (OriginRules::new(engine.clone(), settings), engine)
}

fn route(setup: &RouteSetup, profile: &Profile) -> Route {
    if profile.name != "onceward" {
        let guarding = RouteGuarding { is_key_required: setup.is_key_required, ..RouteGuarding::of(profile) };
        return Route::guarded(&[], setup.template, guarding).unwrap();
    }
    let policy = Policy {
        wait: setup.wait.unwrap_or(profile.policy.wait),
        cookies: setup.cookies,
        on_panic: setup.on_panic,
        ..profile.policy.clone()
    };
    let equality = match setup.equality {
        Equals::Canonical => profile.equality.clone(),
        Equals::Bytes => Equality::Bytes,
    };
    let guarding = RouteGuarding {
        is_key_required: setup.is_key_required,
        namespace: setup.namespace,
        equality: Arc::new(equality),
        policy: Arc::new(policy),
        precondition: if setup.is_precondition_required { Demand::Required } else { Demand::Optional },
        ..RouteGuarding::of(profile)
    };
    Route::guarded(setup.methods, setup.template, guarding).unwrap()
}
