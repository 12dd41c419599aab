//! From a target to a stream on which HTTP, or anything else, can be spoken.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderValue, Uri};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::UpstreamPeer;
use super::chain::{self, ConnectError, NoProxy, UpstreamProxy};
use super::evidence::Untouched;
use super::filter::{TargetFilter, TargetRefusal};
use super::limits::UpstreamLimits;
use super::tls::{Offer, Tls};
use super::wire::{Meter, Metered, Protocol};
use crate::target::{Host, Scheme, Target};

mod eyeballs;

/// A source of an error, of any kind.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A byte stream in both directions.
pub(super) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

pub(super) type BoxIo = Box<dyn Io>;

/// No connection came about, and nothing of a request was sent.
#[derive(Debug, thiserror::Error)]
#[error("{untouched}")]
pub struct DialError {
    /// The step that failed.
    pub untouched: Untouched,
    #[source]
    source: BoxError,
}

impl DialError {
    pub(super) fn new(untouched: Untouched, source: impl Into<BoxError>) -> Self {
        Self { untouched, source: source.into() }
    }

    pub(super) fn into_source(self) -> BoxError {
        self.source
    }
}

impl From<TargetRefusal> for DialError {
    fn from(refusal: TargetRefusal) -> Self {
        Self::new(Untouched::TargetRefused, refusal)
    }
}

impl From<ConnectError> for DialError {
    fn from(error: ConnectError) -> Self {
        let status = match &error {
            ConnectError::Refused(status) => Some(status.as_u16()),
            ConnectError::Broken(_) | ConnectError::Request(_) => None,
        };
        Self::new(Untouched::ProxyHandshakeFailed { status }, error)
    }
}

/// Scheme and target of a request: what pooled connections are shared by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) scheme: Scheme,
    pub(crate) target: Target,
}

impl Origin {
    /// Reads an absolute `http` or `https` URI.
    pub(super) fn of(uri: &Uri) -> Result<Self, TargetRefusal> {
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            _ => return Err(TargetRefusal::NotAbsolute),
        };
        let authority = uri.authority().ok_or(TargetRefusal::NotAbsolute)?;
        let target = Target::parse(authority.as_str(), Some(scheme.default_port()))?;
        Ok(Self { scheme, target })
    }
}

/// How a request names its target on a connection (RFC 9112 section 3.2).
#[derive(Clone, Debug)]
pub(super) enum Form {
    /// Path and query, to the origin or through a tunnel to it.
    Origin,
    /// The whole URI, to an upstream proxy, with the credentials that this proxy asks for.
    Absolute { authorization: Option<HeaderValue> },
}

/// A connection on which nothing of HTTP was sent yet.
pub(super) struct Dialed {
    pub(super) io: BoxIo,
    pub(super) form: Form,
    pub(super) peer: UpstreamPeer,
    pub(super) meter: Meter,
}

/// Opens connections, each judged by the target filter at the very address that it dials.
pub(super) struct Dialer {
    pub(super) tls: Tls,
    pub(super) proxy: Option<UpstreamProxy>,
    pub(super) no_proxy: NoProxy,
    pub(super) cleartext_http2: Vec<Target>,
    pub(super) filter: TargetFilter,
    pub(super) limits: UpstreamLimits,
}

impl Dialer {
    /// Opens a connection for HTTP requests to `origin`.
    pub(super) async fn dial(
        &self,
        origin: &Origin,
        offer: Offer,
        deadline: Option<Instant>,
    ) -> Result<Dialed, DialError> {
        let proxy = self.proxy_for(&origin.target);
        let via_proxy = proxy.is_some();
        // A request that asks for an upgrade needs a path of its own: CONNECT (RFC 6455 section 4.1).
        if let (Some(proxy), Scheme::Http, Offer::Http2AndHttp1) = (proxy, origin.scheme, offer) {
            self.filter.check_unresolved(&origin.target)?;
            let (io, remote, meter) = self.reach_proxy(proxy, deadline).await?;
            let form = Form::Absolute { authorization: proxy.authorization.clone() };
            let peer = UpstreamPeer { protocol: Protocol::Http1, remote, via_proxy };
            return Ok(Dialed { io, form, peer, meter });
        }
        let (io, remote, meter) = self.reach(&origin.target, deadline).await?;
        let (io, protocol): (BoxIo, _) = match origin.scheme {
            Scheme::Http if self.cleartext_http2.contains(&origin.target) => (io, Protocol::Http2),
            Scheme::Http => (io, Protocol::Http1),
            Scheme::Https => {
                let handshake = self.tls.connect(&origin.target.host, offer, io);
                let stream = within(self.limits.tls_handshake, deadline, handshake)
                    .await
                    .map_err(|error| DialError::new(Untouched::TlsFailed, error))?;
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                (Box::new(stream), if is_http2 { Protocol::Http2 } else { Protocol::Http1 })
            }
        };
        Ok(Dialed { io, form: Form::Origin, peer: UpstreamPeer { protocol, remote, via_proxy }, meter })
    }

    /// Opens a raw byte stream to `target`, through the upstream proxy where one is set.
    pub(super) async fn reach(
        &self,
        target: &Target,
        deadline: Option<Instant>,
    ) -> Result<(BoxIo, SocketAddr, Meter), DialError> {
        let Some(proxy) = self.proxy_for(target) else {
            let socket = self.connect(target, Filtering::Addresses, deadline).await?;
            return metered(socket);
        };
        self.filter.check_unresolved(target)?;
        let (io, remote, meter) = self.reach_proxy(proxy, deadline).await?;
        let handshake = chain::connect(io, target, proxy.authorization.as_ref());
        let limit = phase_end(self.limits.proxy_handshake, deadline);
        let io = timeout_at(limit, handshake)
            .await
            .map_err(|elapsed| DialError::new(Untouched::ProxyHandshakeFailed { status: None }, elapsed))??;
        Ok((io, remote, meter))
    }

