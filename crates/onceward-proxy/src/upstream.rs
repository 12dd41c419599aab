//! The proxy's client side: how requests leave for their origins.
//!
//! [`Upstream::forward`] takes unguarded traffic over shared connections. [`Upstream::send_once`] takes guarded
//! requests, each on a connection of its own, and says of each that got no answer what is proven about it
//! ([`Evidence`]). [`Upstream::tunnel`] opens raw byte streams. No request is sent twice, unless none of it was
//! written: not by this module, and not by the libraries below it.
//!
//! # Which targets are dialled
//! Every address passes the target filter at the moment it is dialled: never one of our own listeners, and
//! non-public addresses only with [`PrivateTargets::Allow`]. With an upstream proxy the names are resolved there
//! and out of our sight: the filter then judges literal addresses and the names that are local everywhere
//! (`localhost`, `*.local`, `*.internal`, names of one label), and the proxy must refuse the rest by itself. The
//! address of the upstream proxy is the operator's choice and passes unjudged.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::UPGRADE;
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

use crate::target::{Scheme, Target};

mod body;
mod chain;
mod dial;
mod evidence;
mod filter;
mod head;
mod length;
mod limits;
mod link;
mod once;
mod plain;
mod pool;
mod session;
mod tls;
mod tunnel;
mod wire;

pub use body::{BodyCut, UpstreamBody};
pub use chain::{NoProxy, NoProxyError, ProxyUrlError, UpstreamProxy};
pub use dial::DialError;
pub use evidence::{Evidence, Unknown, Untouched};
pub use filter::{OwnAddresses, PrivateTargets};
pub use limits::UpstreamLimits;
pub(crate) use plain::{Answer, Body as PlainBody, PlainLink, Unreadable};
pub use tls::{Roots, RootsError, read_roots};
pub use tunnel::Tunnel;
pub use wire::Protocol;

use body::Held;
pub(crate) use dial::Origin;
use dial::{BoxError, Dialer, Form};
use filter::TargetFilter;
use head::BodyLength;
use link::{Failed, Link, SentBody};
use pool::{Lent, Pools};
use tls::{Offer, Tls};

/// What an [`Upstream`] is made from.
#[derive(Clone, Debug, Default)]
pub struct UpstreamConfig {
    /// Which certificates origins may show.
    pub roots: Roots,
    /// The proxy that connections go through.
    pub upstream_proxy: Option<UpstreamProxy>,
    /// The hosts that are dialled directly all the same.
    pub no_proxy: NoProxy,
    /// The targets of `http` requests that speak HTTP/2 without TLS, which has to be known beforehand (RFC 9113 section 3.3).
    pub cleartext_http2: Vec<Target>,
    /// Whether non-public addresses may be dialled.
    pub private_targets: PrivateTargets,
    /// The listeners of this program, which are never dialled.
    pub own_addresses: OwnAddresses,
    /// Limits of connections.
    pub limits: UpstreamLimits,
}

/// The trust in origins could not be set up: the platform has no roots, or a given one is not valid.
#[derive(Debug, thiserror::Error)]
#[error("trust in origins cannot be set up")]
pub struct UpstreamConfigError(#[from] rustls::Error);

/// Sends requests to their origins. Clones share connections and limits.
#[derive(Clone)]
pub struct Upstream(Arc<Shared>);

struct Shared {
    dialer: Dialer,
    pools: Pools,
    fresh: Arc<Semaphore>,
    limits: UpstreamLimits,
    tasks: TaskTracker,
}

/// A request got no answer.
#[derive(Debug, thiserror::Error)]
#[error("{evidence}")]
pub struct Unanswered {
    /// What is proven about the request.
    pub evidence: Evidence,
    #[source]
    source: BoxError,
}

impl Unanswered {
    /// Nobody can tell what became of a request.
    pub(crate) fn unknown(reason: Unknown, source: impl Into<BoxError>) -> Self {
        Self { evidence: Evidence::Unknown(reason), source: source.into() }
    }

    /// Nothing was written.
    pub(crate) fn unwritten(source: impl Into<BoxError>) -> Self {
        Self::untouched(Untouched::NothingWritten, source)
    }

    fn untouched(proof: Untouched, source: impl Into<BoxError>) -> Self {
        Self { evidence: Evidence::Untouched(proof), source: source.into() }
    }
}

impl From<DialError> for Unanswered {
    fn from(error: DialError) -> Self {
        Self::untouched(error.untouched, error.into_source())
    }
}

/// Whom a response came from. Stands in the extensions of each response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamPeer {
    /// The version of HTTP spoken.
    pub protocol: Protocol,
    /// The address of the socket's other end: the origin's, or the upstream proxy's.
    pub remote: SocketAddr,
    /// Whether an upstream proxy stands between.
    pub via_proxy: bool,
}

