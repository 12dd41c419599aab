//! The tasks of one listener: none is detached, and each ends with the listener.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::rare::Rare;

/// How long bytes may go on passing once the listener stops; a peer that heard of it closes within a round trip.
const PASSAGE_DRAIN_TIME: Duration = Duration::from_secs(1);

/// What was still going on when the time to drain was over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Connections outside of tunnels.
    pub connections_cut: usize,
    /// Tunnels, intercepted ones among them, and switched protocols.
    pub tunnels_cut: usize,
}

/// What a task does, for the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Connection,
    Tunnel,
    /// A part of a connection that is counted already.
    Stream,
}

#[derive(Debug, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    cut: CancellationToken,
    connections_cut: AtomicUsize,
    tunnels_cut: AtomicUsize,
}

impl Tasks {
    pub(crate) fn new(stop: CancellationToken) -> Self {
        Self { stop, ..Self::default() }
    }

    /// Cancelled when no new work is to begin.
    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    pub(crate) fn cut_on_drop(&self) -> DropGuard {
        self.cut.clone().drop_guard()
    }

    pub(crate) fn spawn<T, F>(self: &Arc<Self>, kind: Kind, task: F)
    where
        F: Future<Output = T> + Send + 'static,
        T: Send,
    {
        self.spawn_on(&Handle::current(), kind, task);
    }

    pub(super) fn spawn_on<T, F>(self: &Arc<Self>, runtime: &Handle, kind: Kind, task: F)
    where
        F: Future<Output = T> + Send + 'static,
        T: Send,
    {
        let tasks = Arc::clone(self);
        let task = async move {
            let cut = Rare::new(tasks.cut.cancelled());
            tokio::select! {
                biased;
                () = cut => tasks.count_cut(kind),
                _ = task => {}
            }
        };
        self.tracker.spawn_on(task, runtime);
    }

    /// Lets bytes pass that nobody here can tell the end of: a raw tunnel, a WebSocket. Once the listener stops it has a moment to
    /// end by itself and is cut then, so that an idle one does not hold up the shutdown.
    pub(crate) async fn passing<T>(&self, passage: impl Future<Output = T>) -> Option<T> {
        let overdue = async {
            self.stop.cancelled().await;
            tokio::time::sleep(PASSAGE_DRAIN_TIME).await;
        };
        tokio::select! {
            ended = passage => Some(ended),
            () = overdue => {
                self.count_cut(Kind::Tunnel);
                None
            }
        }
    }

    fn count_cut(&self, kind: Kind) {
        let counter = match kind {
            Kind::Connection => &self.connections_cut,
            Kind::Tunnel => &self.tunnels_cut,
            Kind::Stream => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits for all tasks, for `time` at most, then cuts the rest.
    pub(crate) async fn drain(&self, time: Duration) -> Report {
        self.tracker.close();
        if tokio::time::timeout(time, self.tracker.wait()).await.is_err() {
            self.cut.cancel();
            self.tracker.wait().await;
        }
        Report {
            connections_cut: self.connections_cut.load(Ordering::Relaxed),
            tunnels_cut: self.tunnels_cut.load(Ordering::Relaxed),
        }
    }
}
