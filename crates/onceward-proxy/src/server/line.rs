//! The service of one connection: whose a request is, where it goes, and what is said when it goes nowhere.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::FutureExt as _;
use http::header::{ACCEPT, CONNECTION, HOST, PROXY_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body as _, Incoming};
use hyper::service::Service;

use super::activity::{Activity, InFlight};
use super::address::{self, Destination};
use super::body::{Counted, ProxyBody, RequestBody};
use super::gate::Ledger;
use super::head::HeadFault;
use super::listener::Listener;
use super::{ConnectionInfo, Exchange, Front, Via, hop, upgrade};
use crate::connect;
use crate::limits::Limits;
use crate::pages::page;
use crate::session::{AccessDenied, Session};
use crate::target::{Scheme, Target};

/// What is known of a connection, or of the inside of a tunnel.
pub(crate) struct Line<E> {
    listener: Arc<Listener<E>>,
    info: Arc<ConnectionInfo>,
    /// Inside of a tunnel the session is that of its `CONNECT`.
    session: Option<Session>,
    activity: Arc<Activity>,
}

impl<E: Exchange> Line<E> {
    /// A connection to the server's port.
    pub(super) fn first(listener: Arc<Listener<E>>, peer: SocketAddr) -> Self {
        let via = match &listener.front {
            Front::Proxy(_) => Via::Proxy,
            Front::Origin(_) => {
                let scheme = if listener.front.tls().is_some() { Scheme::Https } else { Scheme::Http };
                Via::Gateway { scheme }
            }
        };
        let info = ConnectionInfo { peer, local: listener.local, via };
        Self { listener, info: Arc::new(info), session: None, activity: Arc::default() }
    }

    /// The inside of a tunnel that was opened on this line.
    pub(crate) fn inside(&self, via: Via, session: Session) -> Self {
        let info = ConnectionInfo { via, ..(*self.info).clone() };
        let listener = Arc::clone(&self.listener);
        Self { listener, info: Arc::new(info), session: Some(session), activity: Arc::default() }
    }

    pub(crate) fn listener(&self) -> &Arc<Listener<E>> {
        &self.listener
    }

    pub(crate) fn limits(&self) -> &Limits {
        self.listener.limits()
    }

    pub(super) fn info(&self) -> &Arc<ConnectionInfo> {
        &self.info
    }

    pub(super) fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.activity)
    }

    /// Counts one more request on this line, until dropped.
    pub(crate) fn begin(&self) -> InFlight {
        self.activity.begin()
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<ProxyBody> {
        let fields = accepted(request.headers());
        match self.dispatch(request).await {
            Ok(response) => response,
            Err(Refused::Head(fault)) => refusal(fault, &fields),
            Err(Refused::Access(denied)) => denial(denied, &fields),
        }
    }

    async fn dispatch(&self, request: Request<Incoming>) -> Result<Response<ProxyBody>, Refused> {
        let (parts, body) = request.into_parts();
        let destination = address::destination(&parts, &self.info.via, self.listener.local)?;
        let takes_no_body = matches!(parts.method, Method::GET | Method::HEAD | Method::TRACE);
        if takes_no_body && !body.is_end_stream() {
            return Err(HeadFault::BodyUnexpected.into());
        }
        let session = match (&self.session, &self.listener.front) {
            (Some(session), _) => session.clone(),
            (None, Front::Proxy(config)) => config.access.session(&parts.headers, &self.listener.session)?,
            (None, Front::Origin(_)) => self.listener.session.clone(),
        };
        match (destination, &self.listener.front) {
            (Destination::Own, Front::Proxy(config)) => {
                let body = RequestBody::new(body, self.limits().body_idle_time);
                Ok((config.own_page)(Request::from_parts(parts, body)).await)
            }
            (Destination::Tunnel(target), Front::Proxy(config)) => {
                let request = Request::from_parts(parts, body);
                Ok(Box::pin(connect::open(self, config, request, target, session)).await)
            }
            (Destination::Own | Destination::Tunnel(_), Front::Origin(_)) => {
                Err(HeadFault::ConnectRefused.into())
            }
            (Destination::Origin(..), Front::Origin(_)) if asks_the_server(&parts) => Ok(server_options()),
            (Destination::Origin(scheme, target), _) => {
                self.exchange(Request::from_parts(parts, body), scheme, &target, session).await
            }
        }
    }

    async fn exchange(
        &self,
        mut request: Request<Incoming>,
        scheme: Scheme,
        target: &Target,
        session: Session,
    ) -> Result<Response<ProxyBody>, Refused> {
        let switches = hop::asks_to_switch(request.version(), request.headers());
        hop::strip_request(request.headers_mut(), switches)?;
        *request.uri_mut() = address::absolute(request.uri(), request.headers().get(HOST), scheme, target)?;
        let client = switches.then(|| hyper::upgrade::on(&mut request));
        request.extensions_mut().insert(session);
        request.extensions_mut().insert(Arc::clone(&self.info));

        let fields = accepted(request.headers());
        let idle_time = self.limits().body_idle_time;
        let call = self.listener.exchange.call(request.map(|body| RequestBody::new(body, idle_time)));
        let Ok(response) = AssertUnwindSafe(call).catch_unwind().await else {
            return Ok(failed(&fields));
        };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(upgrade::connect(&self.listener, client, response, &fields));
        }
        Ok(response)
    }
}

