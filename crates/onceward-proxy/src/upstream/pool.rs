//! Connections that unguarded requests share.
//!
//! hyper-util's pool is not used, for it decides itself when a request is repeated and does not say which version
//! of HTTP a request will be written in.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Method;
use tokio::sync::{Mutex as Gate, OwnedMutexGuard};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;

use super::dial::Origin;
use super::limits::UpstreamLimits;
use super::link::Link;
use super::plain::PlainLink;
use crate::workers::{self, WORKERS_MAX};

/// While the first connection to an origin is being made, others wait this long to share it if it turns out to
/// speak HTTP/2: about a handshake on a good path. A slow origin does not queue them further.
const SHARE_WAIT: Duration = Duration::from_millis(300);

/// A pool for each worker, so that a connection is used on the thread that it was made on.
pub(super) struct Pools {
    of_workers: Vec<Arc<Pool>>,
    of_others: Arc<Pool>,
}

impl Pools {
    pub(super) fn new(limits: UpstreamLimits, tasks: &TaskTracker) -> Self {
        let pool = || Pool::new(limits, tasks.clone());
        Self { of_workers: (0..WORKERS_MAX).map(|_| pool()).collect(), of_others: pool() }
    }

    /// The pool of this thread.
    pub(super) fn here(&self) -> &Arc<Pool> {
        let of_worker = workers::current().and_then(|worker| self.of_workers.get(worker));
        of_worker.unwrap_or(&self.of_others)
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
    http1: Vec<Unused<Link>>,
    plain: Vec<Unused<PlainLink>>,
    http2: Option<(Link, Instant)>,
    /// Held while the first connection is made.
    gate: Arc<Gate<()>>,
    speaks_http1: bool,
}

/// An HTTP/1.1 connection between two requests. Nothing polls it: whether it was closed is seen when it is taken up.
struct Unused<L> {
    link: L,
    since: Instant,
}

impl<L> Unused<L> {
    fn now(link: L) -> Self {
        Self { link, since: Instant::now() }
    }
}

impl Pool {
    fn new(limits: UpstreamLimits, tasks: TaskTracker) -> Arc<Self> {
        Arc::new(Self { origins: Mutex::default(), limits, tasks })
    }

    /// Takes a connection to `origin` that is open and unused, or shared.
    ///
    /// An origin may close a kept HTTP/1.1 connection at the moment a request is written to it, and nothing tells
    /// whether the request was processed. A read that fails so can be asked again by the client; a write would be
    /// lost or doubled. So a write takes up only what was in use a moment ago
    /// ([`UpstreamLimits::pool_idle_unsafe`]), when no origin has had time to give it up.
    pub(super) fn take(&self, origin: &Origin, method: &Method) -> Option<Link> {
        let now = Instant::now();
        let mut origins = self.locked();
        let kept = origins.by_origin.get_mut(origin)?;
        if let Some((shared, used)) = &mut kept.http2 {
            if let Some(link) = shared.another() {
                *used = now;
                return Some(link);
            }
            kept.http2 = None;
        }
        let unused_max = if method.is_safe() { self.limits.pool_idle } else { self.limits.pool_idle_unsafe };
        // The one that was used last is the least likely to be closed.
        while let Some(mut last) = kept.http1.pop_if(|last| now.duration_since(last.since) < unused_max) {
            if last.link.is_open() {
                last.link.is_reused = true;
                return Some(last.link);
            }
        }
        None
    }

    /// Takes a connection for a plain request, which is safe.
    pub(super) fn take_plain(&self, origin: &Origin, now: Instant) -> Option<PlainLink> {
        let mut origins = self.locked();
        let kept = origins.by_origin.get_mut(origin)?;
        let unused_max = self.limits.pool_idle;
        while let Some(mut last) = kept.plain.pop_if(|last| now.duration_since(last.since) < unused_max) {
            if last.link.is_open() {
                return Some(last.link);
            }
        }
        None
    }

    /// Takes a connection back that may carry another plain request.
    pub(super) fn keep_plain(self: &Arc<Self>, origin: &Origin, link: PlainLink) {
        let unused_max = self.limits.idle_per_origin_max;
        self.with_kept(origin, |kept| {
            if kept.plain.len() < unused_max {
                kept.plain.push(Unused::now(link.at_rest()));
            }
        });
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

    /// Takes an HTTP/1.1 connection back whose response was read to the end. One that can take no other request is
    /// closed.
    pub(super) fn give_back(self: &Arc<Self>, origin: Origin, mut link: Link) {
        if link.is_sending() {
            self.finish(origin, link);
        } else if link.is_ready() || link.is_open() {
            self.keep(&origin, link);
        }
    }

    /// Sees an exchange to its end whose request is still being sent while its response is there: neither waits for
    /// the other then, whatever the client reads first.
    pub(super) fn finish(self: &Arc<Self>, origin: Origin, mut link: Link) {
        let pool = Arc::downgrade(self);
        self.tasks.spawn(async move {
            if let (true, Some(pool)) = (link.finish().await, pool.upgrade()) {
                pool.keep(&origin, link);
            }
        });
    }

    fn keep(self: &Arc<Self>, origin: &Origin, link: Link) {
        let unused_max = self.limits.idle_per_origin_max;
        self.with_kept(origin, |kept| {
            if kept.http1.len() < unused_max && !link.is_spent {
                kept.http1.push(Unused::now(link));
            }
        });
    }

    fn with_kept<T>(self: &Arc<Self>, origin: &Origin, act: impl FnOnce(&mut Kept) -> T) -> T {
        let mut origins = self.locked();
        if !origins.is_swept {
            origins.is_swept = true;
            self.tasks.spawn(sweep(Arc::downgrade(self), self.limits.pool_idle));
        }
        match origins.by_origin.get_mut(origin) {
            Some(kept) => act(kept),
            None => act(origins.by_origin.entry(origin.clone()).or_default()),
        }
    }

    fn locked(&self) -> MutexGuard<'_, Origins> {
        self.origins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

/// An HTTP/1.1 connection whose response is being read. Dropped before the end, it is closed.
#[derive(Debug)]
pub(super) struct Lent {
    link: Link,
    origin: Origin,
    pool: Arc<Pool>,
}

impl Lent {
    pub(super) fn new(link: Link, origin: Origin, pool: Arc<Pool>) -> Self {
        Self { link, origin, pool }
    }

    /// Polls the response's body, and reads on for it.
    pub(super) fn poll_driven<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.link.poll_driven(cx, poll)
    }

    /// The response was read to the end.
    pub(super) fn give_back(self) {
        self.pool.give_back(self.origin, self.link);
    }
}

/// Drops connections that were not used for `idle`, until none is left.
async fn sweep(pool: Weak<Pool>, idle: Duration) {
    loop {
        sleep(idle / 4).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut origins = pool.locked();
        origins.by_origin.retain(|_, kept| {
            kept.http1.retain_mut(|unused| unused.since.elapsed() < idle && unused.link.is_open());
            kept.plain.retain_mut(|unused| unused.since.elapsed() < idle && unused.link.is_open());
            kept.http2.take_if(|(link, used)| !link.is_open() || !link.is_in_use() && used.elapsed() >= idle);
            // A gate that someone holds is the sign of a connection to come.
            let is_empty = kept.http1.is_empty() && kept.plain.is_empty() && kept.http2.is_none();
            !is_empty || Arc::strong_count(&kept.gate) > 1
        });
        if origins.by_origin.is_empty() {
            origins.is_swept = false;
            return;
        }
    }
}