/// The upstream proxy wants other credentials than those it was given.
#[derive(Debug, thiserror::Error)]
#[error("the upstream proxy did not take its credentials")]
struct ProxyRefused;

impl Upstream {
    /// Sets up the client side. Nothing is dialled yet.
    ///
    /// # Errors
    /// When no trust in origins can be set up.
    pub fn new(config: UpstreamConfig) -> Result<Self, UpstreamConfigError> {
        let tasks = TaskTracker::new();
        let dialer = Dialer {
            tls: Tls::new(&config.roots)?,
            proxy: config.upstream_proxy,
            no_proxy: config.no_proxy,
            cleartext_http2: config.cleartext_http2,
            filter: TargetFilter { private_targets: config.private_targets, own: config.own_addresses },
            limits: config.limits,
        };
        Ok(Self(Arc::new(Shared {
            dialer,
            pools: Pools::new(config.limits, &tasks),
            fresh: Arc::new(Semaphore::new(config.limits.fresh_connections_max)),
            limits: config.limits,
            tasks,
        })))
    }

    /// Forwards an unguarded request with an absolute URI, over a shared connection where there is one.
    ///
    /// Both bodies stream. A request that asks for an upgrade gets a connection of its own, and its 101 is taken up
    /// with [`hyper::upgrade::on`]. Informational responses go to the callback of [`hyper::ext::on_informational`],
    /// if the request has one.
    ///
    /// # Errors
    /// [`Unanswered`]. The evidence is coarser than that of [`Upstream::send_once`]: what happened to a stream of
    /// a shared connection is not told apart.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection (HTTP/1.1) or resets the stream (HTTP/2).
    pub async fn forward<B>(&self, request: Request<B>) -> Result<Response<UpstreamBody>, Unanswered>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (parts, body) = request.into_parts();
        let origin = Origin::of(&parts.uri).map_err(DialError::from)?;
        let length = if body.is_end_stream() || body.size_hint().exact().is_some() {
            BodyLength::Known
        } else {
            BodyLength::Unknown
        };
        let request = Request::from_parts(parts, body.map_err(Into::into).boxed_unsync());
        if head::asks_upgrade(request.headers()) {
            Box::pin(self.forward_upgrade(&origin, request, length)).await
        } else {
            self.forward_shared(origin, request, length).await
        }
    }

    /// Sends a guarded request on a connection of its own: once, or provably not at all.
    ///
    /// `deadline` covers everything up to the response head. The body is read at the caller's pace; dropping the
    /// response closes the connection.
    ///
    /// # Errors
    /// [`Unanswered`] with what is proven. An answer of any status is an answer, 408 and 421 too.
    ///
    /// # Cancel safety
    /// Dropping the future closes the socket; what was sent by then stays sent.
    pub async fn send_once<B>(
        &self,
        request: Request<B>,
        deadline: Instant,
    ) -> Result<Response<UpstreamBody>, Unanswered>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (mut parts, body) = request.into_parts();
        // A guarded request wants an answer, not another protocol.
        parts.headers.remove(UPGRADE);
        let origin = Origin::of(&parts.uri).map_err(DialError::from)?;
        let permit = self.fresh_permit(deadline).await?;
        let dialed = self.0.dialer.dial(&origin, Offer::Http2AndHttp1, Some(deadline)).await?;
        let (peer, form) = (dialed.peer, dialed.form.clone());
        let method = parts.method.clone();
        let request = Request::from_parts(parts, body.map_err(Into::into).boxed_unsync());
        let request = outgoing(request, peer, &form, BodyLength::Known)?;
        let (response, fresh) = once::exchange(dialed, request, deadline, permit).await?;
        received(response, &method, &form, peer, Some(Held::Fresh(fresh)))
    }

    /// Opens a raw byte stream to `target`.
    ///
    /// # Errors
    /// [`DialError`] with the step that failed.
    pub async fn tunnel(&self, target: &Target) -> Result<Tunnel, DialError> {
        let (io, remote, _) = self.0.dialer.reach(target, None).await?;
        Ok(Tunnel::new(io, remote))
    }

    /// A connection to an origin that is known to speak HTTP/1.1 without TLS, for a plain request.
    ///
    /// # Errors
    /// [`DialError`] with the step that failed.
    pub(crate) async fn plain(&self, origin: &Origin, now: Instant) -> Result<PlainLink, DialError> {
        match self.0.pools.here().take_plain(origin, now) {
            Some(link) => Ok(link),
            None => Box::pin(self.dial_plain(origin)).await,
        }
    }

    /// A connection of the same kind that nothing was sent on.
    ///
    /// # Errors
    /// [`DialError`] with the step that failed.
    pub(crate) async fn dial_plain(&self, origin: &Origin) -> Result<PlainLink, DialError> {
        let (io, _, _) = self.0.dialer.reach(&origin.target, None).await?;
        Ok(PlainLink::new(io))
    }

    /// Takes such a connection back whose exchange was seen to its end.
    pub(crate) fn keep_plain(&self, origin: &Origin, link: PlainLink) {
        self.0.pools.here().keep_plain(origin, link);
    }

    async fn fresh_permit(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, Unanswered> {
        let until = deadline.min(Instant::now() + self.0.limits.fresh_wait);
        let acquired = timeout_at(until, Arc::clone(&self.0.fresh).acquire_owned());
        let limit_reached = |error: BoxError| Unanswered::untouched(Untouched::LimitReached, error);
        acquired
            .await
            .map_err(|elapsed| limit_reached(elapsed.into()))?
            .map_err(|closed| limit_reached(closed.into()))
    }

    /// The connection has a task of its own, which hands it over once the protocol has switched.
    async fn forward_upgrade(
        &self,
        origin: &Origin,
        request: Request<SentBody>,
        length: BodyLength,
    ) -> Result<Response<UpstreamBody>, Unanswered> {
        let method = request.method().clone();
        let dialed = self.0.dialer.dial(origin, Offer::Http1, None).await?;
        let (peer, form) = (dialed.peer, dialed.form);
        let request = outgoing(request, peer, &form, length)?;
        let mut sender = session::http1(dialed.io, &self.0.tasks).await.map_err(unbegun)?;
        let response = sender
            .try_send_request(request)
            .await
            .map_err(|error| unsent(error.message().is_some(), error.into_error()))?;
        received(response, &method, &form, peer, None)
    }

    async fn forward_shared(
        &self,
        origin: Origin,
        mut request: Request<SentBody>,
        length: BodyLength,
    ) -> Result<Response<UpstreamBody>, Unanswered> {
        let (uri, method) = (request.uri().clone(), request.method().clone());
        let mut link = self.link(&origin, &method).await?;
        loop {
            request = outgoing(request, link.peer, &link.form, length)?;
            let Failed { error, request: handed_back } = match link.send(request).await {
                Ok(response) => return self.shared_response(origin, &method, link, response),
                Err(failed) => failed,
            };
            match handed_back {
                // The connection closed while it was unused, and nothing was written: a new one takes the request.
                Some(unwritten) if link.is_reused => request = unwritten,
                handed_back => return Err(unsent(handed_back.is_some(), error)),
            }
            request.uri_mut().clone_from(&uri);
            link = Box::pin(self.begin(&origin)).await?;
            self.0.pools.here().note(&origin, &link);
        }
    }

    fn shared_response(
        &self,
        origin: Origin,
        method: &Method,
        mut link: Link,
        response: Response<Incoming>,
    ) -> Result<Response<UpstreamBody>, Unanswered> {
        link.is_spent = length::is_framed_twice(response.headers());
        let (peer, form) = (link.peer, link.form.clone());
        let held = if peer.protocol == Protocol::Http2 {
            Some(Held::Shared(link))
        } else if link.is_sending() {
            self.0.pools.here().finish(origin, link);
            None
        } else if response.body().is_end_stream() {
            self.0.pools.here().give_back(origin, link);
            None
        } else {
            Some(Held::Lent(Lent::new(link, origin, Arc::clone(self.0.pools.here()))))
        };
        received(response, method, &form, peer, held)
    }

    /// A pooled connection, or else a new one.
    async fn link(&self, origin: &Origin, method: &Method) -> Result<Link, Unanswered> {
        match self.0.pools.here().take(origin, method) {
            Some(link) => Ok(link),
            // Boxed, as all that dials: each request would carry the room for it about.
            None => Box::pin(self.new_link(origin, method)).await,
        }
    }

    async fn new_link(&self, origin: &Origin, method: &Method) -> Result<Link, Unanswered> {
        let _gate = match origin.scheme {
            Scheme::Http => None,
            Scheme::Https => self.0.pools.here().gate(origin).await,
        };
        if let Some(link) = self.0.pools.here().take(origin, method) {
            return Ok(link);
        }
        let link = self.begin(origin).await?;
        self.0.pools.here().note(origin, &link);
        Ok(link)
    }

    async fn begin(&self, origin: &Origin) -> Result<Link, Unanswered> {
        let dialed = self.0.dialer.dial(origin, Offer::Http2AndHttp1, None).await?;
        Link::begin(dialed, &self.0.tasks).await.map_err(unbegun)
    }
}