impl<E> Clone for Line<E> {
    fn clone(&self) -> Self {
        Self {
            listener: Arc::clone(&self.listener),
            info: Arc::clone(&self.info),
            session: self.session.clone(),
            activity: Arc::clone(&self.activity),
        }
    }
}

/// Whether a request is about the server, not about anything that it serves: `OPTIONS *` (RFC 9110 section 9.3.7).
fn asks_the_server(head: &Parts) -> bool {
    head.method == Method::OPTIONS && head.uri.path_and_query().is_some_and(|path| path == "*")
}

/// Answered here: instances differ in whether they know the target at all, and a proxy that knows it as `/` has read another
/// request. As they also differ in what they take to follow it, nothing does.
fn server_options() -> Response<ProxyBody> {
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

enum Refused {
    Head(HeadFault),
    Access(AccessDenied),
}

impl From<HeadFault> for Refused {
    fn from(fault: HeadFault) -> Self {
        Self::Head(fault)
    }
}

impl From<AccessDenied> for Refused {
    fn from(denied: AccessDenied) -> Self {
        Self::Access(denied)
    }
}

/// What a page asks of its request.
fn accepted(request: &HeaderMap) -> HeaderMap {
    request.get_all(ACCEPT).iter().map(|types| (ACCEPT, types.clone())).collect()
}

/// The answer to a request in whose handling something panicked.
pub(crate) fn failed(request: &HeaderMap) -> Response<ProxyBody> {
    let detail = "the proxy failed while it handled the request; whether the site has acted is not known";
    page(StatusCode::INTERNAL_SERVER_ERROR, detail, request)
}

/// What follows a refused head cannot be trusted to be a head, so the connection ends.
fn refusal(fault: HeadFault, request: &HeaderMap) -> Response<ProxyBody> {
    let mut detail = fault.to_string();
    if let Some(source) = std::error::Error::source(&fault) {
        detail = format!("{detail}: {source}");
    }
    let mut response = page(fault.status(), &detail, request);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn denial(denied: AccessDenied, request: &HeaderMap) -> Response<ProxyBody> {
    let mut response = page(StatusCode::PROXY_AUTHENTICATION_REQUIRED, &denied.to_string(), request);
    let challenge = HeaderValue::from_static("Basic realm=\"onceward\", charset=\"UTF-8\"");
    response.headers_mut().insert(PROXY_AUTHENTICATE, challenge);
    response
}

/// A line as hyper calls it.
pub(super) struct LineService<E> {
    line: Line<E>,
    /// HTTP/1 only: what the gate knows of each request.
    ledger: Option<Arc<Ledger>>,
}

impl<E: Exchange> LineService<E> {
    pub(super) fn http1(line: Line<E>, ledger: Arc<Ledger>) -> Self {
        Self { line, ledger: Some(ledger) }
    }

    pub(super) fn http2(line: Line<E>) -> Self {
        Self { line, ledger: None }
    }
}

impl<E: Exchange> Service<Request<Incoming>> for LineService<E> {
    type Response = Response<Counted>;
    type Error = Infallible;
    // Boxed: the inside of a tunnel is served by this same service, so that its type would contain itself.
    type Future = Pin<Box<dyn Future<Output = Result<Response<Counted>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let line = self.line.clone();
        let in_flight = line.begin();
        let ledger = self.ledger.clone();
        let place = ledger.as_ref().map(|ledger| ledger.begin());
        Box::pin(async move {
            let method = request.method().clone();
            let mut response = match place {
                Some(Err(fault)) => refusal(fault, &HeaderMap::new()),
                Some(Ok(_)) | None => line.answer(request).await,
            };
            if let (Some(ledger), Some(Ok(place))) = (&ledger, place) {
                ledger.decide(place, response.status() == StatusCode::SWITCHING_PROTOCOLS);
            }
            match ledger {
                Some(_) => finish_http1(&mut response, &method),
                // RFC 9113, section 8.2.2: no connection fields in HTTP/2.
                None => drop(response.headers_mut().remove(CONNECTION)),
            }
            Ok(response.map(|body| Counted::new(body, in_flight)))
        })
    }
}

fn finish_http1(response: &mut Response<ProxyBody>, method: &Method) {
    // hyper would answer in the version of the origin's answer.
    *response.version_mut() = Version::HTTP_11;
    if *method == Method::CONNECT && !response.status().is_success() {
        // The gate lets what follows a CONNECT pass unjudged.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}
