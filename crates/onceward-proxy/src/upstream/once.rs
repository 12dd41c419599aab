//! One request on one connection of its own.

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::Unanswered;
use super::dial::{BoxIo, Dialed};
use super::evidence::{Evidence, Unknown};
use super::link::SentBody;
use super::session::{self, OwnTasks};
use super::wire::{Protocol, Tap, WireLog};

/// The connection of one exchange: dropped, it closes the socket and frees its place.
#[derive(Debug)]
pub(super) struct Fresh {
    _tasks: OwnTasks,
    _permit: OwnedSemaphorePermit,
}

/// Sends `request` on a connection that carries nothing else, once.
///
/// # Cancel safety
/// Dropping the future closes the socket; what was sent by then stays sent.
pub(super) async fn exchange(
    dialed: Dialed,
    request: Request<SentBody>,
    deadline: Instant,
    permit: OwnedSemaphorePermit,
) -> Result<(Response<Incoming>, Fresh), Unanswered> {
    let protocol = dialed.peer.protocol;
    let (tap, wire) = Tap::new(dialed.io, protocol, dialed.meter);
    let tasks = OwnTasks::default();
    let (reason, source) = match timeout_at(deadline, answer(tap, protocol, &tasks, request)).await {
        Ok(Ok(response)) => return Ok((response, Fresh { _tasks: tasks, _permit: permit })),
        Ok(Err(error)) => (broken(&error, &wire), error.into()),
        Err(elapsed) => (Unknown::TimedOut, elapsed.into()),
    };
    // The connection's task may be writing on another thread until it is gone.
    tasks.shutdown().await;
    let evidence = wire.untouched().map_or(Evidence::Unknown(reason), Evidence::Untouched);
    Err(Unanswered { evidence, source })
}

async fn answer(
    io: Tap<BoxIo>,
    protocol: Protocol,
    tasks: &OwnTasks,
    request: Request<SentBody>,
) -> hyper::Result<Response<Incoming>> {
    match protocol {
        Protocol::Http1 => session::http1(io, &tasks.spawner()).await?.send_request(request).await,
        Protocol::Http2 => session::http2(io, &tasks.spawner()).await?.send_request(request).await,
    }
}

fn broken(error: &hyper::Error, wire: &WireLog) -> Unknown {
    if let Some(code) = wire.reset_code() {
        Unknown::StreamReset { code }
    } else if error.is_parse() {
        Unknown::AnswerUnreadable
    } else {
        Unknown::BrokeAfterSend
    }
}
