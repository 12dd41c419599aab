//! The instances of the service, as one service.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::HOST;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response};
use http_body::Body;
use onceward_resolve::{Fetch, FetchFuture, Fetched, NotFetched, Place as LookPlace};
use onceward_tower::{Fence, Guarded};
use tokio::time::{Instant, timeout_at};
use tower_service::Service as TowerService;

use super::answer::AnswerBody;
use super::balance::{Balance, Instance};
use super::forwarded;
use super::health::Sighting;
use super::lent::{Lender, Lent, lend};
use super::limits::Times;
use super::unserved::Unserved;
use super::{GatewayConfig, GatewayError};
use crate::look::{whole, whole_body};
use crate::pass_through::with_causes;
use crate::server::RequestBody;
use crate::target::Scheme;
use crate::upstream::{
    Evidence, PrivateTargets, Unanswered, Untouched, Upstream, UpstreamBody, UpstreamConfig, UpstreamLimits,
};

/// A request body as the guard hands it on.
type Body1 = onceward_tower::RequestBody<RequestBody>;

/// Sends each request to one instance: a guarded one on a connection of its own, every other one over shared ones.
///
/// The next instance is tried only where it is proven that the one before did nothing with the request.
#[derive(Clone)]
pub(super) struct Origins(Arc<Inner>);

impl fmt::Debug for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Origins").field(&self.0.balance).finish()
    }
}

struct Inner {
    upstream: Upstream,
    balance: Balance,
    host: Option<HeaderValue>,
    times: Times,
}

impl Origins {
    fn of(config: &GatewayConfig) -> Result<Self, GatewayError> {
        if config.upstreams.is_empty() {
            return Err(GatewayError::NoUpstream);
        }
        let cleartext_http2 = config.upstreams.iter().filter(|url| url.is_cleartext_http2);
        let upstream = Upstream::new(UpstreamConfig {
            roots: config.roots.clone(),
            cleartext_http2: cleartext_http2.map(|url| url.target.clone()).collect(),
            // Whoever names an upstream means it, wherever it is.
            private_targets: PrivateTargets::Allow,
            own_addresses: config.own_addresses.clone(),
            limits: UpstreamLimits { connect: config.times.connect, ..UpstreamLimits::default() },
            ..UpstreamConfig::default()
        })?;
        let balance = Balance::new(config.upstreams.clone());
        let (host, times) = (config.upstream_host.clone(), config.times);
        Ok(Self(Arc::new(Inner { upstream, balance, host, times })))
    }

    /// The look of a resolver at the service itself, by whichever instance is next.
    async fn look(&self, request: Request<Vec<u8>>) -> Result<Fetched, NotFetched> {
        let (head, body) = whole_body(request).into_parts();
        let now = Instant::now();
        let Some(instance) = self.0.balance.candidates(now).into_iter().next() else {
            return Err(NotFetched("no instance of the service is up".to_owned()));
        };
        let head = self.addressed(&head, &instance).map_err(|error| NotFetched(error.to_string()))?;
        let _place = instance.place();
        let answered = self.0.upstream.forward(Request::from_parts(head, body)).await;
        if let Err(unanswered) = &answered {
            note(&instance, unanswered);
        }
        whole(answered).await
    }

    pub(super) fn upstream(&self) -> &Upstream {
        &self.0.upstream
    }

    pub(super) fn balance(&self) -> &Balance {
        &self.0.balance
    }

    pub(super) fn times(&self) -> &Times {
        &self.0.times
    }

    /// The `Host` of all requests, where it is not the client's.
    pub(super) fn host(&self) -> Option<&HeaderValue> {
        self.0.host.as_ref()
    }

    /// Whether each instance speaks HTTP/1.1 without TLS.
    pub(super) fn takes_plain(&self) -> bool {
        let is_plain = |instance: &Arc<Instance>| {
            instance.url.scheme == Scheme::Http && !instance.url.is_cleartext_http2
        };
        self.0.balance.instances().iter().all(is_plain)
    }

    /// The `Host` of requests to `instance` that no client has asked for.
    pub(super) fn own_host(&self, instance: &Instance) -> Result<HeaderValue, http::Error> {
        match &self.0.host {
            Some(host) => Ok(host.clone()),
            None => Ok(HeaderValue::try_from(instance.url.authority())?),
        }
    }

