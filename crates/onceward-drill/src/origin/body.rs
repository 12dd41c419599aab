//! Bodies of the reference origin's answers: with pauses, trailers, or without an end.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// One step of a body.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Data(Bytes),
    Trailers(HeaderMap),
    Pause(Duration),
    Cut,
}

/// The body of an answer.
#[derive(Debug)]
pub struct OriginBody {
    steps: VecDeque<Step>,
    pause: Option<Pin<Box<Sleep>>>,
    /// Where it is known before.
    len: Option<u64>,
}

/// The origin broke off its answer, as it was told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the origin broke off its answer")]
pub struct Cut;

impl OriginBody {
    pub(super) fn whole(content: Bytes) -> Self {
        let len = Some(content.len() as u64);
        Self { steps: VecDeque::from([Step::Data(content)]), pause: None, len }
    }

    pub(super) fn empty() -> Self {
        Self { steps: VecDeque::new(), pause: None, len: Some(0) }
    }

    pub(super) fn steps(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect(), pause: None, len: None }
    }
}

impl Body for OriginBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(context));
                self.pause = None;
            }
            match self.steps.pop_front() {
                Some(Step::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Some(Step::Trailers(trailers)) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Some(Step::Pause(pause)) => self.pause = Some(Box::pin(sleep(pause))),
                Some(Step::Cut) => return Poll::Ready(Some(Err(Cut))),
                None => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty() && self.pause.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.len {
            Some(_) if self.steps.is_empty() => SizeHint::with_exact(0),
            Some(len) => SizeHint::with_exact(len),
            None => SizeHint::default(),
        }
    }
}
