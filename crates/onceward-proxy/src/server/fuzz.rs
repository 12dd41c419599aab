//! What comes through the gate to hyper, for the targets of `fuzz/`.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::CONNECTION;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::HeadFault;
use super::activity::Activity;
use super::body::Counted;
use super::gate::Gate;
use super::head;
use super::plain::{self, PLAIN};
use super::serve;
use super::sniff::{Speech, speech};
use crate::limits::Limits;

/// A request as it is handed to the service.
#[derive(Debug)]
pub struct Message {
    /// Its head.
    pub head: Parts,
    /// Its body; `None` where that broke off.
    pub body: Option<Bytes>,
}

/// Serves a connection as [`Server`](super::Server) does, with empty answers, and tells what was asked on it: each request, or why
/// its head was refused. Every switch of protocols and every tunnel is declined.
pub async fn messages<I>(io: I) -> Vec<Result<Message, HeadFault>>
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let limits = Limits::default();
    let activity = Arc::<Activity>::default();
    let gate = Gate::new(io, Arc::clone(&activity), limits);
    let ledger = gate.ledger();
    let seen = Mutex::new(Vec::new());
    let service = service_fn(|request: Request<Incoming>| {
        let (place, in_flight) = (ledger.begin(), activity.begin());
        let (ledger, seen) = (&ledger, &seen);
        async move {
            let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
            let message = match place {
                Ok(place) => {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.ok().map(|body| body.to_bytes());
                    ledger.decide(place, false);
                    Ok(Message { head, body })
                }
                Err(fault) => Err(fault),
            };
            if message.as_ref().map_or(true, |message| message.head.method == Method::CONNECT) {
                *response.status_mut() = StatusCode::BAD_REQUEST;
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(message);
            Ok::<_, Infallible>(response.map(|body| Counted::new(body, in_flight)))
        }
    });
    let connection = serve::http1_builder(&limits).serve_connection(TokioIo::new(gate), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "the connection broke off");
    }
    seen.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// The head of a request that is read the short way, without hyper; `None` where it goes the general one.
#[must_use]
pub fn plain_head(head: &Bytes) -> Option<Parts> {
    let is_plain = head::end(head, 0) == Ok(Some(head.len()))
        && head::judge(head, Limits::default().head_fields_max) == Ok(PLAIN);
    plain::read(head).filter(|_| is_plain).map(|(head, _is_last)| head)
}

/// What the first bytes of a tunnel are; `None` while more of them are needed.
#[must_use]
pub fn spoken(bytes: &[u8]) -> Option<&'static str> {
    match speech(bytes) {
        Speech::Tls => Some("TLS"),
        Speech::Http1 => Some("HTTP/1"),
        Speech::Http2 => Some("HTTP/2"),
        Speech::Other => Some("other"),
        Speech::Unclear => None,
    }
}
