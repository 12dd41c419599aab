//! Who may ask what (S5): the checks between a door and the routes.
//!
//! [`known_host`] stands before everything, [`trusted`] before all but the probes and the problem pages. The two and the door that marks
//! a request with its [`Entrance`] are the whole of it: no route checks anything of this again.

use std::{fmt, net::IpAddr, net::SocketAddr, sync::Arc};

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderValue, Method, Uri,
    header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, ORIGIN, X_CONTENT_TYPE_OPTIONS},
    uri::Authority,
};
use tokio::time::timeout;

use crate::{limits::REQUEST_TIME_MAX, refused::Refused, token::Token};

/// How a request came in. The doors alone make these.
#[derive(Clone, Debug)]
pub(crate) enum Entrance {
    /// Over the Unix socket, by a process of this user.
    Unix {
        /// The process's user.
        uid: u32,
    },
    /// Over TCP.
    Tcp {
        /// The address that the connection reached.
        local: SocketAddr,
        /// What its door asks for.
        terms: Arc<TcpTerms>,
    },
}

/// What a TCP door asks for.
#[derive(Debug)]
pub(crate) struct TcpTerms {
    pub(crate) token: Token,
    /// Host names that are its own beside those of loopback, lower-case.
    pub(crate) names: Vec<String>,
}

impl fmt::Display for Entrance {
    /// Whom an audit line names as the source of a verdict.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix { uid } => write!(f, "user {uid} on the control socket"),
            Self::Tcp { .. } => f.write_str("a bearer of the control token"),
        }
    }
}

/// Refuses what came through no door or asks for another server, and keeps answers out of caches and the clock running.
pub(crate) async fn known_host(request: Request, next: Next) -> Response {
    let checked = match request.extensions().get::<Entrance>() {
        None => Err(Refused::NoDoor),
        Some(Entrance::Unix { .. }) => Ok(()),
        Some(Entrance::Tcp { local, terms }) => {
            check_host(request.headers(), request.uri(), *local, &terms.names)
        }
    };
    let mut response = match checked {
        Err(refused) => refused.into_response(),
        Ok(()) => timeout(REQUEST_TIME_MAX, next.run(request))
            .await
            .unwrap_or_else(|_elapsed| Refused::TooSlow.into_response()),
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Refuses pages of other origins, callers without the token, and changes that are not said to be JSON.
pub(crate) async fn trusted(request: Request, next: Next) -> Response {
    let checked = request
        .extensions()
        .get::<Entrance>()
        .ok_or(Refused::NoDoor)
        .and_then(|entrance| check_trust(entrance, request.method(), request.headers()));
    match checked {
        Err(refused) => {
            tracing::warn!(reason = %refused, "control request refused");
            refused.into_response()
        }
        Ok(()) => next.run(request).await,
    }
}

/// A rebound name reaches this address and still is the attacker's name, so only names that nobody else can own pass.
fn check_host(headers: &HeaderMap, uri: &Uri, local: SocketAddr, names: &[String]) -> Result<(), Refused> {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(Refused::HostForeign) };
    let host = Authority::try_from(host.as_bytes()).or(Err(Refused::HostForeign))?;
    let same_target = uri.authority().is_none_or(|target| *target == host);
    if same_target && is_own(&host, local, names) { Ok(()) } else { Err(Refused::HostForeign) }
}

fn is_own(host: &Authority, local: SocketAddr, names: &[String]) -> bool {
    /// The port that a Host field leaves out.
    const HTTP_PORT: u16 = 80;
    if host.as_str().contains('@') {
        return false;
    }
    let name = host.host().to_ascii_lowercase();
    if names.contains(&name) {
        // A forwarded port may differ from ours; the name is what a page cannot forge.
        return true;
    }
    if host.port_u16().unwrap_or(HTTP_PORT) != local.port() {
        return false;
    }
    let literal = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let own = local.ip().to_canonical();
    name == "localhost"
        || literal.is_ok_and(|ip| ip == own || ip == IpAddr::from([127, 0, 0, 1]) || ip == IPV6_LOOPBACK)
}

const IPV6_LOOPBACK: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

fn check_trust(entrance: &Entrance, method: &Method, headers: &HeaderMap) -> Result<(), Refused> {
    if !is_own_page(entrance, headers) {
        return Err(Refused::OriginForeign);
    }
    if let Entrance::Tcp { terms, .. } = entrance {
        check_token(&terms.token, headers)?;
    }
    let is_change = !matches!(*method, Method::GET | Method::HEAD);
    if is_change && !is_json(headers) { Err(Refused::NotJson) } else { Ok(()) }
}

/// Whether no page sent this, or one of ours (RFC 6454; Fetch Metadata). No page has an origin on a Unix socket.
fn is_own_page(entrance: &Entrance, headers: &HeaderMap) -> bool {
    let host = match entrance {
        Entrance::Unix { .. } => None,
        Entrance::Tcp { .. } => headers.get(HOST).and_then(|host| host.to_str().ok()),
    };
    let is_own_origin = |origin: &HeaderValue| {
        let authority = origin
            .to_str()
            .ok()
            .and_then(|origin| origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")));
        authority.zip(host).is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host))
    };
    let is_own_site = |site: &HeaderValue| site == "same-origin" || site == "none";
    headers.get_all(ORIGIN).iter().all(is_own_origin)
        && headers.get_all("sec-fetch-site").iter().all(is_own_site)
}

pub(crate) fn check_token(token: &Token, headers: &HeaderMap) -> Result<(), Refused> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Err(Refused::TokenMissing) };
    // RFC 9110, 11.1: the scheme's case does not count.
    let shown = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, shown)| shown);
    match shown {
        None => Err(Refused::TokenMissing),
        Some(shown) if token.is(shown) && values.next().is_none() => Ok(()),
        Some(_) => Err(Refused::TokenWrong),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let essence = value.to_str().ok().and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, middleware::from_fn, routing::get};
    use http::StatusCode;
    use tower_service::Service as _;

    use super::*;

    // covers: S5
    #[tokio::test]
    async fn what_came_through_no_door_is_refused_by_each_check_alone() {
        let route = || Router::new().route("/", get(|| async { "told" }));
        for mut router in [route().layer(from_fn(known_host)), route().layer(from_fn(trusted))] {
            let response = router.call(Request::new(Body::empty())).await.unwrap();
            assert_eq!(response.status(), StatusCode::FORBIDDEN);
        }
    }
}
