//! The gateway: what stands in front of a service, in the name of those who own it.
//!
//! It shares the server side and the client side with the forward proxy. Between them stands the same guard, under rules that
//! know the service: a request is claimed before it leaves for an instance, and of the instances exactly one gets it.

mod address;
mod answer;
mod balance;
mod certificate;
mod check;
mod direct;
mod forwarded;
mod health;
mod lent;
mod limits;
mod origins;
mod rules;
mod trusted;
mod unserved;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::sync::Arc;

use http::header::CONNECTION;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::BodyExt;
use onceward_engine::Engine;
use onceward_tower::{Once, OnceLayer, Rules, Surface};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower_layer::Layer as _;
use tower_service::Service as _;

pub use self::address::{UpstreamUrl, UpstreamUrlError};
pub use self::certificate::{Certificate, CertificateError};
pub use self::check::HealthCheck;
use self::forwarded::Client;
pub use self::limits::Times;
use self::origins::Origins;
pub use self::origins::Service;
pub use self::rules::guarding_of;
use self::rules::{AtGateway, Suspicion};
pub use self::trusted::{Network, NetworkError, TrustedProxies};
use crate::limits::Limits;
use crate::pages::page;
use crate::server::{ConnectionInfo, Exchange, Left, PlainClient, ProxyBody, Report, RequestBody, Server};
use crate::session::Session;
use crate::target::Target;
use crate::upstream::{OwnAddresses, Roots, Tunnel, UpstreamConfigError};
use crate::workers::Workers;

/// What a [`Gateway`] is made from.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// The instances of the service, at least one.
    pub upstreams: Vec<UpstreamUrl>,
    /// The `Host` that the service is asked for; `None` passes on what the client asked for.
    pub upstream_host: Option<HeaderValue>,
    /// Which certificates the instances may show.
    pub roots: Roots,
    /// How instances are asked whether they are well; `None` leaves it at what requests find out.
    pub health: Option<HealthCheck>,
    /// Whose word about the client is taken.
    pub trusted_proxies: TrustedProxies,
    /// Under which certificate clients are served; `None` serves them without TLS.
    pub certificate: Option<Arc<Certificate>>,
    /// The listeners of this program, which are no upstreams.
    pub own_addresses: OwnAddresses,
    /// How long the steps of an exchange may take.
    pub times: Times,
    /// Limits of clients' connections.
    pub limits: Limits,
}

impl GatewayConfig {
    /// A gateway before these instances, as users get it without further words.
    #[must_use]
    pub fn of(upstreams: Vec<UpstreamUrl>) -> Self {
        Self {
            upstreams,
            upstream_host: None,
            roots: Roots::default(),
            health: None,
            trusted_proxies: TrustedProxies::default(),
            certificate: None,
            own_addresses: OwnAddresses::default(),
            times: Times::default(),
            limits: Limits::default(),
        }
    }
}

