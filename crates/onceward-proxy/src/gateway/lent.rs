//! A request body that is lent to an attempt.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

/// A body on its way to an instance. If it is dropped before anything of it was asked for, its [`Lender`] has it again.
pub(super) struct Lent<B> {
    body: Option<B>,
    is_touched: bool,
    ledger: Arc<Mutex<Ledger<B>>>,
}

/// Keeps track of a body that is away.
pub(super) struct Lender<B>(Arc<Mutex<Ledger<B>>>);

struct Ledger<B> {
    returned: Option<B>,
    moved_at: Instant,
    awaits_client: bool,
    is_broken: bool,
}

/// Lends `body`.
pub(super) fn lend<B>(body: B) -> (Lent<B>, Lender<B>) {
    let ledger = Ledger { returned: None, moved_at: Instant::now(), awaits_client: false, is_broken: false };
    let ledger = Arc::new(Mutex::new(ledger));
    (Lent { body: Some(body), is_touched: false, ledger: Arc::clone(&ledger) }, Lender(ledger))
}

impl<B> Lender<B> {
    /// The body, if it came back as it was.
    pub(super) fn take_back(&self) -> Option<B> {
        locked(&self.0).returned.take()
    }

    /// Whether the client's side of the body failed.
    pub(super) fn is_broken(&self) -> bool {
        locked(&self.0).is_broken
    }

    /// Waits until the instance was the one to move for `time`: while the client's next piece is awaited, it is not.
    pub(super) async fn stalled(&self, time: Duration) {
        loop {
            let until = {
                let ledger = locked(&self.0);
                let since = if ledger.awaits_client { Instant::now() } else { ledger.moved_at };
                since + time
            };
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Lent<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.is_touched = true;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        let mut ledger = locked(&self.ledger);
        ledger.awaits_client = polled.is_pending();
        ledger.moved_at = Instant::now();
        ledger.is_broken |= matches!(polled, Poll::Ready(Some(Err(_))));
        drop(ledger);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(B::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), B::size_hint)
    }
}

impl<B> Drop for Lent<B> {
    fn drop(&mut self) {
        if !self.is_touched {
            locked(&self.ledger).returned = self.body.take();
        }
    }
}

fn locked<B>(ledger: &Mutex<Ledger<B>>) -> MutexGuard<'_, Ledger<B>> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use http_body_util::{BodyExt as _, Full, StreamBody};

    #[tokio::test]
    async fn a_body_comes_back_unless_it_was_asked_for() {
        let (lent, lender) = lend(Full::new(Bytes::from_static(b"a")));
        assert!(lender.take_back().is_none(), "it is away");
        assert_eq!(lent.size_hint().exact(), Some(1));
        drop(lent);
        let (mut lent, lender) = lend(lender.take_back().unwrap());
        lent.frame().await.unwrap().unwrap();
        drop(lent);
        assert!(lender.take_back().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_is_not_the_instances_fault() {
        let silent = StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, std::io::Error>>());
        let (mut lent, lender) = lend(silent);
        let began = Instant::now();
        let time = Duration::from_secs(60);
        lender.stalled(time).await;
        assert_eq!(began.elapsed(), time, "nobody asked for the body");

        assert!(lent.frame().now_or_never().is_none());
        let waited = tokio::time::timeout(Duration::from_hours(1), lender.stalled(time)).await;
        assert!(waited.is_err(), "the client has the next word");
    }
}
