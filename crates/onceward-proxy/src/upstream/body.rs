//! The body of an upstream response.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Method, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::link::Link;
use super::once::Fresh;
use super::pool::Lent;
use super::wire::Protocol;

/// Streams a response body as the origin sends it, read no faster than it is polled.
///
/// A body that is cut is an error, never an end: a short `Content-Length`, an unfinished chunk, an HTTP/2 reset
/// (hyper ends a body silently on `NO_ERROR`), TLS without `close_notify`.
///
/// Dropping it before its end closes the connection (HTTP/1.1) or resets the stream (HTTP/2).
#[derive(Debug)]
pub struct UpstreamBody {
    inner: Incoming,
    protocol: Protocol,
    is_delimited: bool,
    held: Option<Held>,
}

/// The connection that the body comes from, where the body decides how long it lives.
#[derive(Debug)]
pub(super) enum Held {
    /// A guarded exchange's own.
    Fresh(#[expect(dead_code, reason = "held for its drop")] Fresh),
    /// A handle of a shared one: it is in use.
    Shared(#[expect(dead_code, reason = "held for its drop")] Link),
    /// A pooled one, which moves only as the body is polled.
    Lent(Lent),
}

/// The response ended before its body did.
#[derive(Debug, thiserror::Error)]
#[error("the response broke off before its end")]
pub struct BodyCut(#[source] Option<hyper::Error>);

impl UpstreamBody {
    /// Takes over the body of a response whose head still has the origin's framing fields.
    pub(super) fn of(
        response: Response<Incoming>,
        method: &Method,
        protocol: Protocol,
        held: Option<Held>,
    ) -> Response<Self> {
        let headers = response.headers();
        // hyper reads any Transfer-Encoding that does not end in `chunked` up to the close (RFC 9112 section 6.3).
        let is_chunked = headers.get_all(TRANSFER_ENCODING).iter().next_back().is_some_and(|value| {
            let last = value.as_bytes().rsplit(|byte| *byte == b',').next().unwrap_or_default();
            last.trim_ascii().eq_ignore_ascii_case(b"chunked")
        });
        let is_sized = headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(TRANSFER_ENCODING);
        let is_delimited = protocol == Protocol::Http2
            || *method == Method::HEAD
            || is_chunked
            || is_sized
            || response.body().is_end_stream();
        response.map(|inner| Self { inner, protocol, is_delimited, held })
    }

    /// Whether the message itself says where its body ends.
    ///
    /// When it does not, the body ends with the connection (HTTP/1.1 without `Content-Length` or chunks), and
    /// nothing proves that it is complete: over plain TCP, a crash of the origin looks the same.
    #[must_use]
    pub fn is_delimited(&self) -> bool {
        self.is_delimited
    }
}

impl UpstreamBody {
    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let inner = &mut self.inner;
        match &mut self.held {
            Some(Held::Lent(lent)) => lent.poll_driven(cx, |cx| Pin::new(&mut *inner).poll_frame(cx)),
            Some(Held::Fresh(_) | Held::Shared(_)) | None => Pin::new(inner).poll_frame(cx),
        }
    }

    /// Frees the connection and its place although the reader may keep the body.
    fn release(&mut self) {
        match self.held.take() {
            Some(Held::Lent(lent)) => lent.give_back(),
            Some(Held::Fresh(_) | Held::Shared(_)) | None => {}
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = BodyCut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let polled = match self.poll_inner(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(Ok(frame))) => {
                // The reader of a sized body may stop here, and its end was read with its last piece.
                if self.inner.is_end_stream() && matches!(self.held, Some(Held::Lent(_))) {
                    self.release();
                }
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(Some(Err(error))) => {
                self.held = None;
                return Poll::Ready(Some(Err(BodyCut(Some(error)))));
            }
            Poll::Ready(None) if self.protocol == Protocol::Http2 && !self.inner.is_end_stream() => {
                Some(Err(BodyCut(None)))
            }
            Poll::Ready(None) => None,
        };
        self.release();
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
