//! Counts the requests of a connection that have no whole answer yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Context;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

/// The requests of one connection.
#[derive(Debug)]
pub(super) struct Activity {
    since: Instant,
    open: AtomicUsize,
    begun: AtomicU64,
    /// When the last request ended, in milliseconds after `since`.
    ended_ms: AtomicU64,
    idle: AtomicWaker,
}

/// One request, from its head to the end of its answer's body.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Activity>);

impl Activity {
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        self.open.fetch_add(1, Ordering::AcqRel);
        self.begun.fetch_add(1, Ordering::AcqRel);
        InFlight(Arc::clone(self))
    }

    pub(super) fn is_idle(&self) -> bool {
        self.open.load(Ordering::Acquire) == 0
    }

    /// Like [`is_idle`](Self::is_idle), and wakes the caller when that changes to `true`.
    pub(super) fn poll_idle(&self, cx: &Context<'_>) -> bool {
        // Registered before the look: a request that ends in between wakes.
        self.idle.register(cx.waker());
        self.is_idle()
    }

    /// Since when there is no request, if there is none.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let ended = Duration::from_millis(self.ended_ms.load(Ordering::Acquire));
        self.is_idle().then(|| self.since + ended)
    }

    /// Requests so far: unchanged between two looks means that none came in between.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Acquire)
    }
}

impl Default for Activity {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            open: AtomicUsize::default(),
            begun: AtomicU64::default(),
            ended_ms: AtomicU64::default(),
            idle: AtomicWaker::new(),
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let ended_ms = u64::try_from(self.0.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.ended_ms.store(ended_ms, Ordering::Release);
        if self.0.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.wake();
        }
    }
}
