//! Connections that unguarded requests share.
//!
//! hyper-util's pool is not used, for it decides itself when a request is repeated and does not say which version
//! of HTTP a request will be written in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use tokio::sync::{Mutex as Gate, OwnedMutexGuard};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;

use super::UpstreamPeer;
use super::dial::{BoxError, Dialed, Form, Origin};
use super::limits::UpstreamLimits;
use super::session;
use super::wire::Protocol;

/// While the first connection to an origin is being made, others wait this long to share it if it turns out to
/// speak HTTP/2: about a handshake on a good path. A slow origin does not queue them further.
const SHARE_WAIT: Duration = Duration::from_millis(300);

/// A request body as pooled connections carry it.
pub(super) type SentBody = UnsyncBoxBody<Bytes, BoxError>;

/// A connection that is ready for a request, or one handle of an HTTP/2 connection that several share.
#[derive(Debug)]
pub(super) struct Link {
    sender: Sender,
    pub(super) form: Form,
    pub(super) peer: UpstreamPeer,
    pub(super) is_reused: bool,
    /// Counts the handles of a shared connection.
    handles: Arc<()>,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<SentBody>),
    Http2(http2::SendRequest<SentBody>),
}

impl Link {
    /// Begins HTTP on a new connection.
    pub(super) async fn begin(dialed: Dialed, tasks: &TaskTracker) -> hyper::Result<Self> {
        let peer = dialed.peer;
        let sender = match peer.protocol {
            Protocol::Http1 => Sender::Http1(session::http1(dialed.io, tasks).await?),
            Protocol::Http2 => Sender::Http2(session::http2(dialed.io, tasks).await?),
        };
        Ok(Self { sender, form: dialed.form, peer, is_reused: false, handles: Arc::default() })
    }

    /// Sends a request. The error holds the request if, and only if, none of it was written.
    pub(super) async fn send(
        &mut self,
        request: Request<SentBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<SentBody>>> {
        match &mut self.sender {
            Sender::Http1(sender) => sender.try_send_request(request).await,
            Sender::Http2(sender) => sender.try_send_request(request).await,
        }
    }
}

/// Unused and shared connections by origin.
pub(super) struct Pool {
    origins: Mutex<Origins>,
    limits: UpstreamLimits,
    tasks: TaskTracker,
}

#[derive(Default)]
struct Origins {
    by_origin: HashMap<Origin, Kept>,
    is_swept: bool,
}

/// What is known and kept of one origin.
#[derive(Default)]
struct Kept {
    http1: Vec<(Link, Instant)>,
    http2: Option<(Link, Instant)>,
    /// Held while the first connection is made.
    gate: Arc<Gate<()>>,
    speaks_http1: bool,
}

impl Pool {
    pub(super) fn new(limits: UpstreamLimits, tasks: TaskTracker) -> Arc<Self> {
        Arc::new(Self { origins: Mutex::default(), limits, tasks })
    }

    /// Takes a connection to `origin` that is open and unused, or shared.
    ///
    /// An origin may close a kept HTTP/1.1 connection at the moment a request is written to it, and nothing tells
    /// whether the request was processed. A read that fails so can be asked again by the client; a write would
    /// be lost or doubled, so that it gets a new connection.
    pub(super) fn take(&self, origin: &Origin, method: &Method) -> Option<Link> {
        let mut origins = self.locked();
        let kept = origins.by_origin.get_mut(origin)?;
        if let Some((shared, used)) = &mut kept.http2 {
            if let Some(link) = shared.another() {
                *used = Instant::now();
                return Some(link);
            }
            kept.http2 = None;
        }
        if !method.is_safe() {
            return None;
        }
        // The one that was used last is the least likely to be closed.
        while let Some((mut link, _)) = kept.http1.pop() {
            if link.is_open() {
                link.is_reused = true;
                return Some(link);
            }
        }
        None
    }

    /// Waits while another connection to `origin` is being made, unless its protocol is known to allow no
    /// sharing. What is returned is to be held until one's own connection is made.
    pub(super) async fn gate(self: &Arc<Self>, origin: &Origin) -> Option<OwnedMutexGuard<()>> {
        let gate = self.with_kept(origin, |kept| (!kept.speaks_http1).then(|| Arc::clone(&kept.gate)))?;
        let held = timeout(SHARE_WAIT, gate.lock_owned()).await.ok()?;
        self.with_kept(origin, |kept| (!kept.speaks_http1).then_some(held))
    }

    /// Notes what a new connection speaks, and shares one of HTTP/2 with the requests that follow.
    pub(super) fn note(self: &Arc<Self>, origin: &Origin, link: &Link) {
        self.with_kept(origin, |kept| match link.another() {
            Some(shared) => kept.http2 = Some((shared, Instant::now())),
            None => kept.speaks_http1 = true,
        });
    }

    /// Takes an HTTP/1.1 connection back as soon as its response was read to the end.
    pub(super) fn give_back(self: &Arc<Self>, origin: Origin, mut link: Link) {
        let pool = Arc::downgrade(self);
        self.tasks.spawn(async move {
            let is_unused = match &mut link.sender {
                Sender::Http1(sender) => sender.ready().await.is_ok(),
                Sender::Http2(_) => false,
            };
            if let (true, Some(pool)) = (is_unused, pool.upgrade()) {
                let unused_max = pool.limits.idle_per_origin_max;
                pool.with_kept(&origin, |kept| {
                    if kept.http1.len() < unused_max {
                        kept.http1.push((link, Instant::now()));
                    }
                });
            }
        });
    }

    fn with_kept<T>(self: &Arc<Self>, origin: &Origin, act: impl FnOnce(&mut Kept) -> T) -> T {
        let mut origins = self.locked();
        if !origins.is_swept {
            origins.is_swept = true;
            self.tasks.spawn(sweep(Arc::downgrade(self), self.limits.pool_idle));
        }
        act(origins.by_origin.entry(origin.clone()).or_default())
    }

    fn locked(&self) -> MutexGuard<'_, Origins> {
        self.origins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    /// One more handle of an open HTTP/2 connection.
    fn another(&self) -> Option<Self> {
        match &self.sender {
            Sender::Http2(sender) if !sender.is_closed() => Some(Self {
                sender: Sender::Http2(sender.clone()),
                form: self.form.clone(),
                peer: self.peer,
                is_reused: true,
                handles: Arc::clone(&self.handles),
            }),
            Sender::Http2(_) | Sender::Http1(_) => None,
        }
    }

    fn is_open(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_ready(),
            Sender::Http2(sender) => !sender.is_closed(),
        }
    }

    /// Whether responses are still being read from the connection.
    fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.handles) > 1
    }
}

/// Drops connections that were not used for `idle`, until none is left.
async fn sweep(pool: Weak<Pool>, idle: Duration) {
    loop {
        sleep(idle / 4).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut origins = pool.locked();
        let is_kept =
            |link: &Link, used: Instant| link.is_open() && (link.is_in_use() || used.elapsed() < idle);
        origins.by_origin.retain(|_, kept| {
            kept.http1.retain(|(link, used)| is_kept(link, *used));
            kept.http2.take_if(|(link, used)| !is_kept(link, *used));
            // A gate that someone holds is the sign of a connection to come.
            !kept.http1.is_empty() || kept.http2.is_some() || Arc::strong_count(&kept.gate) > 1
        });
        if origins.by_origin.is_empty() {
            origins.is_swept = false;
            return;
        }
    }
}
