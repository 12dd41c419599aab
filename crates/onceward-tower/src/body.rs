//! The bodies on both sides of the guard.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::sync::mpsc;

/// Any error of a body.
pub type BodyError = Box<dyn Error + Send + Sync>;

pin_project! {
    /// The body that the inner service gets: the caller's own as it comes, or one that was read whole before its claim.
    pub struct RequestBody<B> {
        #[pin]
        kind: RequestKind<B>,
    }
}

pin_project! {
    #[project = RequestKindProjected]
    enum RequestKind<B> {
        Passed { #[pin] body: B },
        Whole { content: Option<Bytes>, trailers: Option<HeaderMap> },
    }
}

impl<B> RequestBody<B> {
    /// Passes a body through.
    pub fn passed(body: B) -> Self {
        Self { kind: RequestKind::Passed { body } }
    }

    /// A body that is there already.
    #[must_use]
    pub fn whole(content: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self {
            kind: RequestKind::Whole {
                content: Some(content).filter(|content| !content.is_empty()),
                trailers,
            },
        }
    }
}

impl<B> RequestBody<B> {
    /// The same body again, where it is there whole and nothing of it was read; `None` for one that passes.
    #[must_use]
    pub fn try_clone(&self) -> Option<Self> {
        match &self.kind {
            RequestKind::Passed { .. } => None,
            RequestKind::Whole { content, trailers } => {
                let kind = RequestKind::Whole { content: content.clone(), trailers: trailers.clone() };
                Some(Self { kind })
            }
        }
    }
}

impl<B> fmt::Debug for RequestBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestBody(..)")
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BodyError>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.project().kind.project() {
            RequestKindProjected::Passed { body } => passed(ready!(body.poll_frame(context))),
            RequestKindProjected::Whole { content, trailers } => whole(content, trailers),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            RequestKind::Passed { body } => body.is_end_stream(),
            RequestKind::Whole { content, trailers } => content.is_none() && trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            RequestKind::Passed { body } => body.size_hint(),
            RequestKind::Whole { content, .. } => exactly(content.as_ref()),
        }
    }
}

pin_project! {
    /// The body that the caller gets: the inner service's own, a stored one, or one that is recorded while it flows.
    pub struct ResponseBody<C> {
        #[pin]
        kind: ResponseKind<C>,
    }
}

pin_project! {
    #[project = ResponseKindProjected]
    enum ResponseKind<C> {
        Passed { #[pin] body: C },
        Whole { content: Option<Bytes>, trailers: Option<HeaderMap> },
        Flowing { frames: mpsc::Receiver<Result<Frame<Bytes>, BodyError>> },
    }
}

impl<C> ResponseBody<C> {
    /// Passes a body through.
    pub fn passed(body: C) -> Self {
        Self { kind: ResponseKind::Passed { body } }
    }

    /// A body that is there already.
    #[must_use]
    pub fn whole(content: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self {
            kind: ResponseKind::Whole {
                content: Some(content).filter(|content| !content.is_empty()),
                trailers,
            },
        }
    }

    pub(crate) fn flowing(frames: mpsc::Receiver<Result<Frame<Bytes>, BodyError>>) -> Self {
        Self { kind: ResponseKind::Flowing { frames } }
    }
}

impl<C> fmt::Debug for ResponseBody<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseBody(..)")
    }
}

impl<C> Body for ResponseBody<C>
where
    C: Body<Data = Bytes>,
    C::Error: Into<BodyError>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.project().kind.project() {
            ResponseKindProjected::Passed { body } => passed(ready!(body.poll_frame(context))),
            ResponseKindProjected::Whole { content, trailers } => whole(content, trailers),
            ResponseKindProjected::Flowing { frames } => frames.poll_recv(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            ResponseKind::Passed { body } => body.is_end_stream(),
            ResponseKind::Whole { content, trailers } => content.is_none() && trailers.is_none(),
            ResponseKind::Flowing { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            ResponseKind::Passed { body } => body.size_hint(),
            ResponseKind::Whole { content, .. } => exactly(content.as_ref()),
            ResponseKind::Flowing { .. } => SizeHint::default(),
        }
    }
}

fn passed<E: Into<BodyError>>(
    frame: Option<Result<Frame<Bytes>, E>>,
) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
    Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
}

fn whole(
    content: &mut Option<Bytes>,
    trailers: &mut Option<HeaderMap>,
) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
    let frame = content.take().map(Frame::data).or_else(|| trailers.take().map(Frame::trailers));
    Poll::Ready(frame.map(Ok))
}

fn exactly(content: Option<&Bytes>) -> SizeHint {
    SizeHint::with_exact(content.map_or(0, |content| content.len() as u64))
}
