//! Bodies that are made by one task and read by another.

use std::{
    any::Any,
    error::Error,
    fmt,
    panic::{AssertUnwindSafe, resume_unwind},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;
use futures_util::FutureExt;
use http_body::{Body, Frame, SizeHint};
use onceward_tower::{BodyError, ResponseBody};
use tokio::sync::{mpsc, oneshot};

/// Parts of a body between its maker and a slow reader: as many as keep both busy while they run on two threads.
const PARTS_MAX: usize = 4;

/// What an actix handler's panic left.
pub(crate) type PanicPayload = Box<dyn Any + Send>;

enum Part {
    Data(Bytes),
    End,
    Broken(BodyError),
    Panicked(PanicPayload),
}

/// The reading end of a body that another task makes.
pub(crate) struct Piped {
    source: Source,
    hint: SizeHint,
}

enum Source {
    /// Its maker has not begun.
    Promised(oneshot::Receiver<mpsc::Receiver<Part>>),
    Flowing(mpsc::Receiver<Part>),
    Over,
}

/// A body that may yet be made. Most are not: a request that passes keeps its own, and costs no channel.
pub(crate) struct Promise(oneshot::Sender<mpsc::Receiver<Part>>);

/// The writing end of a [`Piped`]. Dropped before the body's end it leaves an error to the reader: half a body must not look whole.
pub(crate) struct Pipe(mpsc::Sender<Part>);

/// A body of the given size that another task makes.
pub(crate) fn pipe(hint: SizeHint) -> (Pipe, Piped) {
    let (sender, parts) = mpsc::channel(PARTS_MAX);
    (Pipe(sender), Piped { source: Source::Flowing(parts), hint })
}

/// A body of the given size that another task makes once it is sure to be read.
pub(crate) fn promised(hint: SizeHint) -> (Promise, Piped) {
    let (sender, parts) = oneshot::channel();
    (Promise(sender), Piped { source: Source::Promised(parts), hint })
}

impl Promise {
    pub(crate) fn begin(self) -> Pipe {
        let (sender, parts) = mpsc::channel(PARTS_MAX);
        // Who does not wait for the body does not read it either; the pipe sees to that.
        drop(self.0.send(parts));
        Pipe(sender)
    }
}

impl Piped {
    /// A body without content.
    pub(crate) fn empty() -> Self {
        Self { source: Source::Over, hint: SizeHint::with_exact(0) }
    }

    /// The next part; `None` where the maker is gone.
    fn poll_part(&mut self, context: &mut Context<'_>) -> Poll<Option<Part>> {
        loop {
            match &mut self.source {
                Source::Promised(parts) => match ready!(Pin::new(parts).poll(context)) {
                    Ok(parts) => self.source = Source::Flowing(parts),
                    Err(oneshot::error::RecvError { .. }) => return Poll::Ready(None),
                },
                Source::Flowing(parts) => return parts.poll_recv(context),
                Source::Over => return Poll::Ready(Some(Part::End)),
            }
        }
    }
}

impl Pipe {
    /// Hands on `body` as fast as it is read, up to its end; ends early where nobody reads it any more.
    pub(crate) async fn pump(self, body: impl MessageBody) {
        let mut body = pin!(body);
        loop {
            let part = tokio::select! {
                biased;
                () = self.0.closed() => return,
                part = AssertUnwindSafe(next(body.as_mut())).catch_unwind() => part.unwrap_or_else(Part::Panicked),
            };
            let is_last = !matches!(part, Part::Data(_));
            if self.0.send(part).await.is_err() || is_last {
                return;
            }
        }
    }
}

async fn next<B: MessageBody>(mut body: Pin<&mut B>) -> Part {
    match std::future::poll_fn(|context| body.as_mut().poll_next(context)).await {
        Some(Ok(data)) => Part::Data(data),
        Some(Err(error)) => Part::Broken(Box::new(BrokenOff::of(error))),
        None => Part::End,
    }
}

impl Body for Piped {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let part = ready!(self.poll_part(context));
        if !matches!(part, Some(Part::Data(_))) {
            self.source = Source::Over;
        }
        Poll::Ready(match part {
            Some(Part::Data(data)) => Some(Ok(Frame::data(data))),
            Some(Part::End) => None,
            Some(Part::Broken(error)) => Some(Err(error)),
            // It becomes the reader's own panic, and what that means is for the route to say (O5).
            Some(Part::Panicked(payload)) => resume_unwind(payload),
            None => Some(Err(Box::new(MakerGone))),
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.source, Source::Over)
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

/// A body's own error. Actix's are bound to their thread; its text is not.
#[derive(Debug)]
struct BrokenOff(String);

impl BrokenOff {
    fn of(error: impl Into<Box<dyn Error>>) -> Self {
        Self(error.into().to_string())
    }
}

impl fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for BrokenOff {}

/// The task that made the body is no more: its connection ended, or its worker stopped.
#[derive(Debug)]
struct MakerGone;

impl fmt::Display for MakerGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body's maker stopped before its end")
    }
}

impl Error for MakerGone {}

/// The guard's answer as actix writes it. Actix writes no trailers, so they end here.
pub(crate) struct Answer {
    pub(crate) body: ResponseBody<Piped>,
    pub(crate) size: BodySize,
}

impl MessageBody for Answer {
    type Error = Box<dyn Error>;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Box<dyn Error>>>> {
        while let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(context)) {
            match frame.map(Frame::into_data) {
                // To actix an empty chunk is the end of a chunked body.
                Ok(Ok(data)) if !data.is_empty() => return Poll::Ready(Some(Ok(data))),
                Ok(Ok(_) | Err(_)) => {}
                Err(error) => return Poll::Ready(Some(Err(error as Box<dyn Error>))),
            }
        }
        Poll::Ready(None)
    }
}
