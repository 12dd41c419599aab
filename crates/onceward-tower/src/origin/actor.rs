//! Who a key belongs to (K4).

use std::{fmt, sync::Arc};

use http::{HeaderName, header, request::Parts};
use onceward_core::{actor::Actor, refusal::Refusal};

/// Where the actor of a request comes from.
#[derive(Clone, Debug)]
pub enum ActorSource {
    /// The value of `Authorization`, whole.
    ///
    /// A client that renews its token becomes another actor by it, and its retry a new request: where tokens are renewed, take a
    /// [`Hook`](Self::Hook) that knows the principal behind them.
    Authorization,
    /// The value of a cookie.
    Cookie(Box<str>),
    /// The subject of the client's certificate, which the server put into the request's extensions as [`TlsSubject`].
    TlsSubject,
    /// A field that a server in front sets and that no client can.
    TrustedHeader(TrustedHeader),
    /// A function of the application's own.
    Hook(ActorHook),
}

/// The name of a field that a server in front sets and that no client can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedHeader(pub HeaderName);

/// The subject of a client's certificate, as the server verified it; an extension of the request.
#[derive(Clone, PartialEq, Eq)]
pub struct TlsSubject(pub Vec<u8>);

impl fmt::Debug for TlsSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsSubject(..)")
    }
}

/// A function that knows the principal of a request.
#[derive(Clone)]
pub struct ActorHook(Arc<Principal>);

type Principal = dyn Fn(&Parts) -> Result<Option<Actor>, CredentialsUnreadable> + Send + Sync;

impl ActorHook {
    /// A hook that says who asks, `None` where nobody does, and refuses credentials that it cannot read.
    ///
    /// It is called for each guarded request, before anything is read of the body, and must not wait.
    pub fn new(
        principal: impl Fn(&Parts) -> Result<Option<Actor>, CredentialsUnreadable> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(principal))
    }
}

impl fmt::Debug for ActorHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ActorHook(..)")
    }
}

/// Credentials are there and cannot be read: the request is refused, never taken for one without (K4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CredentialsUnreadable;

impl fmt::Display for CredentialsUnreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("credentials are there and cannot be read")
    }
}

impl std::error::Error for CredentialsUnreadable {}

/// What a request without credentials is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anonymous {
    /// 403 `actor-unknown`.
    Refuse,
    /// One actor that all such callers share, and with it their keys.
    Shared,
}

/// The sources of an origin, in their order.
#[derive(Debug)]
pub(super) struct Actors {
    pub(super) sources: Vec<ActorSource>,
    pub(super) anonymous: Anonymous,
}

impl Actors {
    /// The actor of a request.
    pub(super) fn of(&self, head: &Parts) -> Result<Actor, Refusal> {
        for source in &self.sources {
            match source.read(head) {
                Ok(Some(actor)) => return Ok(actor),
                Ok(None) => {}
                Err(CredentialsUnreadable) => return Err(Refusal::ActorUnknown),
            }
        }
        // Whoever sends credentials is somebody, though no source here knows who.
        if self.anonymous == Anonymous::Refuse || head.headers.contains_key(header::AUTHORIZATION) {
            return Err(Refusal::ActorUnknown);
        }
        Ok(Actor::anonymous())
    }
}

impl ActorSource {
    fn read(&self, head: &Parts) -> Result<Option<Actor>, CredentialsUnreadable> {
        match self {
            Self::Authorization => {
                Ok(only_value(head, &header::AUTHORIZATION)?.map(|value| Actor::new("authorization", value)))
            }
            Self::TrustedHeader(TrustedHeader(name)) => {
                Ok(only_value(head, name)?.map(|value| Actor::new("trusted-header", value)))
            }
            Self::Cookie(name) => Ok(cookie(head, name)?.map(|value| Actor::new("cookie", value))),
            Self::TlsSubject => {
                match head.extensions.get::<TlsSubject>() {
                    // Certificates with alternative names only have an empty subject, and would all be one actor.
                    Some(TlsSubject(subject)) if subject.is_empty() => Err(CredentialsUnreadable),
                    Some(TlsSubject(subject)) => Ok(Some(Actor::new("tls-subject", subject))),
                    None => Ok(None),
                }
            }
            Self::Hook(ActorHook(principal)) => principal(head),
        }
    }
}

/// The value of a field that may stand once: of two, one server takes the first and another the last.
fn only_value<'a>(head: &'a Parts, name: &HeaderName) -> Result<Option<&'a [u8]>, CredentialsUnreadable> {
    let mut values = head.headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) if !value.is_empty() => Ok(Some(value.as_bytes())),
        (Some(_), _) => Err(CredentialsUnreadable),
    }
}

/// The value of a cookie (RFC 6265, 4.2.1), which may stand more than once only with one value. Blanks around the name are none of it, as
/// servers have it that admit them (5.2).
fn cookie<'a>(head: &'a Parts, name: &str) -> Result<Option<&'a [u8]>, CredentialsUnreadable> {
    let mut found = None;
    for line in head.headers.get_all(header::COOKIE) {
        for pair in line.as_bytes().split(|byte| *byte == b';') {
            let Some(end) = pair.iter().position(|byte| *byte == b'=') else { continue };
            let (own, value) = pair.split_at(end);
            if own.trim_ascii() != name.as_bytes() {
                continue;
            }
            let value = value.strip_prefix(b"=").unwrap_or_default().trim_ascii();
            if value.is_empty() || found.is_some_and(|earlier| earlier != value) {
                return Err(CredentialsUnreadable);
            }
            found = Some(value);
        }
    }
    Ok(found)
}