/// Why a gateway cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// There is nothing to stand in front of.
    #[error("a gateway needs an upstream")]
    NoUpstream,
    /// The trust in the instances' certificates.
    #[error(transparent)]
    Upstream(#[from] UpstreamConfigError),
    /// Our own TLS.
    #[error("tls cannot be set up")]
    Tls(#[from] rustls::Error),
}

/// Serves clients in the place of a service, and lets each guarded request reach it once.
pub struct Gateway<R> {
    exchange: GatewayExchange<R>,
    health: Option<HealthCheck>,
    certificate: Option<Arc<Certificate>>,
    limits: Limits,
    tls: Option<Arc<ServerConfig>>,
    workers: Option<Arc<Workers>>,
}

impl<R: Rules> Gateway<R> {
    /// A gateway under these rules, listening nowhere yet. What it sees of its instances is among the engine's metrics.
    ///
    /// # Errors
    /// When there is no upstream, or no trust or TLS to be had.
    pub fn new(
        config: GatewayConfig,
        engine: Engine,
        rules: R,
        surface: Surface,
    ) -> Result<Self, GatewayError> {
        let service = Service::of(&config)?;
        Self::over(service, config, engine, rules, surface)
    }

    /// The same over instances whose connections others use, too: the looks of resolvers.
    ///
    /// # Errors
    /// When there is no TLS to be had.
    pub fn over(
        service: Service,
        config: GatewayConfig,
        engine: Engine,
        rules: R,
        surface: Surface,
    ) -> Result<Self, GatewayError> {
        let Service(origins) = service;
        let instances = origins.balance().instances().to_vec();
        engine.telemetry().watch_upstreams(move || {
            let now = Instant::now();
            instances.iter().map(|instance| instance.seen(now)).collect()
        });
        let rules = AtGateway(rules);
        let once = OnceLayer::new(engine.clone(), rules.clone(), surface).layer(origins.clone());
        let tls = config.certificate.as_ref().map(Certificate::server_config).transpose()?;
        let trusted_proxies = Arc::new(config.trusted_proxies);
        Ok(Self {
            exchange: GatewayExchange { engine, once, rules, origins, trusted_proxies },
            health: config.health,
            certificate: config.certificate,
            limits: config.limits,
            tls,
            workers: None,
        })
    }

    /// Serves connections on these threads; see [`Server::on`].
    #[must_use]
    pub fn on(self, workers: Arc<Workers>) -> Self {
        Self { workers: Some(workers), ..self }
    }

    /// Serves a listener until `shutdown` is cancelled; see [`Server::run`].
    ///
    /// # Cancel safety
    /// Dropping the future stops accepting and cuts all connections. Guarded requests that are under way belong to the engine.
    ///
    /// # Errors
    /// When the listener has no address.
    pub async fn run(self, listener: TcpListener, shutdown: CancellationToken) -> io::Result<Report> {
        let server = Server::for_origin(self.limits, self.tls.clone());
        let server = match self.workers {
            Some(workers) => server.on(workers),
            None => server,
        };
        let origins = self.exchange.origins.clone();
        let serving = server.run(listener, Session::new(""), self.exchange, shutdown);
        let checking = async {
            match &self.health {
                Some(health) => health.run(&origins).await,
                None => std::future::pending().await,
            }
        };
        let following = async {
            match &self.certificate {
                Some(certificate) => certificate.follow().await,
                None => std::future::pending::<Infallible>().await,
            }
        };
        tokio::select! {
            report = serving => report,
            never = checking => match never {},
            never = following => match never {},
        }
    }
}

impl<R> fmt::Debug for Gateway<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Runs each guarded request once and passes every other one on.
#[derive(Clone)]
struct GatewayExchange<R> {
    engine: Engine,
    once: Once<Origins, AtGateway<R>>,
    rules: AtGateway<R>,
    origins: Origins,
    trusted_proxies: Arc<TrustedProxies>,
}

impl<R: Rules> Exchange for GatewayExchange<R> {
    type Tunnel = Tunnel;

    async fn call(&self, request: Request<RequestBody>) -> Response<ProxyBody> {
        let (mut head, body) = request.into_parts();
        let accepts = accepted(&head.headers);
        if let Some(info) = head.extensions.get::<Arc<ConnectionInfo>>() {
            let client = Client { peer: info.peer, scheme: info.via.scheme() };
            if let Err(ambiguous) = forwarded::tell(&mut head, client, &self.trusted_proxies) {
                return unserved::refusal(ambiguous, &accepts);
            }
        }
        let suspicion = Suspicion::default();
        head.extensions.insert(suspicion.clone());
        let mut response = match self.once.clone().call(Request::from_parts(head, body)).await {
            Ok(response) => response.map(BodyExt::boxed_unsync),
            Err(unserved) => unserved.page(&accepts),
        };
        if suspicion.is_raised() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    async fn answer_plain<I>(&self, client: &mut PlainClient<I>) -> Left
    where
        I: AsyncRead + AsyncWrite + Send + Unpin,
    {
        self.pass_plain(client).await
    }

    /// The server refuses a `CONNECT` by its head.
    async fn tunnel(&self, _: &Session, _: &Target) -> Result<Tunnel, Response<ProxyBody>> {
        Err(page(http::StatusCode::BAD_REQUEST, "this server opens no tunnels", &HeaderMap::new()))
    }
}

/// The fields that decide in which form an answer of our own is.
fn accepted(request: &HeaderMap) -> HeaderMap {
    let accepts = request.get_all(http::header::ACCEPT).iter();
    accepts.map(|value| (http::header::ACCEPT, value.clone())).collect()
}
