//! Accepts clients and hands their requests, checked and addressed, to an [`Exchange`].
//!
//! Bytes pass, from the outside in: the connection limit, `stall` (a client that takes nothing), the HTTP/1 `gate` (heads
//! with two readings), hyper, `line` (whose request, where to), the exchange. A `CONNECT` turns a connection into a
//! tunnel, whose inside passes the same layers again.

pub(crate) mod activity;
mod address;
mod alarm;
mod body;
pub(crate) mod chunks;
pub(crate) mod copy;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
mod gate;
mod head;
mod hop;
pub(crate) mod line;
mod linger;
pub(crate) mod listener;
mod plain;
mod rare;
pub(crate) mod rewind;
pub(crate) mod serve;
pub(crate) mod sniff;
mod stall;
pub(crate) mod tasks;
mod upgrade;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use http::{Request, Response};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use self::body::{BodyError, BoxError, ProxyBody, RequestBody};
pub use self::head::HeadFault;
use self::listener::Listener;
pub use self::plain::{Left, Next, PlainClient, PlainRequest};
pub use self::tasks::Report;
use crate::intercept::Interception;
use crate::leaf::Leaves;
use crate::limits::Limits;
use crate::session::{Access, Session};
use crate::target::{Host, Scheme, Target};
use crate::workers::Workers;

/// What stands behind the server: it answers requests and opens tunnels.
///
/// Requests arrive with an absolute `http` or `https` URI, without the fields of the client's connection, and with a
/// [`Session`] and an `Arc<`[`ConnectionInfo`]`>` among their extensions. One that asks to switch protocols still has its
/// `Upgrade` and `Connection: upgrade`; if the answer is 101 and carries hyper's `OnUpgrade` extension, as an answer of
/// hyper's client does, the server connects the two sides.
///
/// # Cancel safety
/// The future of a call is dropped when its client goes away; work that must be finished belongs in a task of its own.
pub trait Exchange: Clone + Send + Sync + 'static {
    /// A connection to the target of a tunnel.
    type Tunnel: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Answers a request. There is always an answer: a browser sends a POST again whose connection closes without one.
    /// Save for 101, an answer carries no fields of another connection, such as `Transfer-Encoding`.
    fn call(&self, request: Request<RequestBody>) -> impl Future<Output = Response<ProxyBody>> + Send;

    /// Answers the plain requests that a client's connection begins with, if it can do so with less work; see
    /// [`PlainClient`]. What is left on the connection then goes to [`call`](Self::call).
    fn answer_plain<I>(&self, _client: &mut PlainClient<I>) -> impl Future<Output = Left> + Send
    where
        I: AsyncRead + AsyncWrite + Send + Unpin,
    {
        std::future::ready(Left::More)
    }

    /// Connects to the target of a tunnel whose bytes pass unseen.
    ///
    /// # Errors
    /// The answer to the `CONNECT` when there is no connection to be had.
    fn tunnel(
        &self,
        session: &Session,
        target: &Target,
    ) -> impl Future<Output = Result<Self::Tunnel, Response<ProxyBody>>> + Send;
}

/// The connection that a request came on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The client's address.
    pub peer: SocketAddr,
    /// The listener's address.
    pub local: SocketAddr,
    /// How the request reached the proxy.
    pub via: Via,
}

/// How a request reached the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// Straight, with an absolute target.
    Proxy,
    /// As plain HTTP inside of a tunnel.
    Tunnel {
        /// What the tunnel was opened to.
        target: Target,
    },
    /// To the gateway, which stands for the origin.
    Gateway {
        /// Whether the connection is encrypted.
        scheme: Scheme,
    },
    /// Inside of TLS that the proxy has terminated.
    Intercepted {
        /// What the tunnel was opened to.
        target: Target,
        /// The name in the client's TLS handshake.
        server_name: Option<Host>,
    },
}

