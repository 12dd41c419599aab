//! Bodies of the reference origin's answers: with waits, trailers, or without an end.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

/// One step of a body.
pub(super) enum Step {
    Data(Bytes),
    Trailers(HeaderMap),
    Wait(Wait),
    Cut,
}

pub(super) type Wait = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The body of an answer.
pub struct OriginBody {
    steps: VecDeque<Step>,
    wait: Option<Wait>,
    /// Where it is known before.
    len: Option<u64>,
}

impl fmt::Debug for OriginBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OriginBody").field("len", &self.len).finish_non_exhaustive()
    }
}

/// The origin broke off its answer, as it was told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the origin broke off its answer")]
pub struct Cut;

impl OriginBody {
    pub(super) fn whole(content: Bytes) -> Self {
        let len = Some(content.len() as u64);
        Self { steps: VecDeque::from([Step::Data(content)]), wait: None, len }
    }

    pub(super) fn empty() -> Self {
        Self { steps: VecDeque::new(), wait: None, len: Some(0) }
    }

    pub(super) fn steps(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect(), wait: None, len: None }
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
            if let Some(wait) = &mut self.wait {
                ready!(wait.as_mut().poll(context));
                self.wait = None;
            }
            match self.steps.pop_front() {
                Some(Step::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Some(Step::Trailers(trailers)) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Some(Step::Wait(wait)) => self.wait = Some(wait),
                Some(Step::Cut) => return Poll::Ready(Some(Err(Cut))),
                None => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty() && self.wait.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.len {
            Some(_) if self.steps.is_empty() => SizeHint::with_exact(0),
            Some(len) => SizeHint::with_exact(len),
            None => SizeHint::default(),
        }
    }
}
