//! The bodies of requests and answers.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::activity::InFlight;

/// Any error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer.
pub type ProxyBody = UnsyncBoxBody<Bytes, BoxError>;

/// Why a request body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The client closed, reset the stream, or sent what is no body.
    #[error("the request body broke off")]
    Broken(#[source] hyper::Error),
    /// Nothing came for [`Limits::body_idle_time`](crate::limits::Limits::body_idle_time).
    #[error("the request body stood still")]
    Idle,
}

/// A client's request body, as it arrives: nothing is read ahead of the reader.
pub struct RequestBody {
    incoming: Incoming,
    idle_time: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl RequestBody {
    pub(super) fn new(incoming: Incoming, idle_time: Duration) -> Self {
        Self { incoming, idle_time, sleep: None, waiting: false }
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = Instant::now() + self.idle_time;
        match &mut self.sleep {
            None => self.sleep = Some(Box::pin(tokio::time::sleep_until(deadline))),
            Some(sleep) if !self.waiting => sleep.as_mut().reset(deadline),
            Some(_) => {}
        }
        self.waiting = true;
        self.sleep.as_mut().map_or(Poll::Pending, |sleep| sleep.as_mut().poll(cx))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.waiting = false;
                Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Broken)))
            }
            Poll::Pending => self.poll_idle(cx).map(|()| Some(Err(BodyError::Idle))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl std::fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestBody").finish_non_exhaustive()
    }
}

/// An answer's body that keeps its request counted until it is sent or dropped.
pub(super) struct Counted {
    body: ProxyBody,
    /// Why the body broke off, while that is held back.
    broken: Option<BoxError>,
    _request: InFlight,
}

impl Counted {
    pub(super) fn new(body: ProxyBody, request: InFlight) -> Self {
        Self { body, broken: None, _request: request }
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = BoxError;

    /// An error comes one turn later: hyper drops what it has not flushed when it gets one, and were that the head, the
    /// client's connection would close without an answer.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Err(error))) => {
                self.broken = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            polled => polled,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