impl Via {
    pub(crate) fn scheme(&self) -> Scheme {
        match self {
            Self::Proxy | Self::Tunnel { .. } => Scheme::Http,
            Self::Gateway { scheme } => *scheme,
            Self::Intercepted { .. } => Scheme::Https,
        }
    }
}

/// Answers requests that are addressed to the proxy itself, and not through it to an origin.
pub type OwnPage = Arc<dyn Fn(Request<RequestBody>) -> OwnPageFuture + Send + Sync>;

/// An answer of the proxy itself under way.
pub type OwnPageFuture = Pin<Box<dyn Future<Output = Response<ProxyBody>> + Send>>;

/// What all listeners of a forward proxy share.
#[derive(Clone)]
pub struct Config {
    /// How much of everything.
    pub limits: Limits,
    /// Certificates for intercepted hosts.
    pub leaves: Arc<Leaves>,
    /// Which tunnels are looked into.
    pub interception: Interception,
    /// Who may use the listeners.
    pub access: Access,
    /// What the proxy says of itself.
    pub own_page: OwnPage,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("limits", &self.limits)
            .field("leaves", &self.leaves)
            .field("interception", &self.interception)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

/// What the clients of a server take it for.
#[derive(Clone, Debug)]
pub(crate) enum Front {
    /// A way to every site.
    Proxy(Arc<Config>),
    /// The one origin, whatever name it is asked for by.
    Origin(Arc<OriginFront>),
}

/// How a server stands for an origin.
#[derive(Debug)]
pub(crate) struct OriginFront {
    limits: Limits,
    /// Under which certificate, unless it speaks without TLS.
    tls: Option<Arc<ServerConfig>>,
}

impl Front {
    fn limits(&self) -> &Limits {
        match self {
            Self::Proxy(config) => &config.limits,
            Self::Origin(origin) => &origin.limits,
        }
    }

    /// How the first bytes of a connection are encrypted, if they are.
    pub(crate) fn tls(&self) -> Option<Arc<ServerConfig>> {
        match self {
            Self::Proxy(_) => None,
            Self::Origin(origin) => origin.tls.clone(),
        }
    }
}

/// The server side of the forward proxy and of the gateway.
#[derive(Clone, Debug)]
pub struct Server {
    front: Front,
    workers: Option<Arc<Workers>>,
}

impl Server {
    /// A forward proxy with this configuration, listening nowhere yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { front: Front::Proxy(Arc::new(config)), workers: None }
    }

    /// A server that stands for the origin: it takes targets in origin form, opens no tunnels, and keeps TLS to itself.
    pub(crate) fn for_origin(limits: Limits, tls: Option<Arc<ServerConfig>>) -> Self {
        Self { front: Front::Origin(Arc::new(OriginFront { limits, tls })), workers: None }
    }

    /// Serves connections on these threads, and not on the runtime that accepts them. They are to outlive what is begun
    /// on them: a request's effect goes on there when its connection has ended.
    #[must_use]
    pub fn on(self, workers: Arc<Workers>) -> Self {
        Self { workers: Some(workers), ..self }
    }

    /// Serves a listener, whose traffic is that of `session`, until `shutdown` is cancelled.
    ///
    /// Then no connection is accepted any more; requests that have begun may finish within
    /// [`Limits::drain_time`], and what is left is cut and counted. No task outlives the call.
    ///
    /// # Cancel safety
    /// Dropping the future stops accepting and cuts all connections.
    ///
    /// # Errors
    /// When the listener has no address. Failures to accept are logged and tried again.
    pub async fn run<E: Exchange>(
        &self,
        listener: TcpListener,
        session: Session,
        exchange: E,
        shutdown: CancellationToken,
    ) -> io::Result<Report> {
        let local = listener.local_addr()?;
        let shared = Listener::new(self.front.clone(), local, session, exchange, shutdown);
        // Cuts every task if this future is dropped.
        let _cut = shared.tasks.cut_on_drop();
        listener::accept(&shared, listener, self.workers.as_deref()).await;
        Ok(shared.tasks.drain(self.front.limits().drain_time).await)
    }
}