/// HTTP could not be begun on a new connection.
fn unbegun(error: hyper::Error) -> Unanswered {
    Unanswered::untouched(Untouched::NothingWritten, error)
}

/// What a failure on a shared connection proves: hyper hands a request back if none of it was written.
fn unsent(is_handed_back: bool, error: hyper::Error) -> Unanswered {
    let evidence = if is_handed_back {
        Evidence::Untouched(Untouched::NothingWritten)
    } else if error.is_parse() {
        Evidence::Unknown(Unknown::AnswerUnreadable)
    } else {
        Evidence::Unknown(Unknown::BrokeAfterSend)
    };
    Unanswered { evidence, source: error.into() }
}

/// Makes a request with an absolute URI one for a connection.
fn outgoing<B>(
    request: Request<B>,
    peer: UpstreamPeer,
    form: &Form,
    length: BodyLength,
) -> Result<Request<B>, Unanswered> {
    let (head, body) = request.into_parts();
    let head = head::for_origin(head, peer.protocol, form, length);
    let head = head.map_err(|error| Unanswered::untouched(Untouched::NothingWritten, error))?;
    Ok(Request::from_parts(head, body))
}

fn received(
    response: Response<Incoming>,
    method: &Method,
    form: &Form,
    peer: UpstreamPeer,
    held: Option<Held>,
) -> Result<Response<UpstreamBody>, Unanswered> {
    let status = response.status();
    if matches!(form, Form::Absolute { .. }) && status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        // A challenge is about our hop to the proxy, which then forwarded nothing (RFC 9110 section 15.5.8). The
        // browser's credentials are for us: it must not see this.
        let proof = Untouched::ProxyHandshakeFailed { status: Some(status.as_u16()) };
        return Err(Unanswered::untouched(proof, ProxyRefused));
    }
    let mut response = UpstreamBody::of(response, method, peer.protocol, held);
    length::settle(response.headers_mut());
    head::strip_response(response.headers_mut(), status);
    if peer.protocol == Protocol::Http1 {
        // An intermediary states its own version, not the 1.0 of an origin (RFC 9110 section 6.2).
        *response.version_mut() = Version::HTTP_11;
    }
    response.extensions_mut().insert(peer);
    Ok(response)
}
