//! HTTP sessions over dialled connections, and the tasks that drive them.

use std::future::Future;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use hyper::client::conn::{http1, http2};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use super::dial::{BoxError, Io};

/// Chromium's own limit for a response head; hyper's default of 16 KiB on HTTP/2 refuses real sites.
const HEAD_BYTES_MAX: u32 = 256 * 1024;

/// Fields of the answer to a guarded request: one that cannot be read is doubt, so that none is refused lightly. Pooled
/// connections keep to hyper's 100, one less than HAProxy reads: past that number, hyper takes two buffers from the heap
/// for each response, a seventh of what forwarding it costs.
const HEAD_FIELDS_MAX: usize = 512;

/// A path that died silently (a NAT entry that is gone) would hold every stream of a shared connection for ever.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the tasks of a session run.
///
/// hyper spawns several tasks for an HTTP/2 session; whoever owns them decides how they end.
pub(super) trait Tasks: Clone + Send + Sync + Unpin + 'static {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);
}

/// Pooled sessions end by themselves when their senders and bodies are dropped.
impl Tasks for TaskTracker {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        Self::spawn(self, task);
    }
}

/// The tasks of one session, aborted when dropped.
#[derive(Debug, Default)]
pub(super) struct OwnTasks(Arc<Mutex<JoinSet<()>>>);

/// Spawns into [`OwnTasks`]. Weak, for the tasks themselves hold it.
#[derive(Clone)]
pub(super) struct OwnTasksSpawner(Weak<Mutex<JoinSet<()>>>);

impl OwnTasks {
    pub(super) fn spawner(&self) -> OwnTasksSpawner {
        OwnTasksSpawner(Arc::downgrade(&self.0))
    }

    /// Aborts the tasks and waits until they are gone, and with them the socket.
    pub(super) async fn shutdown(self) {
        loop {
            let mut tasks = mem::take(&mut *locked(&self.0));
            // A task that was still running may have spawned another.
            if tasks.is_empty() {
                return;
            }
            tasks.shutdown().await;
        }
    }
}

impl Tasks for OwnTasksSpawner {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(tasks) = self.0.upgrade() {
            locked(&tasks).spawn(task);
        }
    }
}

fn locked(tasks: &Mutex<JoinSet<()>>) -> MutexGuard<'_, JoinSet<()>> {
    tasks.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone)]
struct TasksExecutor<T>(T);

impl<T: Tasks, F: Future<Output = ()> + Send + 'static> Executor<F> for TasksExecutor<T> {
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}

/// Begins an HTTP/1.1 session. A switch of protocols hands its socket over through [`hyper::upgrade::on`].
pub(super) async fn http1<B>(
    io: impl Io + 'static,
    tasks: &impl Tasks,
) -> hyper::Result<http1::SendRequest<B>>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (sender, connection) =
        http1_builder().max_headers(HEAD_FIELDS_MAX).handshake(TokioIo::new(io)).await?;
    let connection = connection.with_upgrades();
    tasks.spawn(async move { log_end(connection.await) });
    Ok(sender)
}

/// How HTTP/1.1 is spoken with origins.
pub(super) fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.preserve_header_case(true).title_case_headers(true).max_buf_size(HEAD_BYTES_MAX as usize);
    builder
}

/// Begins an HTTP/2 session.
pub(super) async fn http2<B>(
    io: impl Io + 'static,
    tasks: &impl Tasks,
) -> hyper::Result<http2::SendRequest<B>>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let (sender, connection) = http2::Builder::new(TasksExecutor(tasks.clone()))
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_header_list_size(HEAD_BYTES_MAX)
        .handshake(TokioIo::new(io))
        .await?;
    tasks.spawn(async move { log_end(connection.await) });
    Ok(sender)
}

/// What ended a connection matters to nobody but who looks for it: its requests were told already.
pub(super) fn log_end(end: hyper::Result<()>) {
    if let Err(error) = end {
        tracing::debug!(%error, "upstream connection ended");
    }
}
