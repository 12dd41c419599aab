//! Speaks HTTP with one client, within the limits.

use std::sync::Arc;
use std::time::Duration;

use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::Exchange;
use super::activity::Activity;
use super::gate::Gate;
use super::line::{Line, LineService};
use super::plain::{Left, PlainClient};
use super::rare::Rare;
use super::tasks::{Kind, Tasks};
use crate::limits::Limits;

/// hyper's smallest read buffer; its largest must hold a head that passed the gate.
const READ_BUFFER_BYTES_MIN: usize = 8 * 1024;

/// What hyper reads without being told more; the gate refuses what is past a smaller limit.
const HYPER_HEAD_FIELDS_MAX: usize = 100;

/// Serves HTTP/1.0 and HTTP/1.1. The gate keeps the time and the size of heads, so that a refusal is a page.
pub(crate) async fn http1<E, I>(line: Line<E>, io: I)
where
    E: Exchange,
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut client = PlainClient::new(io, &line);
    if line.listener().exchange.answer_plain(&mut client).await == Left::Nothing {
        return;
    }
    let io = client.into_rest();
    let stop = line.listener().tasks.stop().clone();
    let limits = *line.limits();
    let gate = Gate::new(io, line.activity(), limits);
    let service = LineService::http1(line, gate.ledger());
    let connection = http1_builder(&limits).serve_connection(TokioIo::new(gate), service).with_upgrades();
    tokio::pin!(connection);
    let served = tokio::select! {
        // The stop comes first: an answer that is ready at the same time then announces the close.
        biased;
        () = Rare::new(stop.cancelled()) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        served = connection.as_mut() => served,
    };
    if let Err(error) = served {
        tracing::debug!(%error, "an http/1 connection broke off");
    }
}

/// hyper behind the gate, which keeps the time and the size of heads.
pub(super) fn http1_builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    if limits.head_fields_max > HYPER_HEAD_FIELDS_MAX {
        builder.max_headers(limits.head_fields_max);
    }
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(limits.head_bytes_max.saturating_mul(2).max(READ_BUFFER_BYTES_MIN))
        .preserve_header_case(true);
    builder
}

/// Serves HTTP/2.
pub(crate) async fn http2<E, I>(line: Line<E>, io: I)
where
    E: Exchange,
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let stop = line.listener().tasks.stop().clone();
    let limits = *line.limits();
    let activity = line.activity();
    let executor = Tracked(Arc::clone(&line.listener().tasks));
    let connection = http2::Builder::new(executor)
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.h2_streams_max)
        .max_header_list_size(u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(limits.h2_resets_pending_max)
        .keep_alive_interval(limits.h2_ping_interval)
        .keep_alive_timeout(limits.h2_ping_timeout)
        .serve_connection(TokioIo::new(io), LineService::http2(line));
    tokio::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = end_of_use(&stop, &activity, limits.idle_time) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "an http/2 connection broke off");
    }
}

/// Waits until the listener stops, or no request was under way and none came for `idle_time`.
async fn end_of_use(stop: &CancellationToken, activity: &Activity, idle_time: Duration) {
    loop {
        let begun = activity.begun();
        if stop.run_until_cancelled(tokio::time::sleep(idle_time)).await.is_none() {
            return;
        }
        if activity.is_idle() && activity.begun() == begun {
            return;
        }
    }
}

/// Runs hyper's tasks among the listener's.
#[derive(Clone)]
struct Tracked(Arc<Tasks>);

impl<F> Executor<F> for Tracked
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, task: F) {
        self.0.spawn(Kind::Stream, task);
    }
}
