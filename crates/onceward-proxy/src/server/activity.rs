//! Counts the requests of a connection that have no whole answer yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Context;

use futures_util::task::AtomicWaker;

/// The requests of one connection.
#[derive(Debug, Default)]
pub(super) struct Activity {
    open: AtomicUsize,
    begun: AtomicU64,
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

    /// Requests so far: unchanged between two looks means that none came in between.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Acquire)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.wake();
        }
    }
}
