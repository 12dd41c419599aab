//! The body of an answer, with its limits of time.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::balance::Place;
use crate::upstream::{BodyCut, UpstreamBody};

/// Streams an answer, and counts its request as under way until its end.
pub(super) struct AnswerBody {
    body: UpstreamBody,
    idle: Duration,
    end: Option<Instant>,
    /// Runs while nothing comes.
    sleep: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
    place: Place,
}

/// The answer ended before its body did.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnswerCut {
    #[error(transparent)]
    Upstream(#[from] BodyCut),
    /// Nothing came for [`Times::body_idle`](super::Times::body_idle), or it took longer than
    /// [`Times::whole`](super::Times::whole).
    #[error("the answer's time is over")]
    Time,
}

impl AnswerBody {
    /// Cuts `body` where nothing comes of it for `idle`, and at `end`.
    pub(super) fn new(body: UpstreamBody, idle: Duration, end: Option<Instant>, place: Place) -> Self {
        Self { body, idle, end, sleep: None, is_waiting: false, place }
    }

    fn poll_time(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let idle_until = Instant::now() + self.idle;
        let until = self.end.map_or(idle_until, |end| end.min(idle_until));
        match &mut self.sleep {
            None => self.sleep = Some(Box::pin(sleep_until(until))),
            Some(sleep) if !self.is_waiting => sleep.as_mut().reset(until),
            Some(_) => {}
        }
        self.is_waiting = true;
        self.sleep.as_mut().map_or(Poll::Pending, |sleep| sleep.as_mut().poll(cx))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = AnswerCut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerCut>>> {
        let frame = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.is_waiting = false;
                frame.map(|frame| frame.map_err(AnswerCut::Upstream))
            }
            Poll::Pending => ready!(self.poll_time(cx).map(|()| Some(Err(AnswerCut::Time)))),
        };
        if let Some(Err(error)) = &frame {
            self.place.note_cut(error);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