    async fn serve(self, request: Request<Body1>) -> Result<Response<AnswerBody>, Unserved> {
        let (head, mut body) = request.into_parts();
        let is_guarded = head.extensions.get::<Guarded>().is_some();
        let began = Instant::now();
        let mut candidates = self.0.balance.candidates(began).into_iter().peekable();
        while let Some(instance) = candidates.next() {
            let again = body.try_clone();
            let (lent, lender) = lend(body);
            let request = Request::from_parts(self.addressed(&head, &instance)?, lent);
            let end = (!is_guarded).then(|| began + self.0.times.whole);
            let place = instance.place();
            let sent = if is_guarded {
                let deadline = began + self.0.times.guarded;
                self.0.upstream.send_once(request, deadline).await.map_err(Unserved::Unanswered)
            } else {
                self.forward(request, &lender, end).await
            };
            match sent {
                Ok(response) => {
                    instance.note(Sighting::Reached, Instant::now());
                    let idle = self.0.times.body_idle;
                    return Ok(response.map(|body| AnswerBody::new(body, idle, end, place)));
                }
                Err(Unserved::Unanswered(unanswered)) => {
                    note(&instance, &unanswered);
                    if lender.is_broken() {
                        return Err(Unserved::RequestBroken);
                    }
                    let is_next = candidates.peek().is_some() && is_for_another(unanswered.evidence);
                    match again.or_else(|| lender.take_back()).filter(|_| is_next) {
                        Some(unsent) => body = unsent,
                        None => return Err(unanswered.into()),
                    }
                }
                Err(unserved) => return Err(unserved),
            }
        }
        // There is at least one candidate, and the last one's failure is returned above.
        Err(Unserved::Late)
    }

    /// Forwards a request over a shared connection, for as long as the instance may take for the head of its answer.
    async fn forward<B>(
        &self,
        request: Request<Lent<B>>,
        lender: &Lender<B>,
        end: Option<Instant>,
    ) -> Result<Response<UpstreamBody>, Unserved>
    where
        B: Body<Data = Bytes> + Unpin + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let answered = async {
            tokio::select! {
                answered = self.0.upstream.forward(request) => answered.map_err(Unserved::Unanswered),
                () = lender.stalled(self.0.times.response_head) => Err(Unserved::Late),
            }
        };
        match end {
            Some(end) => timeout_at(end, answered).await.unwrap_or(Err(Unserved::Late)),
            None => answered.await,
        }
    }

    /// The head with an instance's address, and the host that the client asked for.
    fn addressed(&self, head: &Parts, instance: &Instance) -> Result<Parts, http::Error> {
        let mut addressed = head.clone();
        let host = match &self.0.host {
            Some(host) => host.clone(),
            None => HeaderValue::try_from(forwarded::host(head))?,
        };
        addressed.headers.insert(HOST, host);
        if let Some(fence) = head.extensions.get::<Fence>() {
            addressed.headers.insert(forwarded::EPOCH, HeaderValue::from(fence.epoch().0));
        }
        let path = head.uri.path_and_query().cloned();
        addressed.uri = instance.url.uri(path.unwrap_or_else(|| PathAndQuery::from_static("/")))?;
        Ok(addressed)
    }
}

impl TowerService<Request<Body1>> for Origins {
    type Response = Response<AnswerBody>;
    type Error = Unserved;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unserved>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unserved>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body1>) -> Self::Future {
        Box::pin(self.clone().serve(request))
    }
}

/// The instances of a service and the connections to them, for whoever asks them beside a gateway: the looks of resolvers.
#[derive(Clone, Debug)]
pub struct Service(pub(super) Origins);

impl Service {
    /// The instances that a gateway is configured with. Nothing is dialled yet.
    ///
    /// # Errors
    /// When there is no upstream, or no trust to be had.
    pub fn of(config: &GatewayConfig) -> Result<Self, GatewayError> {
        Origins::of(config).map(Self)
    }
}

impl Fetch for Service {
    fn fetch(&self, request: Request<Vec<u8>>, place: LookPlace) -> FetchFuture<'_> {
        match place {
            LookPlace::Origin => Box::pin(self.0.look(request)),
            LookPlace::Elsewhere => {
                Box::pin(async { whole(self.0.upstream().forward(whole_body(request)).await).await })
            }
        }
    }
}

/// The log is where the owner finds out what the client is not told.
pub(super) fn note(instance: &Instance, unanswered: &Unanswered) {
    tracing::warn!(upstream = %instance.url, error = with_causes(unanswered), "an upstream did not answer");
    let now = Instant::now();
    match unanswered.evidence {
        Evidence::Untouched(Untouched::ConnectFailed | Untouched::TlsFailed) => {
            instance.note(Sighting::Unreachable, now);
        }
        Evidence::Untouched(
            Untouched::NothingWritten | Untouched::StreamRefused | Untouched::GoAwayBelow,
        )
        | Evidence::Unknown(_) => instance.note(Sighting::Reached, now),
        Evidence::Untouched(
            Untouched::ProxyHandshakeFailed { .. } | Untouched::TargetRefused | Untouched::LimitReached,
        ) => {}
    }
}

/// Whether another instance may fare better, where it is proven that this one did nothing.
pub(super) fn is_for_another(evidence: Evidence) -> bool {
    match evidence {
        Evidence::Untouched(
            Untouched::ConnectFailed
            | Untouched::TlsFailed
            | Untouched::NothingWritten
            | Untouched::StreamRefused
            | Untouched::GoAwayBelow,
        ) => true,
        Evidence::Untouched(
            // No proxy stands between; the others are about us, not about the instance.
            Untouched::ProxyHandshakeFailed { .. } | Untouched::TargetRefused | Untouched::LimitReached,
        )
        | Evidence::Unknown(_) => false,
    }
}
