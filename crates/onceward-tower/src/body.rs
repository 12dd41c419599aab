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

/// A piece of a body, or what cut it short.
type FrameResult = Result<Frame<Bytes>, BodyError>;

pin_project! {
    /// The body that the inner service gets: the caller's own as it comes, or one that was read whole before its claim.
    pub struct RequestBody<B> {
        #[pin]
        source: Source<B>,
    }
}

pin_project! {
    /// The body that the caller gets: the inner service's own, a stored one, or one that is recorded while it flows.
    pub struct ResponseBody<C> {
        #[pin]
        source: Source<C>,
    }
}

pin_project! {
    #[project = SourceProjected]
    enum Source<B> {
        Passed { #[pin] body: B },
        Whole { content: Option<Bytes>, trailers: Option<HeaderMap> },
        Flowing { frames: mpsc::Receiver<FrameResult>, is_told: Arc<AtomicBool> },
    }
}

impl<B> RequestBody<B> {
    /// Passes a body through.
    pub fn passed(body: B) -> Self {
        Self { source: Source::Passed { body } }
    }

    /// A body that is there already.
    #[must_use]
    pub fn whole(content: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self { source: Source::whole(content, trailers) }
    }

    /// The same body again, where it is there whole and nothing of it was read; `None` for one that passes.
    #[must_use]
    pub fn try_clone(&self) -> Option<Self> {
        match &self.source {
            Source::Passed { .. } | Source::Flowing { .. } => None,
            Source::Whole { content, trailers } => {
                Some(Self { source: Source::Whole { content: content.clone(), trailers: trailers.clone() } })
            }
        }
    }
}

impl<C> ResponseBody<C> {
    /// Passes a body through.
    pub fn passed(body: C) -> Self {
        Self { source: Source::Passed { body } }
    }

    /// A body that is there already.
    #[must_use]
    pub fn whole(content: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self { source: Source::whole(content, trailers) }
    }

    /// A body that flows as it is fed.
    pub(crate) fn flowing() -> (Feed, Self) {
        let (sender, frames) = mpsc::channel(FLOWING_FRAMES_MAX);
        let is_told = Arc::new(AtomicBool::new(false));
        let body = Self { source: Source::Flowing { frames, is_told: Arc::clone(&is_told) } };
        (Feed { sender, is_told }, body)
    }
}

/// Frames of a flowing answer between the origin and a slow reader.
const FLOWING_FRAMES_MAX: usize = 8;

/// Where a flowing body comes from. Dropped before its end it leaves an error to its reader: half an answer must not look whole.
pub(crate) struct Feed {
    sender: mpsc::Sender<FrameResult>,
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

impl<B> Source<B> {
    fn whole(content: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self::Whole { content: Some(content).filter(|content| !content.is_empty()), trailers }
    }
}

impl<B> Body for Source<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BodyError>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<FrameResult>> {
        match self.project() {
            SourceProjected::Passed { body } => {
                let frame = ready!(body.poll_frame(context));
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            SourceProjected::Whole { content, trailers } => {
                let frame = content.take().map(Frame::data).or_else(|| trailers.take().map(Frame::trailers));
                Poll::Ready(frame.map(Ok))
            }
            SourceProjected::Flowing { frames, is_told } => {
                let frame = ready!(frames.poll_recv(context));
                let is_given_up = frame.is_none() && !is_told.swap(true, Ordering::Acquire);
                Poll::Ready(if is_given_up { Some(Err(GivenUp.into())) } else { frame })
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Passed { body } => body.is_end_stream(),
            Self::Whole { content, trailers } => content.is_none() && trailers.is_none(),
            Self::Flowing { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Passed { body } => body.size_hint(),
            Self::Whole { content, trailers } => sized(content.as_ref(), trailers.as_ref()),
            Self::Flowing { .. } => SizeHint::default(),
        }
    }
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

macro_rules! delegate_to_source {
    ($($name:ident),+) => {$(
        impl<B> Body for $name<B>
        where
            B: Body<Data = Bytes>,
            B::Error: Into<BodyError>,
        {
            type Data = Bytes;
            type Error = BodyError;

            fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<FrameResult>> {
                self.project().source.poll_frame(context)
            }

            fn is_end_stream(&self) -> bool {
                self.source.is_end_stream()
            }

            fn size_hint(&self) -> SizeHint {
                self.source.size_hint()
            }
        }

        impl<B> fmt::Debug for $name<B> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    )+};
}

delegate_to_source!(RequestBody, ResponseBody);
