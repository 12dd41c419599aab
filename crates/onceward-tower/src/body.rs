//! The bodies on both sides of the guard.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
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
            RequestKind::Whole { content, trailers } => sized(content.as_ref(), trailers.as_ref()),
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
        Flowing { frames: mpsc::Receiver<Result<Frame<Bytes>, BodyError>>, is_told: Arc<AtomicBool> },
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

    /// A body that flows as it is fed.
    pub(crate) fn flowing() -> (Feed, Self) {
        let (sender, frames) = mpsc::channel(FLOWING_FRAMES_MAX);
        let is_told = Arc::new(AtomicBool::new(false));
        let body = Self { kind: ResponseKind::Flowing { frames, is_told: Arc::clone(&is_told) } };
        (Feed { sender, is_told }, body)
    }
}

/// Frames of a flowing answer between the origin and a slow reader.
const FLOWING_FRAMES_MAX: usize = 8;

/// Where a flowing body comes from. Dropped before its end it leaves an error to its reader: half an answer must not look whole.
pub(crate) struct Feed {
    sender: mpsc::Sender<Result<Frame<Bytes>, BodyError>>,
    /// Whether the reader will learn by itself how the body ended.
    is_told: Arc<AtomicBool>,
}

impl Feed {
    /// Hands on a frame as soon as there is room. A reader that went away stops nothing: the answer is read on and recorded (L6).
    pub(crate) async fn pass(&self, frame: Frame<Bytes>) {
        drop(self.sender.send(Ok(frame)).await);
    }

    /// Ends the body; what its reader has not taken yet stays there for it.
    pub(crate) fn end(self) {
        self.is_told.store(true, Ordering::Release);
    }

    /// Ends the body in an error.
    pub(crate) async fn cut(self, error: BodyError) {
        drop(self.sender.send(Err(error)).await);
        self.end();
    }
}

/// The work behind a flowing answer was dropped: its time was over, its lease lost, the program shut down, or it panicked.
#[derive(Debug)]
struct GivenUp;

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer was given up before its end")
    }
}

impl Error for GivenUp {}

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
            ResponseKindProjected::Flowing { frames, is_told } => {
                let frame = ready!(frames.poll_recv(context));
                let is_given_up = frame.is_none() && !is_told.swap(true, Ordering::Acquire);
                Poll::Ready(if is_given_up { Some(Err(GivenUp.into())) } else { frame })
            }
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
            ResponseKind::Whole { content, trailers } => sized(content.as_ref(), trailers.as_ref()),
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

/// Exact only without trailers: HTTP/1.1 has no place for them behind a body that its length delimits (RFC 9112, 7.1.2).
fn sized(content: Option<&Bytes>, trailers: Option<&HeaderMap>) -> SizeHint {
    let len = content.map_or(0, |content| content.len() as u64);
    let mut hint = SizeHint::default();
    hint.set_lower(len);
    if trailers.is_none() {
        hint.set_upper(len);
    }
    hint
}