    fn proxy_for(&self, target: &Target) -> Option<&UpstreamProxy> {
        self.proxy.as_ref().filter(|_| !self.no_proxy.contains(target))
    }

    async fn reach_proxy(
        &self,
        proxy: &UpstreamProxy,
        deadline: Option<Instant>,
    ) -> Result<(BoxIo, SocketAddr, Meter), DialError> {
        let socket = self.connect(&proxy.target, Filtering::Exempt, deadline).await?;
        let (io, remote, meter) = metered(socket)?;
        match proxy.scheme {
            Scheme::Http => Ok((io, remote, meter)),
            Scheme::Https => {
                let handshake = self.tls.connect(&proxy.target.host, Offer::Http1, io);
                let stream =
                    within(self.limits.proxy_handshake, deadline, handshake).await.map_err(|error| {
                        DialError::new(Untouched::ProxyHandshakeFailed { status: None }, error)
                    })?;
                Ok((Box::new(stream), remote, meter))
            }
        }
    }

    async fn connect(
        &self,
        target: &Target,
        filtering: Filtering,
        deadline: Option<Instant>,
    ) -> Result<TcpStream, DialError> {
        let limit = phase_end(self.limits.connect, deadline);
        let connecting = async {
            let addresses = self.permitted(resolved(target).await, filtering)?;
            eyeballs::connect(addresses)
                .await
                .map_err(|error| DialError::new(Untouched::ConnectFailed, error))
        };
        timeout_at(limit, connecting)
            .await
            .map_err(|elapsed| DialError::new(Untouched::ConnectFailed, elapsed))?
    }

    /// The addresses that may be dialled. What is judged here is dialled as it is: a name that resolves to
    /// something else a moment later (DNS rebinding) gains nothing.
    fn permitted(
        &self,
        resolved: io::Result<Vec<SocketAddr>>,
        filtering: Filtering,
    ) -> Result<Vec<SocketAddr>, DialError> {
        let addresses = resolved.map_err(|error| DialError::new(Untouched::ConnectFailed, error))?;
        if filtering == Filtering::Exempt {
            return Ok(addresses);
        }
        let mut permitted = Vec::with_capacity(addresses.len());
        let mut refusal = None;
        for address in addresses {
            match self.filter.check_address(address) {
                Ok(()) => permitted.push(address),
                Err(error) => refusal = Some(error),
            }
        }
        match refusal {
            Some(refusal) if permitted.is_empty() => Err(refusal.into()),
            Some(_) | None => Ok(permitted),
        }
    }
}

/// Whether an address passes the target filter. The upstream proxy is named by the operator and is exempt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Filtering {
    Addresses,
    Exempt,
}

async fn resolved(target: &Target) -> io::Result<Vec<SocketAddr>> {
    match &target.host {
        Host::Ip(ip) => Ok(vec![SocketAddr::new(*ip, target.port)]),
        Host::Name(name) => Ok(tokio::net::lookup_host((&**name, target.port)).await?.collect()),
    }
}

/// Readies a socket: requests are written in one piece, and Nagle's algorithm would hold back their last segment.
fn metered(socket: TcpStream) -> Result<(BoxIo, SocketAddr, Meter), DialError> {
    let prepared = socket.set_nodelay(true).and_then(|()| socket.peer_addr());
    let remote = prepared.map_err(|error| DialError::new(Untouched::ConnectFailed, error))?;
    let meter = Meter::default();
    Ok((Box::new(Metered { socket, meter: meter.clone() }), remote, meter))
}

async fn within<T>(
    limit: Duration,
    deadline: Option<Instant>,
    step: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    timeout_at(phase_end(limit, deadline), step).await?
}

fn phase_end(limit: Duration, deadline: Option<Instant>) -> Instant {
    let end = Instant::now() + limit;
    deadline.map_or(end, |deadline| deadline.min(end))
}

#[cfg(test)]
mod tests {
    use super::super::filter::{OwnAddresses, PrivateTargets};
    use super::super::tls::Roots;
    use super::*;

    // covers: S5
    #[test]
    fn of_a_names_addresses_only_the_permitted_are_dialled() {
        let dialer = Dialer {
            tls: Tls::new(&Roots::Insecure).unwrap(),
            proxy: None,
            no_proxy: NoProxy::default(),
            cleartext_http2: Vec::new(),
            filter: TargetFilter { private_targets: PrivateTargets::Refuse, own: OwnAddresses::default() },
            limits: UpstreamLimits::default(),
        };
        let [public, private] =
            ["8.8.8.8:80", "10.0.0.1:80"].map(|address| address.parse::<SocketAddr>().unwrap());
        let permitted = |addresses: &[SocketAddr], filtering| {
            dialer.permitted(Ok(addresses.to_vec()), filtering).map_err(|error| error.untouched)
        };
        assert_eq!(permitted(&[private, public], Filtering::Addresses), Ok(vec![public]));
        assert_eq!(permitted(&[private], Filtering::Addresses), Err(Untouched::TargetRefused));
        assert_eq!(permitted(&[private], Filtering::Exempt), Ok(vec![private]));
    }
}
